//! Records to the client, within its Receive Maximum and what its socket takes, and credit for more (MQTT 5.0 §3.3, §4.3, §4.9).
//!
//! A `QoS` 0 delivery settles when its packet is handed to the socket's shell, which happens only while less than
//! `output_bytes_max` wait for the send buffer; one of `QoS` 1 when its PUBACK comes, one of `QoS` 2 when its PUBREC comes.
//! What an earlier connection sent and the client did not acknowledge goes first, in its order (MQTT-4.4.0-1, MQTT-4.6.0-1).

use contract::{Delivery, DeliveryOutcome, Hop, PartitionIndex, QoS};
use mqtt::{Acknowledgement, DecodeError, OutgoingPublish, PacketIdentifier, ReasonCode, encode_pubrel};

use crate::delivery_window::{Acknowledged, InFlight, Settled};
use crate::state::Phase;
use crate::step::{LARGE_PAYLOAD_BYTES, Step};
use crate::topic_aliases::{Naming, SentAliases};
use crate::{Connection, Effect};

impl Connection {
    pub(crate) fn handle_deliver(&mut self, partition: PartitionIndex, deliveries: Vec<Delivery>) {
        let Some(window) = &mut self.deliveries else { return };
        for delivery in deliveries {
            window.arrive(partition, delivery);
        }
    }

    /// PUBACK: the delivery is settled, whatever its Reason Code (MQTT 5.0 §4.3.2).
    pub(crate) fn handle_puback(&mut self, puback: Acknowledgement, step: &mut Step<'_>) {
        let Some(window) = &mut self.deliveries else { return };
        match window.acknowledge(puback.packet_identifier) {
            Acknowledged::Settled(settled) => self.settle(settled, step),
            // An unknown one is left alone: no Reason Code of the standard speaks of it.
            Acknowledged::Unknown | Acknowledged::Again => {}
            Acknowledged::OutOfPlace => {
                self.refuse_bytes(DecodeError::ProtocolError("PUBACK of a QoS 2 delivery (MQTT 5.0 §4.3.3)"), step);
            }
        }
    }

    /// PUBREC: the delivery is settled; PUBREL follows unless it failed (MQTT-4.3.3-4).
    pub(crate) fn handle_pubrec(&mut self, pubrec: Acknowledgement, step: &mut Step<'_>) {
        let is_failure = pubrec.reason_code.is_failure();
        let acknowledged = match &mut self.deliveries {
            Some(window) => window.receive(pubrec.packet_identifier, is_failure),
            None => Acknowledged::Unknown,
        };
        let reason_code = match acknowledged {
            Acknowledged::Settled(settled) => {
                self.settle(settled, step);
                ReasonCode::SUCCESS
            }
            Acknowledged::Again => ReasonCode::SUCCESS,
            Acknowledged::Unknown => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
            Acknowledged::OutOfPlace => {
                let error = DecodeError::ProtocolError("PUBREC of a QoS 1 delivery (MQTT 5.0 §4.3.2)");
                return self.refuse_bytes(error, step);
            }
        };
        if !is_failure {
            encode_pubrel(&mut step.output, self.version, pubrec.packet_identifier, reason_code);
        }
    }

    /// PUBCOMP: the exchange is complete (MQTT 5.0 §4.3.3).
    pub(crate) fn handle_pubcomp(&mut self, pubcomp: Acknowledgement, step: &mut Step<'_>) {
        let Some(window) = &mut self.deliveries else { return };
        if matches!(window.finish(pubcomp.packet_identifier), Acknowledged::OutOfPlace) {
            self.refuse_bytes(DecodeError::ProtocolError("PUBCOMP before PUBREL (MQTT 5.0 §4.3.3)"), step);
        }
    }

    fn settle(&mut self, settled: Settled, step: &mut Step<'_>) {
        if let Some(window) = &mut self.deliveries {
            window.settle(settled.partition, settled.bytes);
            step.settle(settled.partition, settled.number, DeliveryOutcome::Delivered);
        }
    }

