//! What comes to the partition: clients, flows, the log, time, and noise.

use std::time::Duration;

use broker_partition::{FlowOutcome, Message};
use contract::{
    Acknowledge, Actor, ConnectionAddress, CoreIndex, Credit, DeliveryNumber, DeliveryOutcome, Epoch, FlowIndex,
    LogFailure, LogRequest, LogResponse, Offset, PartitionIndex, PublishToken, Publisher, SessionId, SourceIndex,
    SubscribeToken, SubscriptionName, WillFate,
};

use crate::reference::{FLOWS, ranges};
use crate::world::{EPOCH, World};

const TOPIC_NAMES: [&str; 6] = ["a", "a/b", "a/c", "b/b", "$x", "c"];
const FILTERS: [&str; 8] = ["#", "a/#", "a/+", "+/b", "a/b", "$x", "+", "c"];

impl World {
    pub(crate) fn generated_step(&mut self) {
        match self.dice.below(24) {
            0..6 => self.publish(),
            6 => self.subscribe(),
            7 => self.unsubscribe(),
            8 => self.credit_subscriber(),
            9..12 => self.settle_deliveries(),
            12 if self.dice.one_in(4) => self.end_session(),
            12 => self.go_or_come_back(),
            13 => self.credit_flow(),
            14..16 => self.settle_flow(),
            16 if self.dice.one_in(8) => self.restart_flow(),
            17 if self.dice.one_in(2) => self.noise(),
            18 => self.pass_time(),
            _ => self.answer_of_log(),
        }
    }

    fn publish(&mut self) {
        let slot = self.some_slot();
        let publisher = match self.dice.below(4) {
            0 => Publisher::OpcUa(SourceIndex(0)),
            _ if self.clients[slot as usize].is_away => return,
            _ => {
                self.sessions.insert(self.connection(slot), self.session(slot));
                Publisher::Connection(self.connection(slot))
            }
        };
        if self.unanswered.get(&publisher).is_some_and(|pending| pending.len() >= 6) {
            return;
        }
        let count = 1 + self.dice.below(3);
        let publications: Vec<_> = (0..count).map(|_| self.dice.publication(&TOPIC_NAMES, self.now)).collect();
        self.tokens_count += 1;
        let token = PublishToken(self.tokens_count);
        self.unanswered.entry(publisher).or_default().push_back((token, publications.clone()));
        let acknowledge = [Acknowledge::Accepted, Acknowledge::AcceptedAndDelivered][usize::from(self.dice.one_in(2))];
        if acknowledge == Acknowledge::AcceptedAndDelivered {
            self.awaits_delivered.insert((publisher, token));
        }
        self.step(Message::Publish { publisher, token, publications, acknowledge });
    }

    fn subscribe(&mut self) {
        let Some((session, connection)) = self.some_client() else { return };
        let count = 1 + self.dice.below(2);
        let requests: Vec<_> = (0..count).map(|_| self.dice.request(&FILTERS)).collect();
        self.reference.asked = Some((session, requests.clone()));
        self.step(Message::Subscribe { session, connection, token: SubscribeToken(1), subscriptions: requests });
        assert!(self.reference.asked.is_none(), "seed={}: no answer", self.seed);
    }

    fn unsubscribe(&mut self) {
        let Some((session, connection)) = self.some_client() else { return };
        let filter = *self.dice.of(&FILTERS);
        self.reference.unsubscribe(session, filter);
        let topic_filters = vec![SubscriptionName { share_name: None, topic_filter: filter.into() }];
        self.step(Message::Unsubscribe { session, connection, token: SubscribeToken(2), topic_filters });
    }

    pub(crate) fn credit_subscriber(&mut self) {
        let Some((session, connection)) = self.some_client() else { return };
        let credit = Credit { count: self.dice.number(6), bytes: 400 };
        let known = self.credits.entry(session).or_default();
        known.count += credit.count;
        known.bytes += credit.bytes;
        self.step(Message::SubscriberCredit { session, connection, credit });
    }

    pub(crate) fn settle_deliveries(&mut self) {
        let Some((session, connection)) = self.some_client() else { return };
        let Some(under_way) = self.under_way.get_mut(&session) else { return };
        let numbers: Vec<DeliveryNumber> =
            under_way.iter().copied().filter(|_| self.is_healed || self.dice.one_in(2)).collect();
        under_way.retain(|number| !numbers.contains(number));
        let outcome = *self.dice.of(&[
            DeliveryOutcome::Delivered,
            DeliveryOutcome::Delivered,
            DeliveryOutcome::PacketTooLarge,
            DeliveryOutcome::Expired,
        ]);
        let numbers = ranges(numbers.into_iter().map(|number| number.0));
        let numbers = numbers.into_iter().map(|range| DeliveryNumber(range.start)..DeliveryNumber(range.end)).collect();
        self.step(Message::DeliveriesSettled { session, connection, numbers, outcome });
    }

    fn end_session(&mut self) {
        let slot = self.some_slot();
        if !self.awaits_suspended.contains(&self.connection(slot)) {
            self.end(slot);
        }
    }

    /// By DISCONNECT of its connection, or while it is away.
    pub(crate) fn end(&mut self, slot: u32) {
        let (session, connection) = (self.session(slot), self.connection(slot));
        let client = &mut self.clients[slot as usize];
        let was_away = client.is_away;
        client.is_away = false;
        client.was_away = false;
        client.session += 1;
        client.generation += 1;
        self.reference.end(session);
        self.under_way.remove(&session);
        self.credits.remove(&session);
        let message = if was_away {
            Message::EndSession { session }
        } else {
            Message::Detach { session, connection, will: WillFate::Publish }
        };
        self.step(message);
    }

