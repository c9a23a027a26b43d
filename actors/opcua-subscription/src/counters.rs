//! What a Session counts, for telemetry and for the conservation law.

use contract::Counters;

use crate::state::Session;

/// Counts of the Session itself; those of values and messages are kept where they are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionCounts {
    pub(crate) connects: u64,
    pub(crate) disconnects: u64,
    pub(crate) reactivations: u64,
    pub(crate) transfers: u64,
    pub(crate) sessions_created: u64,
    pub(crate) subscriptions_created: u64,
    pub(crate) subscriptions_lost: u64,
    pub(crate) requests: u64,
    pub(crate) requests_failed: u64,
    pub(crate) notification_messages: u64,
    pub(crate) keep_alives: u64,
    pub(crate) duplicates: u64,
    pub(crate) republished: u64,
    pub(crate) messages_lost: u64,
    pub(crate) messages_malformed: u64,
    pub(crate) gaps: u64,
    pub(crate) acknowledgements: u64,
    pub(crate) acknowledgements_refused: u64,
    pub(crate) publish_requests_withheld: u64,
    pub(crate) too_many_publish_requests: u64,
    pub(crate) unknown_subscriptions: u64,
    pub(crate) tags_rejected: u64,
    pub(crate) silences: u64,
    pub(crate) states_saved: u64,
    pub(crate) server_clock_offset_ms: u64,
}

impl Counters for Session {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        let values = self.slots.counts;
        let written = self.writer.counts();
        let (texts_replaced, values_not_held) = self.writer.lesser_counts();
        let counts = self.counts;
        for (name, count) in [
            ("values_received", values.received),
            ("values_superseded", values.superseded),
            ("values_repeated", values.repeated),
            ("values_overflowed", values.overflows),
            ("values_of_unknown_handles", values.unknown_handles),
            ("values_too_large", written.values_too_large),
            ("values_not_held", values_not_held),
            ("texts_replaced", texts_replaced),
            ("other_notifications", values.other_notifications),
            ("messages_written", written.messages),
            ("points_written", written.points),
            ("payload_written_bytes", written.payload_bytes),
            ("connects", counts.connects),
            ("disconnects", counts.disconnects),
            ("reactivations", counts.reactivations),
            ("transfers", counts.transfers),
            ("sessions_created", counts.sessions_created),
            ("subscriptions_created", counts.subscriptions_created),
            ("subscriptions_lost", counts.subscriptions_lost),
            ("requests", counts.requests),
            ("requests_failed", counts.requests_failed),
            ("notification_messages", counts.notification_messages),
            ("keep_alives", counts.keep_alives),
            ("duplicates", counts.duplicates),
            ("republished", counts.republished),
            ("messages_lost", counts.messages_lost),
            ("messages_malformed", counts.messages_malformed),
            ("gaps", counts.gaps),
            ("acknowledgements", counts.acknowledgements),
            ("acknowledgements_refused", counts.acknowledgements_refused),
            ("publish_requests_withheld", counts.publish_requests_withheld),
            ("too_many_publish_requests", counts.too_many_publish_requests),
            ("unknown_subscriptions", counts.unknown_subscriptions),
            ("tags_rejected", counts.tags_rejected),
            ("silences", counts.silences),
            ("states_saved", counts.states_saved),
            ("server_clock_offset_ms", counts.server_clock_offset_ms),
            ("unaccepted_notification_messages", u64::from(self.receipts.unaccepted_count())),
        ] {
            visit(name, count);
        }
    }
}