    /// Sends what waits, in order, until a window or the output is full.
    pub(crate) fn send_waiting(&mut self, step: &mut Step<'_>) {
        if self.deliveries.is_none() || !matches!(self.phase, Phase::Connected) || self.is_socket_closed {
            return;
        }
        if !self.resend(step) {
            return;
        }
        let window_max = self.window_max();
        self.reserve_output(step);
        loop {
            let backlog_bytes = self.output_backlog_bytes(step);
            let Some(window) = self.deliveries.as_deref_mut() else { return };
            let Some((_, delivery)) = window.waiting.front() else {
                window.shrink();
                return;
            };
            let is_window_full = delivery.qos != QoS::AtMostOnce && !window.allows_one(window_max);
            if is_window_full || backlog_bytes >= self.config.output_bytes_max {
                return;
            }
            if !step.has_room() {
                step.again = true;
                return;
            }
            let Some((partition, delivery)) = window.waiting.pop_front() else { return };
            self.send(partition, delivery, step);
        }
    }

    /// `QoS` 1 and 2 deliveries that the client may have unacknowledged.
    fn window_max(&self) -> usize {
        self.config.deliveries_count_max.min(self.client_receive_maximum.into()) as usize
    }

    /// Makes room for what waits, if all of it is like the first, so that the output does not grow step by step.
    fn reserve_output(&self, step: &mut Step<'_>) {
        let Some(window) = &self.deliveries else { return };
        if let Some((_, delivery)) = window.waiting.front() {
            let bytes = delivery.publication.size_bytes().min(LARGE_PAYLOAD_BYTES);
            step.output.reserve((window.waiting.len() * bytes).min(LARGE_PAYLOAD_BYTES));
        }
    }

    /// Goes on with the exchanges of an earlier connection; whether all of them do.
    fn resend(&mut self, step: &mut Step<'_>) -> bool {
        let window_max = self.window_max();
        loop {
            let backlog_bytes = self.output_backlog_bytes(step);
            let Some(window) = self.deliveries.as_deref_mut() else { return true };
            let allows_one = window.allows_resend(window_max);
            let Some((packet_identifier, in_flight)) = window.next_resend() else { return true };
            // PUBREL is no PUBLISH: Receive Maximum does not hold it back (MQTT-4.9.0-3).
            if !(allows_one || in_flight.is_released) || backlog_bytes >= self.config.output_bytes_max {
                return false;
            }
            if !step.has_room() {
                step.again = true;
                return false;
            }
            let partition = in_flight.partition;
            let Some(delivery) = in_flight.delivery.clone() else {
                encode_pubrel(&mut step.output, self.version, packet_identifier, ReasonCode::SUCCESS);
                window.reopen();
                continue;
            };
            // An exchange that began must end: what has expired is sent all the same.
            let remaining_s = delivery.publication.message_expiry_remaining_s(step.now);
            if self.write_publish(&delivery, Some(packet_identifier), true, remaining_s, step) {
                self.deliveries.as_deref_mut().expect("just there").reopen();
            } else if let Some(window) = &mut self.deliveries {
                window.give_up_resend();
                window.settle(partition, delivery.publication.size_bytes() as u64);
                step.settle(partition, delivery.number, DeliveryOutcome::PacketTooLarge);
            }
        }
    }

    fn send(&mut self, partition: PartitionIndex, delivery: Delivery, step: &mut Step<'_>) {
        let publication = &delivery.publication;
        let bytes = publication.size_bytes() as u64;
        let remaining_s = publication.message_expiry_remaining_s(step.now);
        let outcome = if remaining_s == Some(0) {
            Some(DeliveryOutcome::Expired)
        } else {
            let is_acknowledged = delivery.qos != QoS::AtMostOnce;
            let window = self.deliveries.as_deref().expect("what is sent comes from it");
            let packet_identifier = is_acknowledged.then(|| window.next_packet_identifier());
            let is_sent = self.write_publish(&delivery, packet_identifier, false, remaining_s, step);
            match (is_sent, is_acknowledged) {
                (true, true) => None,
                (true, false) => Some(DeliveryOutcome::Delivered),
                (false, _) => Some(DeliveryOutcome::PacketTooLarge),
            }
        };
        let window = self.deliveries.as_deref_mut().expect("what is sent comes from it");
        if let Some(outcome) = outcome {
            window.settle(partition, bytes);
            step.settle(partition, delivery.number, outcome);
        } else {
            let (number, qos) = (delivery.number, delivery.qos);
            let kept = (self.session_expiry_s > 0).then_some(delivery);
            window.send(InFlight { partition, number, bytes, qos, is_released: false, delivery: kept });
        }
    }

