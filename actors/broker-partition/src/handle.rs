//! What a broker partition does with each message, and with each timeout.

use contract::{Actor, Effects, Instant};

use crate::effect::Effect;
use crate::intake::LogState;
use crate::message::Message;
use crate::state::{BrokerPartition, Stopping};

/// Effects that every step may push beside those of its loops: reports, requests to the log, one answer.
const EFFECTS_KEPT: usize = 64;

impl Actor for BrokerPartition {
    type Message = Message;
    type Effect = Effect;

    fn handle(&mut self, message: Message, now: Instant, effects: &mut Effects<Effect>) {
        match message {
            Message::Start => self.handle_start(effects),
            Message::Publish { publisher, token, publications, acknowledge } => {
                self.handle_publish(publisher, token, publications, acknowledge);
            }
            Message::Attach { connection, request } => self.handle_attach(connection, request, now, effects),
            Message::Resume { session, connection } => self.handle_resume(session, connection),
            Message::Subscribe { session, connection, token, subscriptions } => {
                self.handle_subscribe(session, connection, token, subscriptions, now, effects);
            }
            Message::Unsubscribe { session, connection, token, topic_filters } => {
                self.handle_unsubscribe(session, connection, token, &topic_filters, effects);
            }
            Message::SubscriberCredit { session, connection, credit } => {
                self.handle_subscriber_credit(session, connection, credit);
            }
            Message::DeliveriesSettled { session, connection: _, numbers, outcome } => {
                self.handle_deliveries_settled(session, &numbers, outcome);
            }
            Message::Suspend { session, connection } => self.handle_suspend(session, connection, effects),
            Message::Park { session, connection, state, session_expiry_s, will } => {
                self.handle_park(session, connection, state, (session_expiry_s, will), now, effects);
            }
            Message::Detach { session, connection, will } => {
                self.end_subscriber(session);
                self.release_session(session, connection, will, now, effects);
            }
            Message::Lost { connection } => {
                self.suspend_subscriber(connection);
                self.lose_session(connection, now, effects);
            }
            Message::EndSession { session } => self.end_subscriber(session),
            Message::FlowCredit { flow, credit } => self.handle_flow_credit(flow, credit),
            Message::FlowSettled { flow, epoch, offsets, outcome } => {
                self.handle_flow_settled(flow, epoch, &offsets, outcome);
            }
            Message::FlowRestarted { flow } => self.handle_flow_restarted(flow, effects),
            Message::Log(response) => self.handle_log(&response, now, effects),
            Message::Stop => {
                if self.stopping == Stopping::No {
                    self.stopping = Stopping::Draining;
                }
            }
        }
        self.end_step(now, effects);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.stopping == Stopping::Done {
            return None;
        }
        let retry_at = match self.intake.log {
            LogState::Stores => None,
            LogState::Failed { retry_at, .. } => retry_at,
        };
        let expiry_due = self.expiries.first().map(|(due, _)| *due);
        let session_due = self.sessions.first_due().map(|(due, _)| due);
        let due = [self.continue_at, retry_at, expiry_due, self.retained.expiry_due(), session_due];
        due.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.sweep(now);
        self.sweep_sessions(now, effects);
        self.end_step(now, effects);
    }
}

impl BrokerPartition {
    fn handle_start(&mut self, effects: &mut Effects<Effect>) {
        for cursor in &self.flows {
            effects.push(Effect::FlowReset { flow: cursor.flow });
        }
    }

    /// Moves on whatever the message has set free, from the log to publishers, flows and subscribers.
    fn end_step(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.continue_at = None;
        self.forget_subscribers(now);
        self.make_visible(now, effects);
        self.send_to_flows(now, effects);
        self.send_to_subscribers(now, effects);
        self.tell_delivered(now, effects);
        let has_released = self.release_log(effects);
        self.append_again(has_released, now, effects);
        self.admit(now, effects);
        self.report_pressure(effects);
        self.tell_when_drained(effects);
    }

