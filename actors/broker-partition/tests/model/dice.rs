//! Seeded choices: the same seed makes the same run.

use contract::{
    Instant, MESSAGE_EXPIRY_NEVER, Publication, PublicationArena, PublicationDraft, QoS, RetainHandling,
    SubscriptionRequest, UtcTime,
};

pub(crate) struct Dice {
    state: u64,
    serial: i64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1), serial: 0 }
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).expect("31 bits") % end
    }

    /// 1 to `end`.
    pub(crate) fn number(&mut self, end: usize) -> u32 {
        1 + u32::try_from(self.below(end)).expect("a small number")
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn qos(&mut self) -> QoS {
        *self.of(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    /// A publication that no other equals; some are retained, expire, are too large, or have no payload.
    pub(crate) fn publication(&mut self, topic_names: &[&str], now: Instant) -> Publication {
        let message_expiry_s = if self.one_in(4) { self.number(3) } else { MESSAGE_EXPIRY_NEVER };
        let topic_name = *self.of(topic_names);
        self.serial += 1;
        let draft = PublicationDraft {
            topic_name,
            properties: &[],
            qos: self.qos(),
            retain: self.one_in(5),
            message_expiry_s,
            received_at: now,
            received_utc: UtcTime::from_ticks(self.serial),
        };
        let mut arena = PublicationArena::new(512);
        let mut builder = arena.begin(&draft);
        if !(draft.retain && self.one_in(4)) {
            builder.put(&self.serial.to_le_bytes());
        }
        if self.one_in(60) {
            builder.put(&[0; 400]);
        }
        builder.finish(1)
    }

    pub(crate) fn request(&mut self, filters: &[&str]) -> SubscriptionRequest {
        SubscriptionRequest {
            topic_filter: (*self.of(filters)).into(),
            share_name: None,
            maximum_qos: self.qos(),
            no_local: self.one_in(3),
            retain_as_published: self.one_in(2),
            retain_handling: *self.of(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]),
            subscription_identifier: self.one_in(2).then(|| self.number(3)),
        }
    }
}
