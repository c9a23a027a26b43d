//! What a connection asks of partitions for its client: Subscriptions (MQTT 5.0 §3.8), and the answers.

use crate::QoS;

/// Names one SUBSCRIBE or UNSUBSCRIBE between a connection and the partitions until each has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscribeToken(pub u64);

/// Whether Retained Messages are sent when a Subscription is made (MQTT 5.0 §3.8.3.1, Retain Handling).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// 0: at each subscribe. What MQTT 3.1.1 does.
    #[default]
    Send,
    /// 1: only if the Subscription did not exist.
    SendIfNew,
    /// 2: never.
    DoNotSend,
}

/// One Topic Filter of a SUBSCRIBE with its Subscription Options (MQTT 5.0 §3.8.3.1), checked by the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRequest {
    /// A valid Topic Filter (MQTT 5.0 §4.7), without `$share/{ShareName}/`.
    pub topic_filter: Box<str>,
    /// The `ShareName` of a Shared Subscription (§4.8.2): not empty, without `/`, `+` and `#`. A Subscription is known by both.
    pub share_name: Option<Box<str>>,
    /// Maximum QoS: deliveries have the lower of this and the publication's.
    pub maximum_qos: QoS,
    /// The client's own publications are not sent back to it (MQTT-3.8.3-3).
    pub no_local: bool,
    /// Deliveries keep the RETAIN flag of the publication (MQTT-3.3.1-13); else it is 0 for all but replayed ones.
    pub retain_as_published: bool,
    /// Whether Retained Messages follow.
    pub retain_handling: RetainHandling,
    /// The Subscription Identifier, 1 to `268_435_455`, where the SUBSCRIBE had one (MQTT 5.0 §3.8.2.1.2).
    pub subscription_identifier: Option<u32>,
}

/// What a Subscription is known by (MQTT 5.0 §4.8.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionName {
    /// The `ShareName` of a Shared Subscription.
    pub share_name: Option<Box<str>>,
    /// The Topic Filter, without `$share/{ShareName}/`.
    pub topic_filter: Box<str>,
}

/// What one partition did with one [`SubscriptionRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeResult {
    /// It is there; it replaced one with the same filter or is new (MQTT-3.8.4-3).
    Granted,
    /// A limit is reached: Reason Code 0x97, Quota exceeded (0x80 for MQTT 3.1.1).
    QuotaExceeded,
}
