//! Records to the client, within its Receive Maximum and what its socket takes, and credit for more (MQTT 5.0 §3.3, §4.9).
//!
//! A `QoS` 0 delivery settles when its packet is handed to the socket's shell, which happens only while less than
//! `output_bytes_max` wait for the send buffer; one of `QoS` 1 when its PUBACK comes.

use contract::{Delivery, DeliveryOutcome, Hop, PartitionIndex, QoS};
use mqtt::{OutgoingPublish, PacketIdentifier, ProtocolVersion};

use crate::delivery_window::InFlight;
use crate::state::Phase;
use crate::step::{LARGE_PAYLOAD_BYTES, Step};
use crate::{Connection, Effect};

impl Connection {
    pub(crate) fn handle_deliver(&mut self, partition: PartitionIndex, deliveries: Vec<Delivery>) {
        let Some(window) = &mut self.deliveries else { return };
        for delivery in deliveries {
            window.arrive(partition, delivery);
        }
    }

    pub(crate) fn handle_puback(&mut self, packet_identifier: PacketIdentifier, step: &mut Step<'_>) {
        // An unknown one is left alone: no Reason Code of the standard speaks of it.
        let Some(window) = &mut self.deliveries else { return };
        if let Some(settled) = window.acknowledge(packet_identifier) {
            window.settle(settled.partition, settled.bytes);
            step.settle(settled.partition, settled.number, DeliveryOutcome::Delivered);
        }
    }

    /// Sends what waits, in order, until a window or the output is full.
    pub(crate) fn send_waiting(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Connected) || self.is_socket_closed {
            return;
        }
        loop {
            let backlog_bytes = self.output_backlog_bytes(step);
            let Some(window) = self.deliveries.as_deref_mut() else { return };
            let Some((_, delivery)) = window.waiting.front() else {
                window.shrink();
                return;
            };
            let window_max = self.config.deliveries_count_max.min(self.client_receive_maximum.into()) as usize;
            let is_window_full = delivery.qos != QoS::AtMostOnce && window.in_flight_span() >= window_max;
            if is_window_full || backlog_bytes >= self.config.output_bytes_max {
                return;
            }
            if !step.has_room() {
                step.again = true;
                return;
            }
            let Some((partition, delivery)) = window.waiting.pop_front() else { return };
            self.send(partition, &delivery, step);
        }
    }

    fn send(&mut self, partition: PartitionIndex, delivery: &Delivery, step: &mut Step<'_>) {
        let Some(window) = self.deliveries.as_deref_mut() else { return };
        let publication = &delivery.publication;
        let bytes = publication.size_bytes() as u64;
        let remaining_s = publication.message_expiry_remaining_s(step.now);
        if remaining_s == Some(0) {
            window.settle(partition, bytes);
            step.settle(partition, delivery.number, DeliveryOutcome::Expired);
            return;
        }
        let mut packet = OutgoingPublish {
            dup: false,
            retain: delivery.retain,
            qos: delivery.qos,
            packet_identifier: (delivery.qos != QoS::AtMostOnce).then_some(PacketIdentifier::MIN),
            topic_name: publication.topic_name(),
            topic_alias: None,
            properties: publication.properties(),
            message_expiry_s: remaining_s,
            subscription_identifiers: &delivery.subscription_identifiers,
            payload_bytes: publication.payload().len(),
        };
        let packet_bytes_max = self.client_packet_bytes_max.min(mqtt::VARIABLE_BYTE_INTEGER_MAX) as usize;
        if packet.packet_bytes(self.version) > packet_bytes_max {
            window.settle(partition, bytes);
            step.settle(partition, delivery.number, DeliveryOutcome::PacketTooLarge);
            return;
        }
        if packet.packet_identifier.is_some() {
            let in_flight = InFlight { partition, number: delivery.number, bytes };
            packet.packet_identifier = Some(window.send(in_flight));
        } else {
            window.settle(partition, bytes);
            step.settle(partition, delivery.number, DeliveryOutcome::Delivered);
        }
        write(&packet, delivery, self.version, step);
        self.counts.deliveries += 1;
        step.effects.observe(
            Hop::ReceivedToSubscriber,
            step.now - publication.received_at(),
            publication.points_count().max(1),
        );
    }

    /// Gives every partition its first credit, some in each step, once the client subscribed.
    pub(crate) fn give_first_credits(&mut self, step: &mut Step<'_>) {
        if !matches!(self.phase, Phase::Connected) {
            return;
        }
        let Some(window) = self.deliveries.as_deref_mut() else { return };
        let until = self.config.partitions_count.min(window.credited_until + Step::first_credits_max());
        for partition in (window.credited_until..until).map(PartitionIndex) {
            if let Some(credit) = window.refill(partition) {
                step.effects.push(Effect::Credit { partition, credit });
            }
        }
        window.credited_until = until;
        step.again |= until < self.config.partitions_count;
    }

    /// Gives partitions whose deliveries were settled what their share lacks.
    pub(crate) fn refill_credits(&mut self, partitions: &[PartitionIndex], step: &mut Step<'_>) {
        let Some(window) = self.deliveries.as_deref_mut() else { return };
        for partition in partitions {
            if let Some(credit) = window.refill(*partition) {
                step.effects.push(Effect::Credit { partition: *partition, credit });
            }
        }
    }
}

fn write(packet: &OutgoingPublish<'_>, delivery: &Delivery, version: ProtocolVersion, step: &mut Step<'_>) {
    if packet.payload_bytes >= LARGE_PAYLOAD_BYTES {
        packet.encode_header(&mut step.output, version);
        step.write_shared(delivery.publication.payload_shared());
    } else {
        step.output.reserve(packet.packet_bytes(version));
        packet.encode_header(&mut step.output, version);
        step.output.extend_from_slice(delivery.publication.payload());
    }
}
