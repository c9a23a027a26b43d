//! What actors report, in words: to the log, and to the list that operators see.

use std::collections::VecDeque;

use opcua_subscription::{
    DisconnectReason, GapCause, OverflowedTag, RejectedTag, Report as OpcUaReport, ResumedHow, Tags,
};
use wiring::{Address, Report};

/// Notices that are remembered; older ones are forgotten.
const NOTICES_MAX: usize = 32;
/// Names of tags in one notice; where there are more, the log has a line for each.
const NAMES_MAX: usize = 5;
/// Lines of the log for one report; further tags are only counted.
const LOGGED_MAX: usize = 10_000;

/// How much a notice wants to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// For whoever looks closely.
    Detail,
    /// Worth a line.
    Normal,
    /// A person should look.
    Alarm,
}

/// One line for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub(super) unix_ms: i64,
    /// What.
    pub(super) text: String,
}

/// The newest notices of one core.
#[derive(Debug, Default)]
pub(super) struct Notices {
    newest: VecDeque<Notice>,
}

impl Notices {
    /// Logs a report of `address`, which people know as `name`, and remembers it where a person should look.
    pub(super) fn report(&mut self, address: Address, name: &str, report: &Report, unix_ms: i64) {
        let (urgency, text) = words(report);
        match urgency {
            Urgency::Detail => tracing::debug!(actor = %address, name, "{text}"),
            Urgency::Normal => tracing::info!(actor = %address, name, "{text}"),
            Urgency::Alarm => tracing::warn!(actor = %address, name, "{text}"),
        }
        if urgency == Urgency::Detail {
            return;
        }
        for tag in tags_of(report) {
            tracing::warn!(actor = %address, name, "{tag}");
        }
        if self.newest.len() == NOTICES_MAX {
            self.newest.pop_front();
        }
        let text = if name.is_empty() { text } else { format!("{name}: {text}") };
        self.newest.push_back(Notice { unix_ms, text });
    }

    /// The newest ones, oldest first.
    pub(super) fn newest(&self) -> Vec<Notice> {
        self.newest.iter().cloned().collect()
    }
}

fn words(report: &Report) -> (Urgency, String) {
    match report {
        Report::OpcUa(report) => opcua_words(report),
        Report::Connection(reason) => (Urgency::Detail, format!("the connection ended: {reason:?}")),
        Report::Partition(report) => partition_words(*report),
        Report::Batcher(report) => batcher_words(*report),
    }
}

fn partition_words(report: broker_partition::Report) -> (Urgency, String) {
    use broker_partition::Report;
    match report {
        Report::BackPressureBegan => {
            (Urgency::Alarm, "the shard's memory threshold is reached: acknowledgements are withheld".to_owned())
        }
        Report::BackPressureEnded => (Urgency::Normal, "acknowledgements flow again".to_owned()),
        Report::LogFailed(failure) => (Urgency::Alarm, format!("{failure}: nothing is acknowledged on its account")),
        Report::LogRestored => (Urgency::Normal, "the partition log stores again".to_owned()),
        Report::RetainedLimitReached => (
            Urgency::Alarm,
            "the limit of Retained Messages is reached: further ones are delivered and not retained".to_owned(),
        ),
        Report::SessionsLimitReached => {
            (Urgency::Alarm, "the limit of sessions is reached: further clients are refused".to_owned())
        }
    }
}

fn batcher_words(report: egress_batcher::Report) -> (Urgency, String) {
    use egress_batcher::Report;
    match report {
        Report::RouteParked(failure) => (
            Urgency::Alarm,
            format!(
                "{failure}: check the hub's name and the credentials; events wait while this process runs, and it is tried again"
            ),
        ),
        Report::RouteRestored => (Urgency::Normal, "the hub takes batches again".to_owned()),
        Report::HubAway(failure) => (
            Urgency::Alarm,
            format!(
                "the hub cannot be reached ({failure}): check its address and the network; events wait, and it is tried again"
            ),
        ),
        Report::HubBack => (Urgency::Normal, "the hub is reached again".to_owned()),
        Report::DeadLetter { id, size_bytes } => {
            (Urgency::Alarm, format!("event {id} of {size_bytes} bytes is given up: the hub takes none so large"))
        }
        Report::PartitionsShrank { before, found } => (
            Urgency::Alarm,
            format!(
                "the hub had {before} partitions and has {found}: it was made anew; restart to place its events anew"
            ),
        ),
    }
}

