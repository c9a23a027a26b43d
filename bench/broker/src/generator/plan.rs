//! The traffic of a scenario: who publishes to whom, how large, how fast.

use super::packet::QoS;

/// Who publishes to whom. Publisher p publishes to `bench/pP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nobody: connections that say nothing are the whole scenario.
    Nobody,
    /// Some publishers, one subscriber to all of them.
    FanIn {
        /// How many.
        publishers: u32,
    },
    /// Publishers with a subscriber each.
    Pairs {
        /// How many.
        pairs: u32,
    },
    /// One publisher, some subscribers.
    FanOut {
        /// How many.
        subscribers: u32,
    },
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as the broker delivers.
    Unlimited,
    /// So many messages a second, all publishers together, evenly spread over time and publishers.
    PerSecond(u32),
}

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadPlan {
    /// Who publishes to whom.
    pub(crate) shape: Shape,
    /// Of publications and subscriptions.
    pub(crate) qos: QoS,
    /// Bytes of a payload; at least a stamp.
    pub(crate) payload_bytes: usize,
    /// How fast.
    pub(crate) pace: Pace,
    /// QoS 1 messages that each publisher may have unacknowledged. A broker's Receive Maximum lowers it.
    pub(crate) window: u16,
    /// Deliveries of all that may be on their way, so that no broker has a reason to drop any. Unlimited pace only.
    pub(crate) outstanding_max: u64,
}

impl LoadPlan {
    /// Connections that publish.
    pub(crate) fn publishers_count(&self) -> u32 {
        match self.shape {
            Shape::Nobody => 0,
            Shape::FanIn { publishers } => publishers,
            Shape::Pairs { pairs } => pairs,
            Shape::FanOut { .. } => 1,
        }
    }

    /// Connections that subscribe.
    pub(crate) fn subscribers_count(&self) -> u32 {
        match self.shape {
            Shape::Nobody => 0,
            Shape::FanIn { .. } => 1,
            Shape::Pairs { pairs } => pairs,
            Shape::FanOut { subscribers } => subscribers,
        }
    }

    /// Deliveries of each message.
    pub(crate) fn copies(&self) -> u64 {
        match self.shape {
            Shape::Nobody | Shape::FanIn { .. } | Shape::Pairs { .. } => 1,
            Shape::FanOut { subscribers } => subscribers.into(),
        }
    }

    /// The Topic Name of a publisher.
    pub(crate) fn topic(publisher: u32) -> String {
        format!("bench/p{publisher}")
    }

    /// The Topic Filter of a subscriber.
    pub(crate) fn topic_filter(&self, subscriber: u32) -> String {
        match self.shape {
            Shape::Nobody | Shape::FanIn { .. } => "bench/#".to_owned(),
            Shape::Pairs { .. } => Self::topic(subscriber),
            Shape::FanOut { .. } => Self::topic(0),
        }
    }

    /// The publishers of a subscriber: the first, and how many.
    pub(crate) fn publishers_of(&self, subscriber: u32) -> (u32, u32) {
        match self.shape {
            Shape::Nobody => (0, 0),
            Shape::FanIn { publishers } => (0, publishers),
            Shape::Pairs { .. } => (subscriber, 1),
            Shape::FanOut { .. } => (0, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_says_who_publishes_to_whom() {
        let plan = |shape| LoadPlan {
            shape,
            qos: QoS::AtMostOnce,
            payload_bytes: 20,
            pace: Pace::Unlimited,
            window: 1,
            outstanding_max: 1,
        };
        let numbers = |plan: LoadPlan| (plan.publishers_count(), plan.subscribers_count(), plan.copies());
        let fan_in = plan(Shape::FanIn { publishers: 10 });
        assert_eq!((numbers(fan_in), fan_in.publishers_of(0)), ((10, 1, 1), (0, 10)));
        assert_eq!(fan_in.topic_filter(0), "bench/#");
        let pairs = plan(Shape::Pairs { pairs: 16 });
        assert_eq!((numbers(pairs), pairs.publishers_of(3)), ((16, 16, 1), (3, 1)));
        assert_eq!(pairs.topic_filter(3), LoadPlan::topic(3));
        let fan_out = plan(Shape::FanOut { subscribers: 100 });
        assert_eq!((numbers(fan_out), fan_out.publishers_of(99)), ((1, 100, 100), (0, 1)));
        assert_eq!(fan_out.topic_filter(99), LoadPlan::topic(0));
        assert_eq!(numbers(plan(Shape::Nobody)), (0, 0, 1));
    }
}