    /// Whether a loop may push another effect in this step.
    #[expect(clippy::unused_self, reason = "reads as a question to the partition")]
    pub(crate) fn has_room(&self, effects: &Effects<Effect>) -> bool {
        effects.room() > EFFECTS_KEPT
    }

    fn tell_when_drained(&mut self, effects: &mut Effects<Effect>) {
        let log_owes = self.intake.has_undurable() && self.intake.log == LogState::Stores;
        let is_drained = !log_owes
            && !self.intake.has_durable()
            && self.delivered.is_empty()
            && self.flows.iter().all(|flow| flow.queued_count() == 0);
        if self.stopping == Stopping::Draining && is_drained {
            self.stopping = Stopping::Done;
            effects.push(Effect::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{Acknowledge, LogRequest, Offset};

    use super::*;
    use crate::message::FlowOutcome;
    use crate::testing::{FLOW, SESSION, World, accepted, delivered, flow_offsets, publication};

    #[test]
    fn flows_are_told_at_the_start_that_the_partition_is_there() {
        let mut world = World::new();
        assert_eq!(world.step(Message::Start), [Effect::FlowReset { flow: FLOW }]);
    }

    #[test]
    fn a_publication_is_logged_then_accepted_then_goes_to_flows_and_subscribers() {
        let mut world = World::new();
        world.flow_credit(10);
        world.subscribe(7, "f/+");
        world.subscriber_credit(7, 10);
        let effects = world.publish("f/a");
        assert!(matches!(&world.log_requests[0], LogRequest::Append(records) if records[0].offset == Offset(0)));
        assert!(matches!(effects[0], Effect::Accepted { publisher: SESSION, .. }));
        assert_eq!(flow_offsets(&effects), [0]);
        assert_eq!(delivered(&effects), [(7, "f/a".to_owned())]);
        assert_eq!(world.actor.bytes(), publication("f/a").size_bytes() as u64, "each record once");
    }

    #[test]
    fn stop_drains_the_flows_and_takes_no_more_publications() {
        let mut world = World::new();
        world.flow_credit(1);
        world.publish_all(SESSION, vec![publication("f/a"), publication("f/b")], Acknowledge::Accepted);
        assert_eq!(world.step(Message::Stop), []);
        assert_eq!(accepted(&world.publish("f/c")), [0; 0]);
        assert_eq!(world.flow_settled(0..1, FlowOutcome::Delivered), []);
        assert_eq!(flow_offsets(&world.flow_credit(1)), [1]);
        assert_eq!(world.flow_settled(1..2, FlowOutcome::Filtered), [Effect::Stopped]);
        assert_eq!(world.step(Message::Stop), []);
        assert_eq!(world.actor.poll_timeout(), None);
    }

    #[test]
    fn stop_waits_for_what_the_log_has() {
        let mut world = World::new();
        world.log_is_held = true;
        world.publish("x");
        assert_eq!(world.step(Message::Stop), []);
        let effects = world.answer(contract::LogResponse::Durable { up_to: Offset(1) });
        assert!(matches!(effects[..], [Effect::Accepted { .. }, Effect::Stopped]));
    }

    #[test]
    fn more_answers_than_a_step_may_push_follow_at_once_in_a_step_of_their_own() {
        let mut world = World::new();
        world.log_is_held = true;
        for _ in 0..BrokerPartition::EFFECTS_COUNT_MAX {
            world.publish("x");
        }
        let last = BrokerPartition::EFFECTS_COUNT_MAX as u64;
        let mut tokens = accepted(&world.answer(contract::LogResponse::Durable { up_to: Offset(last) }));
        assert!(tokens.len() < BrokerPartition::EFFECTS_COUNT_MAX);
        assert_eq!(world.actor.poll_timeout(), Some(world.now));
        tokens.append(&mut accepted(&world.wait(std::time::Duration::ZERO)));
        assert_eq!(tokens, (1..=last).collect::<Vec<_>>());
        assert_eq!(world.actor.poll_timeout(), None);
    }
}