fn opcua_words(report: &OpcUaReport) -> (Urgency, String) {
    match report {
        OpcUaReport::Resumed { how, subscriptions_kept_count, subscriptions_new_count } => {
            let how = match how {
                ResumedHow::New => "a new session",
                ResumedHow::Reactivated => "the session goes on",
                ResumedHow::Transferred => "a new session took over the subscriptions",
                ResumedHow::Recreated => "a new session; the server had forgotten the subscriptions",
            };
            (
                Urgency::Normal,
                format!("{how}: {subscriptions_kept_count} subscriptions live on, {subscriptions_new_count} are made"),
            )
        }
        OpcUaReport::SessionCreated { session_timeout } => (
            Urgency::Detail,
            format!("session timeout {:?} asked for, {:?} granted", session_timeout.requested, session_timeout.revised),
        ),
        OpcUaReport::RetransmissionsShort { unacknowledged_notifications_max, .. } => (
            Urgency::Normal,
            format!(
                "the server keeps few unacknowledged messages: at most {unacknowledged_notifications_max} are left \
                 unacknowledged"
            ),
        ),
        OpcUaReport::Disconnected { reason, retry_in: Some(retry_in) } => {
            (Urgency::Alarm, format!("disconnected ({}); next attempt in {retry_in:.1?}", reason_words(reason)))
        }
        OpcUaReport::Disconnected { reason, retry_in: None } => {
            (Urgency::Normal, format!("disconnected ({})", reason_words(reason)))
        }
        OpcUaReport::ServiceFailed { service, status_code } => {
            (Urgency::Alarm, format!("{service} was refused: {status_code}"))
        }
        OpcUaReport::SubscriptionCreated { items_count, queue_size_smallest, publishing_interval, .. } => (
            Urgency::Normal,
            format!(
                "subscription with {items_count} items: publishing interval {:?} of {:?}, smallest queue {} of {}",
                publishing_interval.revised,
                publishing_interval.requested,
                queue_size_smallest.revised,
                queue_size_smallest.requested
            ),
        ),
        OpcUaReport::TagsRejected { tags } => (Urgency::Alarm, rejected_words(tags)),
        OpcUaReport::Gap { tags, from, until, cause, .. } => (
            Urgency::Alarm,
            format!("values may be missing {} ({}): {}", span(*from, *until), cause_words(*cause), tags_words(tags)),
        ),
        OpcUaReport::NotificationLost { tags, count, from, until, .. } => {
            (Urgency::Alarm, format!("{count} notifications were lost {}: {}", span(*from, *until), tags_words(tags)))
        }
        OpcUaReport::NotificationMalformed { tags, from, until, .. } => (
            Urgency::Alarm,
            format!("a notification was damaged; values may be missing {}: {}", span(*from, *until), tags_words(tags)),
        ),
        OpcUaReport::Overflow { tags } => (Urgency::Alarm, overflow_words(tags)),
        OpcUaReport::Silent { silent_for } => {
            (Urgency::Alarm, format!("nothing came for {silent_for:.1?}; the connection is made anew"))
        }
        OpcUaReport::ServerState { state } => {
            (Urgency::Alarm, format!("the server's state is {state}, not 0 (Running)"))
        }
    }
}

fn reason_words(reason: &DisconnectReason) -> String {
    match reason {
        DisconnectReason::Requested => "as asked".to_owned(),
        DisconnectReason::Unreachable(why) => format!("cannot be reached: {why}"),
        DisconnectReason::TimedOut => "it did not answer in time".to_owned(),
        DisconnectReason::ClosedByServer(status) => format!("the server closed the connection: {status}"),
        DisconnectReason::NoEndpoint => {
            "the server offers no endpoint with the security and the user of the site's file: compare `security` and `user` with \
             its settings"
                .to_owned()
        }
        DisconnectReason::NotTrusted(status) => {
            format!("its certificate is not trusted ({status}): put it into trust_directory")
        }
        DisconnectReason::ProtocolError(status) => format!("it broke the protocol: {status}"),
    }
}

const fn cause_words(cause: GapCause) -> &'static str {
    match cause {
        GapCause::SubscriptionLost => "the server did not know the subscription any more",
        GapCause::SubscriptionSilent => "the subscription fell silent and was given up",
        GapCause::TooManyMissing => "too many messages are missing to ask for each",
        GapCause::ItemsUncertain => "it is uncertain which items the server made",
    }
}

fn span(from: contract::UtcTime, until: contract::UtcTime) -> String {
    let seconds = until.saturating_since(from).as_secs_f64();
    format!("between {} and {} ({seconds:.1} s)", date(from), date(until))
}

fn date(utc: contract::UtcTime) -> String {
    jiff::Timestamp::from_millisecond(utc.unix_millis()).map_or_else(|_| "?".to_owned(), |date| date.to_string())
}

