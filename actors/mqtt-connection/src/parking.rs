//! A session moves between connections: from the state that it left, and into it (MQTT 5.0 §4.1, §4.4).

use contract::{Credit, DeliveryStage, ParkedDelivery, QoS, SessionState};

use crate::delivery_window::{DeliveryWindow, InFlight, packet_identifier_of};

impl DeliveryWindow {
    /// The window that goes on from `state`. What was in flight is to be sent again, in its order (MQTT-4.4.0-1, MQTT-4.6.0-1).
    ///
    /// # Panics
    /// When `state` is not one that [`DeliveryWindow::park`] left under the same number of partitions: homes keep states as they
    /// are.
    pub(crate) fn resume(total: Credit, partitions_count: u16, state: &mut SessionState) -> Self {
        let mut window = Self::new(total, partitions_count);
        assert_eq!(
            state.credits.len(),
            usize::from(partitions_count),
            "a state is of this process, and its partitions"
        );
        for (share, credit) in window.shares.iter_mut().zip(&state.credits) {
            share.given = *credit;
        }
        for (partition, delivery) in std::mem::take(&mut state.waiting) {
            window.hold(partition, delivery.publication.size_bytes() as u64);
            window.waiting.push_back((partition, delivery));
        }
        let next_sequence = u64::from(state.last_packet_identifier);
        let first = state.in_flight.first().map_or(next_sequence, |parked| u64::from(parked.packet_identifier) - 1);
        window.first_sequence = first;
        window.resend_at = first;
        for parked in std::mem::take(&mut state.in_flight) {
            let index = window.index_of_place(u64::from(parked.packet_identifier) - 1);
            assert!(index >= window.in_flight.len(), "parked in the order of sending");
            window.in_flight.resize_with(index, || None);
            let in_flight = window.in_flight_of(parked);
            window.in_flight.push_back(Some(in_flight));
        }
        // Identifiers that were given last may be complete: they are not given again before the others had their turn.
        let span = window.index_of_place(next_sequence);
        if !window.in_flight.is_empty() && span > window.in_flight.len() {
            window.in_flight.resize_with(span, || None);
        }
        window.resend_end = first + window.in_flight.len() as u64;
        window.topic_filters = std::mem::take(&mut state.topic_filters).into_iter().collect();
        window
    }

    fn in_flight_of(&mut self, parked: ParkedDelivery) -> InFlight {
        let partition = parked.partition;
        match parked.stage {
            DeliveryStage::Published(delivery) => {
                let bytes = delivery.publication.size_bytes() as u64;
                self.hold(partition, bytes);
                let (number, qos) = (delivery.number, delivery.qos);
                InFlight { partition, number, bytes, qos, is_released: false, delivery: Some(*delivery) }
            }
            DeliveryStage::Released(number) => {
                InFlight { partition, number, bytes: 0, qos: QoS::ExactlyOnce, is_released: true, delivery: None }
            }
        }
    }

    /// Leaves all of it in `state`.
    ///
    /// # Panics
    /// When a delivery in flight was not kept: sessions that outlive their connection keep each.
    pub(crate) fn park(self, state: &mut SessionState) {
        let next_sequence = self.first_sequence + self.in_flight.len() as u64;
        state.credits = self.shares.iter().map(|share| share.given).collect();
        state.last_packet_identifier = match next_sequence {
            0 => 0,
            next => packet_identifier_of(next - 1).get(),
        };
        let parked = |(sequence, in_flight): (u64, Option<InFlight>)| {
            let in_flight = in_flight?;
            let how_far = if in_flight.is_released {
                DeliveryStage::Released(in_flight.number)
            } else {
                DeliveryStage::Published(Box::new(in_flight.delivery.expect("kept for the next connection")))
            };
            let packet_identifier = packet_identifier_of(sequence).get();
            Some(ParkedDelivery { packet_identifier, partition: in_flight.partition, stage: how_far })
        };
        state.in_flight = (self.first_sequence..).zip(self.in_flight).filter_map(parked).collect();
        state.waiting = Vec::from(self.waiting);
        state.topic_filters = self.topic_filters.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use contract::{
        Delivery, DeliveryNumber, Instant, MESSAGE_EXPIRY_NEVER, PartitionIndex, PublicationArena, PublicationDraft,
        UtcTime,
    };

    use super::*;
    use crate::delivery_window::PACKET_IDENTIFIERS_COUNT;

    const TOTAL: Credit = Credit { count: 100, bytes: 100_000 };

    fn delivery(number: u64) -> Delivery {
        let draft = PublicationDraft {
            topic_name: "a",
            properties: &[],
            qos: QoS::ExactlyOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        };
        Delivery {
            number: DeliveryNumber(number),
            offset: None,
            publication: PublicationArena::new(64).begin(&draft).finish(0),
            qos: QoS::ExactlyOnce,
            retain: false,
            subscription_identifiers: Box::default(),
        }
    }

    fn send(window: &mut DeliveryWindow, number: u64) -> u16 {
        let delivery = delivery(number);
        let bytes = delivery.publication.size_bytes() as u64;
        window.hold(PartitionIndex(0), bytes);
        let in_flight = InFlight {
            partition: PartitionIndex(0),
            number: delivery.number,
            bytes,
            qos: QoS::ExactlyOnce,
            is_released: false,
            delivery: Some(delivery),
        };
        window.send(in_flight).get()
    }

    #[test]
    fn what_a_state_left_comes_back_whole_also_where_identifiers_start_again() {
        for first_sequence in [0, 5, 65_530, 65_534, 65_535, 131_068] {
            let mut window = DeliveryWindow::new(TOTAL, 1);
            window.first_sequence = first_sequence;
            let ids: Vec<u16> = (0..9).map(|number| send(&mut window, number)).collect();
            for complete in [0, 3, 8] {
                window.receive(ids[complete].try_into().unwrap(), true);
            }
            window.receive(ids[1].try_into().unwrap(), false);
            window.topic_filters.insert("a/#".into());
            let mut state = SessionState::default();
            window.park(&mut state);
            let before = state.clone();
            let mut resumed = DeliveryWindow::resume(TOTAL, 1, &mut state);
            let mut again = Vec::new();
            while let Some((id, in_flight)) = resumed.next_resend() {
                again.push((id.get(), in_flight.is_released));
                resumed.reopen();
            }
            let expected: Vec<(u16, bool)> =
                [1, 2, 4, 5, 6, 7].iter().map(|place| (ids[*place], *place == 1)).collect();
            assert_eq!(again, expected, "first sequence {first_sequence}");
            let next = send(&mut resumed, 9);
            assert_eq!(u64::from(next), (first_sequence + 9) % PACKET_IDENTIFIERS_COUNT + 1);
            resumed.in_flight.pop_back();
            let mut after = SessionState::default();
            resumed.park(&mut after);
            assert_eq!(after, before, "first sequence {first_sequence}");
        }
    }

    #[test]
    fn a_state_without_anything_in_flight_goes_on_with_the_next_identifier() {
        let mut state = SessionState {
            credits: vec![Credit { count: 1, bytes: 2 }].into(),
            waiting: vec![(PartitionIndex(0), delivery(4))],
            last_packet_identifier: 65_535,
            ..SessionState::default()
        };
        let mut window = DeliveryWindow::resume(TOTAL, 1, &mut state);
        assert!(window.next_resend().is_none());
        assert_eq!(window.waiting.len(), 1);
        assert_eq!(send(&mut window, 5), 1);
    }
}