    /// Writes a PUBLISH; false where the client cannot take it (MQTT-3.1.2-24).
    fn write_publish(
        &mut self,
        delivery: &Delivery,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        remaining_s: Option<u32>,
        step: &mut Step<'_>,
    ) -> bool {
        let publication = &delivery.publication;
        let (topic_name, payload) = (publication.topic_name(), publication.payload());
        let mut packet = OutgoingPublish {
            dup,
            retain: delivery.retain,
            qos: delivery.qos,
            packet_identifier,
            topic_name,
            topic_alias: None,
            properties: publication.properties(),
            message_expiry_s: remaining_s,
            subscription_identifiers: &delivery.subscription_identifiers,
            payload_bytes: payload.len(),
        };
        let packet_bytes_max = self.client_packet_bytes_max.min(mqtt::VARIABLE_BYTE_INTEGER_MAX) as usize;
        let mut lengths = packet.lengths(self.version);
        if lengths.packet_bytes() > packet_bytes_max {
            return false;
        }
        if self.client_topic_alias_maximum > 0 {
            let maximum = self.client_topic_alias_maximum;
            let aliases = self.sent_aliases.get_or_insert_with(|| Box::new(SentAliases::new(maximum)));
            match aliases.naming_of(topic_name) {
                Naming::Alias(alias) => {
                    (packet.topic_name, packet.topic_alias) = (&[], Some(alias));
                }
                Naming::Set(alias) if lengths.packet_bytes() + TOPIC_ALIAS_BYTES_MAX <= packet_bytes_max => {
                    packet.topic_alias = Some(alias);
                    aliases.set(alias, topic_name);
                }
                Naming::Set(_) | Naming::Plain => {}
            }
            if packet.topic_alias.is_some() {
                lengths = packet.lengths(self.version);
            }
        }
        if payload.len() >= LARGE_PAYLOAD_BYTES {
            packet.encode_header_of(lengths, &mut step.output, self.version);
            step.write_shared(publication.payload_shared());
        } else {
            step.output.reserve(lengths.packet_bytes());
            packet.encode_header_of(lengths, &mut step.output, self.version);
            step.output.extend_from_slice(payload);
        }
        self.counts.deliveries += 1;
        let points_count = publication.points_count().max(1);
        step.effects.observe_since(Hop::ReceivedToSubscriber, publication.received_at(), step.now, points_count);
        true
    }

    /// Gives every partition its first credit, some in each step, once the client subscribed.
    pub(crate) fn give_first_credits(&mut self, step: &mut Step<'_>) {
        let Some(session) = self.session_held().filter(|_| matches!(self.phase, Phase::Connected)) else { return };
        let Some(window) = self.deliveries.as_deref_mut() else { return };
        let until = self.config.partitions_count.min(window.credited_until + Step::first_credits_max());
        for partition in (window.credited_until..until).map(PartitionIndex) {
            if let Some(credit) = window.refill(partition) {
                step.effects.push(Effect::SubscriberCredit { partition, session, credit });
            }
        }
        window.credited_until = until;
        step.again |= until < self.config.partitions_count;
    }

    /// Tells partitions what became of their deliveries, and gives them what their share lacks.
    pub(crate) fn push_settled(&mut self, step: &mut Step<'_>) {
        let Some(session) = self.session_held() else { return };
        step.push_settled(session);
        let Some(window) = self.deliveries.as_deref_mut() else { return };
        for index in 0..step.settled_count() {
            let partition = step.settled_partition(index);
            if let Some(credit) = window.refill(partition) {
                step.effects.push(Effect::SubscriberCredit { partition, session, credit });
            }
        }
    }
}

/// What a Topic Alias adds at most: its property, and one byte for each of the two lengths that grow.
const TOPIC_ALIAS_BYTES_MAX: usize = 5;
