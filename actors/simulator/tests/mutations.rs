//! Each kind of damage is caught: an invariant that nothing can break proves nothing.

use simulator::{Mutation, Options, Simulator};

/// Seeds that each mutation is given.
const SEEDS_COUNT: u64 = 500;

/// The damage is found within the seeds, and the seed that found it runs without it.
fn is_caught(mutation: Mutation) {
    // Actors that find the damage themselves panic; their words are the finding.
    std::panic::set_hook(Box::new(|_| {}));
    let options = Options { mutation: Some(mutation), ..Options::default() };
    let caught = (0..SEEDS_COUNT).find_map(|seed| Simulator::new(seed, options).run().err().map(|wrong| (seed, wrong)));
    drop(std::panic::take_hook());
    let (seed, wrong) = caught.unwrap_or_else(|| panic!("{mutation:?} was not caught by {SEEDS_COUNT} seeds"));
    println!("{mutation:?} is caught by seed {seed}: {wrong}");
    for seed in 0..=seed {
        Simulator::new(seed, Options::default()).run().unwrap_or_else(|wrong| panic!("without damage: {wrong}"));
    }
}

macro_rules! mutations {
    ($($name:ident = $mutation:ident,)*) => {
        $(#[test] fn $name() { is_caught(Mutation::$mutation); })*

        #[test]
        fn every_mutation_has_its_test() {
            assert_eq!(Mutation::ALL, [$(Mutation::$mutation,)*]);
        }
    };
}

mutations! {
    a_dropped_record = RecordDropped,
    two_events_swapped = EventsSwapped,
    an_event_id_that_changes = EventIdChanged,
    an_event_twice = EventDuplicated,
    a_cursor_one_too_far = CursorTooFar,
    a_lost_settlement = SettlementLost,
    a_settlement_twice = SettlementTwice,
    an_early_acknowledgement = AcknowledgedEarly,
    an_acceptance_for_the_wrong_token = AcceptedForAnother,
    a_lost_acceptance = AcceptanceLost,
    a_lost_delivery = DeliveryLost,
    two_deliveries_swapped = DeliveriesSwapped,
    released_taken_for_accepted = ReleasedTakenForAccepted,
    a_doubled_credit = CreditDoubled,
    a_lost_credit = CreditLost,
    a_packet_identifier_forgotten_at_park = PacketIdentifierForgotten,
    a_pubrel_that_is_not_sent_again = PubrelNotResent,
    a_received_identifier_forgotten = ReceivedForgotten,
    a_session_resent_out_of_order = ResentOutOfOrder,
    a_delivery_in_flight_lost_at_park = InFlightLost,
    a_waiting_delivery_lost_at_park = WaitingLost,
    a_parked_session_forgotten = SessionForgotten,
    a_will_though_the_session_goes_on = WillThoughResumed,
    a_lost_will = WillLost,
    a_will_twice = WillTwice,
    qos_zero_for_an_absent_subscriber = QosZeroThoughAway,
    a_lost_resumption = ResumeLost,
    a_lost_suspension = SuspendLost,
    a_lost_end_of_a_session = EndSessionLost,
}