    fn go_or_come_back(&mut self) {
        let slot = self.some_slot();
        if self.clients[slot as usize].is_away {
            self.come_back(slot);
            return;
        }
        let (session, connection) = (self.session(slot), self.connection(slot));
        let client = &mut self.clients[slot as usize];
        (client.is_away, client.was_away) = (true, true);
        self.awaits_suspended.insert(connection);
        self.reference.suspend(session);
        self.step(Message::Suspend { session, connection });
    }

    /// On a new connection, once the partition has let the older one go.
    pub(crate) fn come_back(&mut self, slot: u32) {
        if !self.clients[slot as usize].is_away || self.awaits_suspended.contains(&self.connection(slot)) {
            return;
        }
        self.clients[slot as usize].is_away = false;
        self.clients[slot as usize].generation += 1;
        let (session, connection) = (self.session(slot), self.connection(slot));
        self.reference.resume(session);
        self.step(Message::Resume { session, connection });
        // As its first word here would do, where the partition did not know it.
        let credit = Credit { count: 1, bytes: 1 };
        let known = self.credits.entry(session).or_default();
        known.count += credit.count;
        known.bytes += credit.bytes;
        self.step(Message::SubscriberCredit { session, connection, credit });
    }

    /// A client that is connected.
    fn some_client(&mut self) -> Option<(SessionId, ConnectionAddress)> {
        let slot = self.some_slot();
        let is_away = self.clients[slot as usize].is_away;
        (!is_away).then(|| (self.session(slot), self.connection(slot)))
    }

    pub(crate) fn credit_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let credit = Credit { count: self.dice.number(8), bytes: 500 };
        let known = &mut self.flow(flow).credit;
        known.count += credit.count;
        known.bytes += credit.bytes;
        self.step(Message::FlowCredit { flow, credit });
    }

    pub(crate) fn settle_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let known = self.flows.get_mut(&flow).expect("one of ours");
        let offsets: Vec<Offset> =
            known.under_way.iter().copied().filter(|_| self.is_healed || self.dice.one_in(2)).collect();
        for offset in &offsets {
            known.under_way.remove(offset);
            assert!(known.settled.insert(*offset), "seed={}", self.seed);
        }
        let outcome = *self.dice.of(&[FlowOutcome::Delivered, FlowOutcome::Filtered, FlowOutcome::DeadLettered]);
        let offsets = ranges(offsets.into_iter().map(|offset| offset.0));
        let offsets = offsets.into_iter().map(|range| Offset(range.start)..Offset(range.end)).collect();
        self.step(Message::FlowSettled { flow, epoch: EPOCH, offsets, outcome });
    }

    fn restart_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let known = self.flows.get_mut(&flow).expect("one of ours");
        known.credit = Credit::default();
        known.last = None;
        self.step(Message::FlowRestarted { flow });
    }

    /// What belongs to nothing here.
    fn noise(&mut self) {
        let connection = ConnectionAddress { core: CoreIndex(7), slot: 7, generation: 7 };
        let session = SessionId { home: PartitionIndex(7), number: u64::MAX };
        let (flow, offsets) = (FLOWS[0].0, vec![Offset(0)..Offset(self.dice.below(50) as u64)]);
        let outcome = FlowOutcome::Delivered;
        let numbers = vec![DeliveryNumber(0)..DeliveryNumber(u64::MAX)];
        let message = match self.dice.below(11) {
            0 => Message::FlowSettled { flow, epoch: Epoch(4), offsets, outcome },
            1 => Message::FlowSettled { flow: FlowIndex(9), epoch: EPOCH, offsets, outcome },
            2 => Message::FlowCredit { flow: FlowIndex(9), credit: Credit { count: u32::MAX, bytes: u64::MAX } },
            3 => Message::FlowRestarted { flow: FlowIndex(9) },
            4 => Message::DeliveriesSettled { session, connection, numbers, outcome: DeliveryOutcome::Delivered },
            5 => Message::Detach { session, connection, will: WillFate::Publish },
            6 => Message::Resume { session, connection },
            7 => Message::EndSession { session },
            8 => Message::Lost { connection },
            9 => Message::Log(LogResponse::Records(vec![])),
            _ => Message::Log(LogResponse::Durable { up_to: Offset(0) }),
        };
        self.step(message);
    }

    pub(crate) fn pass_time(&mut self) {
        let end = self.now + Duration::from_millis(self.dice.below(1_500) as u64);
        for calls_count in 0.. {
            assert!(calls_count < 1_000, "seed={}: timeouts never end", self.seed);
            let Some(due) = self.actor.poll_timeout().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.actor.handle_timeout(self.now, &mut self.effects);
            self.after_step();
        }
        self.now = end;
    }

    /// The log carries out its oldest request, or fails.
    pub(crate) fn answer_of_log(&mut self) {
        let Some(request) = self.log_requests.pop_front() else { return };
        let fails = !self.is_healed && matches!(request, LogRequest::Append(_)) && self.dice.one_in(12);
        let response = if fails { Some(LogResponse::Failed(LogFailure::Device)) } else { self.log.handle(request) };
        if let Some(response) = response {
            self.log_failures_count += u64::from(matches!(response, LogResponse::Failed(_)));
            if let LogResponse::Durable { up_to } = response {
                self.durable_up_to = self.durable_up_to.max(up_to);
            }
            self.step(Message::Log(response));
        }
    }
}
