//! From a publisher's batch to durable records: budget, log and answers.

use std::time::Duration;

use contract::{
    Acknowledge, DropReason, Effects, Instant, LogFailure, LogRequest, LogResponse, Publication, PublishToken,
    Publisher, QoS, Refusal,
};

use crate::effect::{Effect, Report};
use crate::flow_cursor::FlowCursor;
use crate::intake::{Answer, Batch, LogState};
use crate::routing::Source;
use crate::state::{BrokerPartition, Stopping, Watch};

/// How long after a failure the log is asked again, if nothing was released meanwhile.
const LOG_RETRY: Duration = Duration::from_millis(100);
/// Records that one step gives the log, and shows to flows and subscribers, about; the rest follow in a step of their own.
const RECORDS_PER_STEP_MAX: usize = 4_096;

impl BrokerPartition {
    pub(crate) fn handle_publish(
        &mut self,
        publisher: Publisher,
        token: PublishToken,
        publications: Vec<Publication>,
        acknowledge: Acknowledge,
    ) {
        if self.stopping != Stopping::No {
            return;
        }
        let bytes = publications.iter().map(|publication| publication.size_bytes() as u64).sum();
        let (answer, session) = match publisher {
            Publisher::OpcUa(_) | Publisher::Connection(_) => (Answer::Accepted, None),
            Publisher::Will(session) => (Answer::Nothing, Some(session)),
            Publisher::Server => (Answer::Nothing, None),
        };
        let first = contract::Offset(0);
        let mut batch = Batch { publisher, token, acknowledge, answer, session, publications, first, bytes };
        if !matches!(publisher, Publisher::OpcUa(_)) {
            self.judge(&mut batch);
        }
        if batch.answer != Answer::Nothing || !batch.publications.is_empty() {
            self.intake.push(batch);
        }
    }

    /// Empties a batch that is too large, or that comes past the hard limit. Of a Will and of the server itself, which nobody sends
    /// again, all is dropped and counted.
    fn judge(&mut self, batch: &mut Batch) {
        let largest_bytes = batch.publications.iter().map(Publication::size_bytes).max().unwrap_or(0);
        let is_past_limit = self.held_bytes() + batch.bytes > self.limits.shard_bytes_max;
        let refusal = if largest_bytes > self.limits.message_bytes_max as usize {
            Refusal::TooLarge
        } else if is_past_limit {
            Refusal::QuotaExceeded
        } else {
            return;
        };
        let is_dropped = |publication: &&Publication| {
            matches!(batch.publisher, Publisher::Will(_) | Publisher::Server)
                || (refusal == Refusal::QuotaExceeded && publication.qos() == QoS::AtMostOnce)
        };
        let dropped_count = batch.publications.iter().filter(is_dropped).count() as u64;
        let refused_count = batch.publications.len() as u64 - dropped_count;
        self.intake.ledger.accepted += dropped_count;
        self.intake.ledger.drop_records(DropReason::MemoryBudget, dropped_count);
        self.intake.refused_count += refused_count;
        if refused_count > 0 {
            batch.answer = Answer::Refused(refusal);
        }
        // QoS 0 that is dropped is answered as accepted, so that the connection's window moves.
        batch.publications = Vec::new();
        batch.bytes = 0;
    }

