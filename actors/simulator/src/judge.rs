//! What must be true when everything has drained, told from what went in and what came out; the actors' own counts are not asked.

use std::collections::{BTreeMap, BTreeSet};

use contract::UtcTime;
use opcua_subscription::{GapCause, Report};

use crate::client::Client;
use crate::hub::{Hub, StoredEvent};
use crate::message::Sent;
use crate::plc::{Made, TagName};

/// Whether `topic` matches `filter`, in ten lines.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    for (index, level) in filter.iter().enumerate() {
        match (*level, topic.get(index)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(found)) if level == *found => {}
            (_, _) => return false,
        }
    }
    filter.len() == topic.len()
}

/// A flow's hub has every message that was acknowledged, in order, and none twice but those that their publisher sent twice.
pub(crate) fn judge_messages(
    filters: &[&str],
    stored: &[StoredEvent],
    clients: &[Client],
    refused: &BTreeSet<Sent>,
) -> Result<(), String> {
    let came: Vec<Sent> = stored.iter().filter_map(|event| Sent::parse(&event.payload)).collect();
    let taken = |sent: &Sent| filters.iter().any(|filter| matches(filter, &sent.topic));
    for client in clients {
        let publisher = &client.outbox;
        let of_client: Vec<&Sent> = came.iter().filter(|sent| publisher.first_sent.contains_key(*sent)).collect();
        judge_order(&client.identifier, &of_client, client, refused)?;
        let there: BTreeSet<&Sent> = of_client.into_iter().collect();
        if let Some(stray) = there.iter().find(|sent| sent.is_for_no_hub()) {
            return Err(format!("{}: {stray:?} is larger than a hub takes", client.identifier));
        }
        let owed = publisher.acknowledged.difference(&publisher.acknowledged_before_kill);
        let mut owed = owed.filter(|sent| taken(sent) && !sent.is_for_no_hub());
        if let Some(lost) = owed.find(|sent| !there.contains(sent)) {
            return Err(format!("{}: {lost:?} was acknowledged and is not there", client.identifier));
        }
        if let Some(stray) = there.iter().find(|sent| !taken(sent)) {
            return Err(format!("{}: {stray:?} is not for this flow", client.identifier));
        }
    }
    Ok(())
}

/// First occurrences rise within each topic, and only what was sent again comes again: at `QoS` 1 over a connection that broke, at
/// `QoS` 2 where the session was lost. What a partition refused and the client sent again has lost its place: a client cannot
/// know that it was refused if its connection breaks, and one of version 3.1.1 hears of it by nothing else.
pub(crate) fn judge_order(who: &str, came: &[&Sent], client: &Client, refused: &BTreeSet<Sent>) -> Result<(), String> {
    let publisher = &client.outbox;
    let mut newest: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for sent in came {
        let is_sent_again = publisher.sent_again.contains(*sent);
        let qos = publisher.qos_of(&sent.topic);
        if !seen.insert(*sent) {
            if !is_sent_again {
                return Err(format!("{who}: {sent:?} of QoS {qos} came twice and was sent once"));
            }
            continue;
        }
        if refused.contains(*sent) {
            continue;
        }
        // Nothing is sent again at QoS 0, so two connections may overtake each other.
        let connection = if qos == 0 { publisher.first_sent[*sent].1 } else { 0 };
        let newest = newest.entry((&sent.topic, connection)).or_default();
        if sent.number < *newest {
            return Err(format!("{who}: {sent:?} of QoS {qos} came after {newest}"));
        }
        *newest = sent.number;
    }
    Ok(())
}

/// What the judge knows of a plant.
pub(crate) struct Plant<'a> {
    pub(crate) made: &'a BTreeMap<TagName, Vec<Made>>,
    /// Values made until then were perhaps acknowledged when the process was killed, and lost with its memory.
    pub(crate) excused_until: Option<UtcTime>,
    /// A server that was never restarted still has what was not acknowledged: it owes everything.
    pub(crate) was_restarted: bool,
    /// The Session stopped while the plant went on: its server has the last values.
    pub(crate) is_cut_off: bool,
    /// A gap that the Session would name in its next life, from then on: it has saved it.
    pub(crate) gap_from: Option<UtcTime>,
}

/// A flow's hub has every value that the plant made, once in each life and in order; or a report names its loss. How many were
/// lost and named.
pub(crate) fn judge_values(hub: &Hub, plant: &Plant<'_>, reports: &[&Report]) -> Result<u64, String> {
    let mut lost_count = 0;
    for (name, made) in plant.made {
        let values = hub.values.get(name).map_or(&[][..], Vec::as_slice);
        for pair in values.windows(2) {
            if pair[0].0 == pair[1].0 && pair[1].1 <= pair[0].1 {
                return Err(format!("{name:?}: {} came after {}", pair[1].1, pair[0].1));
            }
        }
        let there: BTreeSet<u64> = values.iter().map(|(_, number)| *number).collect();
        let (Some(first), Some(last)) = (there.first(), there.last()) else {
            return Err(format!("{name:?} never came"));
        };
        let newest_is_too_large = made.last().is_some_and(|made| hub.too_large.contains(&(name.clone(), made.number)));
        if !plant.is_cut_off && !newest_is_too_large && Some(last) != made.last().map(|made| &made.number) {
            return Err(format!("{name:?} fell silent after {last}"));
        }
        let owed = made.iter().filter(|made| {
            (*first..*last).contains(&made.number)
                && !there.contains(&made.number)
                && Some(made.at) > plant.excused_until
                && !hub.too_large.contains(&(name.clone(), made.number))
        });
        for value in owed {
            lost_count += 1;
            let is_saved = plant.is_cut_off && plant.gap_from.is_some_and(|from| from <= value.at);
            // A Subscription that was silent for too long is given up, with what its server held for it.
            let is_given_up =
                |report: &&&Report| matches!(report, Report::Gap { cause: GapCause::SubscriptionSilent, .. });
            if !plant.was_restarted && !reports.iter().filter(is_given_up).any(|report| names(report, name, value.at)) {
                return Err(format!("{name:?}: {value:?} is lost, though its server was always there"));
            }
            if !is_saved && !reports.iter().any(|report| names(report, name, value.at)) {
                return Err(format!("{name:?}: {value:?} is lost and not named"));
            }
        }
    }
    Ok(lost_count)
}

/// Whether a report names a value of this tag, made then, as lost.
fn names(report: &Report, (asset, tag): &TagName, at: UtcTime) -> bool {
    match report {
        Report::Gap { tags, from, until, .. }
        | Report::NotificationLost { tags, from, until, .. }
        | Report::NotificationMalformed { tags, from, until, .. } => {
            (*from..=*until).contains(&at) && tags.iter().any(|(a, t)| **a == **asset && **t == **tag)
        }
        Report::Overflow { tags } => tags.iter().any(|lost| {
            *lost.asset == **asset && *lost.tag == **tag && lost.from.is_none_or(|from| from <= at) && at <= lost.until
        }),
        Report::Resumed { .. }
        | Report::SessionCreated { .. }
        | Report::RetransmissionsShort { .. }
        | Report::Disconnected { .. }
        | Report::ServiceFailed { .. }
        | Report::SubscriptionCreated { .. }
        | Report::TagsRejected { .. }
        | Report::Silent { .. }
        | Report::ServerState { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_little_matcher_knows_wildcards() {
        assert!(matches("#", "a/b") && matches("a/+", "a/b") && matches("a/#", "a"));
        assert!(!matches("a/+", "a/b/c") && !matches("a", "a/b") && !matches("a/b", "a"));
    }
}