/// Each tag that a report is about, with what is wrong, where a line cannot hold them all.
fn tags_of(report: &Report) -> Vec<String> {
    let Report::OpcUa(report) = report else { return Vec::new() };
    let (lines, count): (Vec<String>, usize) = match report {
        OpcUaReport::TagsRejected { tags } => (
            tags.iter().take(LOGGED_MAX).map(rejected_tag).map(|tag| format!("not monitored: {tag}")).collect(),
            tags.len(),
        ),
        OpcUaReport::Overflow { tags } => (
            tags.iter().take(LOGGED_MAX).map(overflowed_tag).map(|tag| format!("discarded: {tag}")).collect(),
            tags.len(),
        ),
        OpcUaReport::Gap { tags, from, until, .. }
        | OpcUaReport::NotificationLost { tags, from, until, .. }
        | OpcUaReport::NotificationMalformed { tags, from, until, .. } => {
            let span = span(*from, *until);
            let lines =
                tags.iter().take(LOGGED_MAX).map(|(asset, tag)| format!("may be missing {span}: {asset}.{tag}"));
            (lines.collect(), tags.count as usize)
        }
        OpcUaReport::Resumed { .. }
        | OpcUaReport::SessionCreated { .. }
        | OpcUaReport::RetransmissionsShort { .. }
        | OpcUaReport::Disconnected { .. }
        | OpcUaReport::ServiceFailed { .. }
        | OpcUaReport::SubscriptionCreated { .. }
        | OpcUaReport::Silent { .. }
        | OpcUaReport::ServerState { .. } => return Vec::new(),
    };
    if count <= NAMES_MAX { Vec::new() } else { lines }
}

fn rejected_tag(tag: &RejectedTag) -> String {
    format!("{}.{} ({}: {})", tag.asset, tag.tag, tag.node_id, tag.status_code)
}

fn overflowed_tag(tag: &OverflowedTag) -> String {
    let from = tag.from.map_or_else(|| "the start".to_owned(), date);
    format!("{}.{} between {from} and {}", tag.asset, tag.tag, date(tag.until))
}

fn rejected_words(tags: &[RejectedTag]) -> String {
    let named = tags.iter().take(NAMES_MAX).map(rejected_tag);
    format!("{} tags are not monitored: {}", tags.len(), list(named, tags.len()))
}

fn overflow_words(tags: &[OverflowedTag]) -> String {
    let named = tags.iter().take(NAMES_MAX).map(overflowed_tag);
    format!("the server's queues were too small, values were discarded: {}", list(named, tags.len()))
}

fn tags_words(tags: &Tags) -> String {
    let named = tags.iter().take(NAMES_MAX).map(|(asset, tag)| format!("{asset}.{tag}"));
    list(named, tags.count as usize)
}

fn list(names: impl Iterator<Item = String>, count: usize) -> String {
    let names: Vec<String> = names.collect();
    let more = count.saturating_sub(names.len());
    let text = names.join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contract::{PartitionIndex, SourceIndex, UtcTime};

    use super::*;

    #[test]
    fn only_the_newest_notices_are_kept_and_details_are_none() {
        let mut notices = Notices::default();
        let partition = Address::Partition(PartitionIndex(0));
        for number in 0..100 {
            notices.report(partition, "", &Report::Partition(broker_partition::Report::BackPressureBegan), number);
        }
        notices.report(partition, "", &Report::Connection(mqtt_connection::EndReason::SocketClosed), 100);
        let newest = notices.newest();
        assert_eq!((newest.len(), newest[31].unix_ms), (32, 99));
    }

    #[test]
    fn a_gap_names_its_time_and_a_few_of_its_tags() {
        let names: Arc<[_]> = (0..9).map(|tag| (Arc::from("press"), Arc::from(format!("t{tag}")))).collect();
        let report = Report::OpcUa(OpcUaReport::Gap {
            subscription_index: 0,
            tags: Tags { names, first: 1, count: 8 },
            from: UtcTime::from_ticks(0),
            until: UtcTime::from_ticks(25_000_000),
            cause: GapCause::SubscriptionLost,
        });
        let mut notices = Notices::default();
        notices.report(Address::OpcUa(SourceIndex(0)), "line 1", &report, 0);
        assert_eq!(tags_of(&report).len(), 8, "the log names each");
        let text = &notices.newest()[0].text;
        assert!(text.starts_with("line 1: values may be missing between 1970-01-01T00:00:00Z"), "{text}");
        assert!(text.contains("(2.5 s)") && text.contains("press.t1") && text.ends_with("and 3 more"), "{text}");
    }
}