    /// Bytes of all that this shard holds.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.accepted_bytes() + self.intake.waiting_bytes() + self.sessions.bytes()
    }

    /// Bytes of what was taken: records of queues, Retained Messages, and records with the log.
    fn accepted_bytes(&self) -> u64 {
        self.records.bytes() + self.intake.appended_bytes()
    }

    /// Compares what was taken with the threshold, by hysteresis.
    fn watch_threshold(&mut self) {
        let limit_bytes = if self.is_over_threshold { self.limits.resume_bytes() } else { self.limits.spill_bytes };
        self.is_over_threshold = self.accepted_bytes() >= limit_bytes;
    }

    /// Whether the oldest batch that waits may go to the log. One that only keeps the place of an answer may.
    fn may_admit(&self) -> bool {
        let is_free = !self.is_over_threshold
            && self.full_subscribers_count == 0
            && self.intake.log == LogState::Stores
            && self.stopping == Stopping::No;
        is_free || self.intake.oldest_waiting_is_empty()
    }

    /// Gives the log what waits, as far as memory, subscribers and the log allow.
    pub(crate) fn admit(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let mut records = Vec::new();
        self.watch_threshold();
        while self.intake.has_waiting() && self.may_admit() {
            if records.len() >= RECORDS_PER_STEP_MAX {
                self.continue_at = Some(now);
                break;
            }
            self.intake.append_oldest(&mut records);
            self.watch_threshold();
        }
        if !records.is_empty() {
            effects.push(Effect::Log(LogRequest::Append(records)));
        }
        if self.intake.has_durable() {
            // Answers to which nothing was left to wait for.
            self.make_visible(now, effects);
        }
    }

    pub(crate) fn handle_log(&mut self, response: &LogResponse, now: Instant, effects: &mut Effects<Effect>) {
        match *response {
            LogResponse::Durable { up_to } => {
                self.intake.set_durable(up_to);
                if let LogState::Failed { failure, .. } = self.intake.log {
                    if self.intake.has_undurable() {
                        self.intake.log = LogState::Failed { failure, retry_at: Some(now) };
                    } else {
                        self.intake.log = LogState::Stores;
                        effects.push(Effect::Report(Report::LogRestored));
                    }
                }
            }
            LogResponse::Failed(failure) => {
                // An append that has been made again since needs no third attempt.
                if self.intake.has_undurable() {
                    if self.intake.log == LogState::Stores {
                        effects.push(Effect::Report(Report::LogFailed(failure)));
                    }
                    self.intake.log = LogState::Failed { failure, retry_at: Some(now + LOG_RETRY) };
                }
            }
            LogResponse::Records(_) => self.unknown_count += 1,
        }
    }

    /// Asks a log that failed again, when it is due or a release has made room.
    pub(crate) fn append_again(&mut self, has_released: bool, now: Instant, effects: &mut Effects<Effect>) {
        let LogState::Failed { failure, retry_at: Some(retry_at) } = self.intake.log else { return };
        if retry_at <= now || (has_released && failure == LogFailure::Full) {
            self.intake.log = LogState::Failed { failure, retry_at: None };
            effects.push(Effect::Log(LogRequest::Append(self.intake.oldest_undurable())));
        }
    }

    /// Tells publishers of what is durable, and shows it to flows and subscribers.
    pub(crate) fn make_visible(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let mut records_count = 0;
        while self.intake.has_durable() {
            if !self.has_room(effects) || records_count >= RECORDS_PER_STEP_MAX {
                self.continue_at = Some(now);
                break;
            }
            let Some(batch) = self.intake.pop_durable() else { break };
            records_count += batch.publications.len();
            let Batch { publisher, token, .. } = batch;
            match batch.answer {
                Answer::Accepted => effects.push(Effect::Accepted { publisher, token }),
                Answer::Refused(refusal) => effects.push(Effect::Refused { publisher, token, refusal }),
                Answer::Suspended(connection) => effects.push(Effect::Suspended { connection }),
                Answer::Nothing => {}
            }
            self.show(batch, now, effects);
        }
        self.cut_long_queues();
    }

    fn show(&mut self, batch: Batch, now: Instant, effects: &mut Effects<Effect>) {
        let Batch { publisher, token, acknowledge, publications, first, session, answer, .. } = batch;
        let watch = match (acknowledge, answer) {
            (Acknowledge::AcceptedAndDelivered, Answer::Accepted) => {
                Some(self.watches.insert(Watch { publisher, token, records_count: 0 }))
            }
            (Acknowledge::Accepted | Acknowledge::AcceptedAndDelivered, _) => None,
        };
        for (offset, publication) in (first.0..).map(contract::Offset).zip(publications) {
            let source = Source { publisher, session };
            self.route(publication, offset, source, watch, now, effects);
        }
        if let Some(watch) = watch
            && self.watches.get(watch).records_count == 0
        {
            self.watches.remove(watch);
            self.delivered.push_back((publisher, token));
        }
    }

    /// Tells publishers whose publications every flow has settled.
    pub(crate) fn tell_delivered(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        while self.has_room(effects)
            && let Some((publisher, token)) = self.delivered.pop_front()
        {
            effects.push(Effect::Delivered { publisher, token });
        }
        if !self.delivered.is_empty() {
            self.continue_at = Some(now);
        }
    }

    /// Lets the log forget what no flow needs any more; whether there was something.
    ///
    /// Subscribers hold no log: their queues are in memory.
    pub(crate) fn release_log(&mut self, effects: &mut Effects<Effect>) -> bool {
        let lowest = self.flows.iter().filter_map(FlowCursor::lowest).fold(self.intake.lowest(), Ord::min);
        if lowest <= self.released_up_to {
            return false;
        }
        self.released_up_to = lowest;
        effects.push(Effect::Log(LogRequest::Release { up_to: lowest }));
        true
    }

    /// Tells the operator when acknowledgements begin or cease to be withheld.
    pub(crate) fn report_pressure(&mut self, effects: &mut Effects<Effect>) {
        let is_held_back = self.is_over_threshold || self.full_subscribers_count > 0;
        if is_held_back != self.told.is_held_back {
            self.told.is_held_back = is_held_back;
            let report = if is_held_back { Report::BackPressureBegan } else { Report::BackPressureEnded };
            effects.push(Effect::Report(report));
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{Offset, PublicationDraft};

    use super::*;
    use crate::limits::QueueWhenFull;
    use crate::message::{FlowOutcome, Message};
    use crate::testing::{
        FLOW, SESSION, World, accepted, client, delivered, draft, flow_offsets, publication, publish,
    };

    #[test]
    fn answers_come_in_the_order_of_tokens_and_nothing_is_seen_before_it_is_durable() {
        let mut world = World::new();
        world.flow_credit(10);
        world.log_is_held = true;
        assert_eq!(world.publish("f/a"), []);
        assert_eq!(world.publish_all(SESSION, vec![publication("f/b"), publication("f/c")], Acknowledge::Accepted), []);
        let effects = world.answer(durable(2));
        assert_eq!((accepted(&effects), flow_offsets(&effects)), (vec![1], vec![0]), "a batch is accepted whole");
        let effects = world.answer(durable(3));
        assert_eq!((accepted(&effects), flow_offsets(&effects)), (vec![2], vec![1, 2]));
    }

    #[test]
    fn delivered_follows_once_every_flow_that_takes_them_has_settled() {
        let other = contract::FlowIndex(4);
        let mut world = World::with_flows(&[(FLOW, &["f/#"]), (other, &["f/b"])], |_| {});
        world.flow_credit(10);
        let publications = vec![publication("f/a"), publication("f/b"), publication("x")];
        world.publish_all(SESSION, publications, Acknowledge::AcceptedAndDelivered);
        assert_eq!(world.flow_settled(0..1, FlowOutcome::Filtered), []);
        assert_eq!(world.flow_settled(1..2, FlowOutcome::DeadLettered), []);
        let credit = contract::Credit { count: 1, bytes: 1 };
        assert_eq!(flow_offsets(&world.step(Message::FlowCredit { flow: other, credit })), [1]);
        let settled = Message::FlowSettled {
            flow: other,
            epoch: crate::testing::EPOCH,
            offsets: vec![Offset(1)..Offset(2)],
            outcome: FlowOutcome::Delivered,
        };
        assert_eq!(world.step(settled), [Effect::Delivered { publisher: SESSION, token: PublishToken(1) }]);
        assert_eq!(world.actor.bytes(), 0);
    }

    #[test]
    fn delivered_follows_at_once_where_no_flow_takes_them() {
        let mut world = World::new();
        let effects = world.publish_all(SESSION, vec![publication("x")], Acknowledge::AcceptedAndDelivered);
        assert!(matches!(effects[..], [Effect::Accepted { .. }, Effect::Delivered { .. }]));
    }

    #[test]
    fn at_the_threshold_publishers_wait_until_memory_has_fallen_below_seven_eighths() {
        let size = publication("f/0").size_bytes() as u64;
        let mut world = World::with(|limits| limits.spill_bytes = size * 8);
        for _ in 0..7 {
            assert_eq!(accepted(&world.publish("f/0")).len(), 1);
        }
        let effects = world.publish("f/0");
        assert!(matches!(effects[..], [Effect::Report(Report::BackPressureBegan), Effect::Accepted { .. }]));
        assert_eq!(world.publish("f/0"), []);
        assert!(world.actor.is_under_pressure());
        assert_eq!(world.actor.bytes(), size * 9, "what waits counts");
        world.flow_credit(10);
        assert_eq!(world.flow_settled(0..1, FlowOutcome::Delivered), [], "seven eighths are left");
        let effects = world.flow_settled(1..2, FlowOutcome::Delivered);
        assert_eq!(accepted(&effects), [9]);
        assert!(effects.contains(&Effect::Report(Report::BackPressureEnded)));
    }

    #[test]
    fn past_the_hard_limit_connections_are_refused_and_sessions_wait() {
        let size = publication("f/0").size_bytes() as u64;
        let mut world = World::with(|limits| {
            limits.spill_bytes = size * 8;
            limits.shard_bytes_max = size * 9;
        });
        for _ in 0..9 {
            world.publish("f/0");
        }
        let refusal = Refusal::QuotaExceeded;
        let refused = |token| Effect::Refused { publisher: client(1), token: PublishToken(token), refusal };
        assert_eq!(world.publish_as(client(1), publication("f/0")), [refused(10)]);
        let at_most_once = publish(&PublicationDraft { qos: QoS::AtMostOnce, ..draft("f/0") }, b"1");
        assert_eq!(accepted(&world.publish_as(client(1), at_most_once.clone())), [11], "QoS 0 is dropped");
        assert_eq!(world.counter("publications_dropped_memory_budget"), 1);
        let mixed = vec![publication("f/0"), at_most_once];
        assert_eq!(world.publish_all(client(1), mixed, Acknowledge::Accepted), [refused(12)]);
        assert_eq!(world.publish("f/0"), [], "a Session's publication waits");
        assert_eq!(world.counter("publications_refused"), 2);
        world.flow_credit(10);
        assert_eq!(accepted(&world.flow_settled(0..8, FlowOutcome::Delivered)), [9, 13]);
    }

    #[test]
    fn a_refusal_does_not_overtake_earlier_publications_of_its_publisher() {
        let size = publication("f/0").size_bytes() as u64;
        let mut world = World::with(|limits| {
            limits.spill_bytes = size;
            limits.shard_bytes_max = size * 2;
        });
        world.publish("f/0");
        world.publish_as(client(1), publication("f/0"));
        assert_eq!(world.publish_as(client(1), publication("f/0")), []);
        assert_eq!(world.publish_as(client(2), publication("f/0")).len(), 1, "another one is told at once");
        world.flow_credit(10);
        let effects = world.flow_settled(0..1, FlowOutcome::Delivered);
        assert_eq!(accepted(&effects), [2]);
        assert!(matches!(effects[1], Effect::Refused { token: PublishToken(3), .. }), "{effects:?}");
    }

    #[test]
    fn a_message_larger_than_the_profile_allows_is_refused() {
        let mut world = World::with(|limits| limits.message_bytes_max = 100);
        let large = publish(&draft("x"), &[7; 100]);
        let effects = world.publish_as(client(1), large.clone());
        assert!(matches!(effects[..], [Effect::Refused { refusal: Refusal::TooLarge, .. }]));
        assert_eq!(accepted(&world.publish_as(SESSION, large)), [2], "a Session's is taken");
    }

    #[test]
    fn a_failed_log_acknowledges_nothing_and_is_asked_again_until_it_stores() {
        let mut world = World::new();
        world.flow_credit(10);
        world.log_is_held = true;
        world.publish("f/a");
        world.publish("f/b");
        let failed = LogResponse::Failed(LogFailure::Device);
        assert_eq!(world.answer(failed.clone()), [Effect::Report(Report::LogFailed(LogFailure::Device))]);
        assert_eq!(world.answer(failed), [], "the second append failed for the same reason");
        assert_eq!(world.publish("f/c"), [], "what comes meanwhile waits");
        world.log_is_held = false;
        assert_eq!(world.wait(Duration::from_millis(99)), []);
        let effects = world.wait(Duration::from_millis(1));
        assert_eq!((accepted(&effects), flow_offsets(&effects)), (vec![1, 2, 3], vec![0, 1, 2]));
        assert!(effects.contains(&Effect::Report(Report::LogRestored)));
    }

    #[test]
    fn a_full_log_is_asked_again_when_a_release_has_made_room() {
        let mut world = World::new();
        world.log = crate::MemoryLog::new(crate::testing::EPOCH, publication("f/a").size_bytes() as u64 * 2);
        world.flow_credit(10);
        for _ in 0..2 {
            world.publish("f/a");
        }
        assert_eq!(world.publish("f/a"), [Effect::Report(Report::LogFailed(LogFailure::Full))]);
        let effects = world.flow_settled(0..1, FlowOutcome::Delivered);
        assert_eq!((accepted(&effects), flow_offsets(&effects)), (vec![3], vec![2]));
        assert_eq!(world.log.count(), 2);
    }

    #[test]
    fn the_log_keeps_what_a_flow_has_not_settled_and_forgets_the_rest() {
        let mut world = World::new();
        world.publish("x");
        assert_eq!(world.log.count(), 0, "no flow takes it");
        world.flow_credit(10);
        for _ in 0..3 {
            world.publish("f/a");
        }
        world.flow_settled(2..3, FlowOutcome::Delivered);
        assert_eq!(world.log.count(), 3);
        world.flow_settled(1..2, FlowOutcome::Delivered);
        assert_eq!(world.log_requests.last(), Some(&LogRequest::Release { up_to: Offset(3) }));
        assert_eq!(world.log.count(), 1);
    }

    #[test]
    fn a_full_subscriber_holds_publishers_back_where_nothing_may_be_dropped() {
        let mut world = World::with(|limits| {
            limits.subscriber_queue_when_full = QueueWhenFull::BackPressure;
            limits.subscriber_queue_count_max = 8;
        });
        world.subscribe(1, "x");
        for _ in 0..8 {
            world.publish("x");
        }
        assert_eq!(world.publish("x"), []);
        assert_eq!(world.publish("elsewhere"), [], "the slowest subscriber sets the pace for all");
        assert_eq!(world.subscriber_credit(1, 1).len(), 1, "seven of eight still wait");
        let effects = world.subscriber_credit(1, 1);
        assert_eq!((delivered(&effects).len(), accepted(&effects)), (1, vec![9, 10]));
        for _ in 0..2 {
            world.publish("x");
        }
        let effects = world.detach(1);
        assert!(effects.contains(&Effect::Report(Report::BackPressureEnded)), "{effects:?}");
        assert_eq!(world.counter("dropped_session_ended"), 10);
    }

    fn durable(up_to: u64) -> LogResponse {
        LogResponse::Durable { up_to: Offset(up_to) }
    }
}
