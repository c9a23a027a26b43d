//! What a person or a counter should know about a Session: connection, rejected tags, gaps, losses, revised values.

use std::sync::Arc;
use std::time::Duration;

use contract::UtcTime;

use crate::{DisconnectReason, StatusCode};

/// One thing that happened. Names are shared, so a report costs no copies of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The Session is up; what it found there.
    Resumed {
        /// How it came up.
        how: ResumedHow,
        /// Subscriptions that live on from before.
        subscriptions_kept_count: u32,
        /// Subscriptions that must be made anew.
        subscriptions_new_count: u32,
    },
    /// A Session was made.
    SessionCreated {
        /// How long the server keeps it without hearing of it; less than the outage budget loses Subscriptions.
        session_timeout: Revised<Duration>,
    },
    /// The server forgot a NotificationMessage that was not acknowledged: fewer are left unacknowledged from here on, so that a
    /// kill loses none.
    RetransmissionsShort {
        /// The Subscription's number in the plan.
        subscription_index: u32,
        /// Unacknowledged messages that are allowed from here on.
        unacknowledged_notifications_max: u32,
    },
    /// The connection is gone.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// How long until the next attempt; `None` when stopping.
        retry_in: Option<Duration>,
    },
    /// The server refused a service that everything depends on; the connection is made anew.
    ServiceFailed {
        /// The service's name.
        service: &'static str,
        /// Its answer.
        status_code: StatusCode,
    },
    /// A Subscription is complete.
    SubscriptionCreated {
        /// Its number in the plan, from 0.
        subscription_index: u32,
        /// The server's id for it.
        subscription_id: u32,
        /// MonitoredItems made.
        items_count: u32,
        /// What was asked for, and what the server made of it.
        publishing_interval: Revised<Duration>,
        /// In publishing intervals.
        lifetime_count: Revised<u32>,
        /// In publishing intervals.
        max_keep_alive_count: Revised<u32>,
        /// Items whose queue or sampling interval the server changed.
        items_revised_count: u32,
        /// The smallest queue that the server granted, with what was asked for.
        queue_size_smallest: Revised<u32>,
        /// The largest sampling interval that the server granted, with what was asked for.
        sampling_interval_largest: Revised<Duration>,
    },
    /// These tags are not monitored: the server refused them, or they cannot be asked for. The rest runs.
    TagsRejected {
        /// The tags, each with the server's answer.
        tags: Vec<RejectedTag>,
    },
    /// Values of these tags may be missing for this time: the server's queues were gone.
    Gap {
        /// The Subscription's number in the plan.
        subscription_index: u32,
        /// Its tags.
        tags: Tags,
        /// The last time at which something was heard.
        from: UtcTime,
        /// When values came again.
        until: UtcTime,
        /// Why.
        cause: GapCause,
    },
    /// A NotificationMessage of this Subscription is gone: it was sent, did not arrive, and the server has it no more.
    NotificationLost {
        /// The Subscription's number in the plan.
        subscription_index: u32,
        /// Its tags.
        tags: Tags,
        /// Its number, and how many follow that are gone too.
        sequence_number: u32,
        /// How many messages, this one included.
        count: u32,
        /// The last time at which something was heard before.
        from: UtcTime,
        /// When the loss was certain.
        until: UtcTime,
    },
    /// The server's queues for these tags were too small: values were discarded.
    Overflow {
        /// The tags, each once for every value that carried the Overflow bit.
        tags: Vec<OverflowedTag>,
    },
    /// A notification could not be read to its end: what was behind the damage is lost.
    NotificationMalformed {
        /// The Subscription's number in the plan.
        subscription_index: u32,
        /// Its tags.
        tags: Tags,
        /// Its number.
        sequence_number: u32,
        /// The last time at which something was heard before.
        from: UtcTime,
        /// When it came.
        until: UtcTime,
    },
    /// The server stopped answering; the connection is made anew.
    Silent {
        /// For how long nothing came.
        silent_for: Duration,
    },
    /// The server is not in the state Running (Part 5 §12.6): its number.
    ServerState {
        /// `ServerState`: 0 is Running.
        state: u64,
    },
}

/// What was asked for and what the server made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revised<T> {
    /// As asked for.
    pub requested: T,
    /// As the server will do it.
    pub revised: T,
}

/// A tag that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedTag {
    /// The asset.
    pub asset: Arc<str>,
    /// The tag.
    pub tag: Arc<str>,
    /// Its NodeId as configured.
    pub node_id: Arc<str>,
    /// Why.
    pub status_code: StatusCode,
}

/// A tag whose values were discarded by the server between two `SourceTimestamps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverflowedTag {
    /// The asset.
    pub asset: Arc<str>,
    /// The tag.
    pub tag: Arc<str>,
    /// SourceTimestamp of the value before, where there was one.
    pub from: Option<UtcTime>,
    /// SourceTimestamp of the first value after, or the date of its arrival where it has none.
    pub until: UtcTime,
}

/// Tags that share a fate: a run of the configuration's tags, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// All tags of the Session, each as asset and tag.
    pub names: Arc<[(Arc<str>, Arc<str>)]>,
    /// The first one meant.
    pub first: u32,
    /// How many are meant.
    pub count: u32,
}

impl Tags {
    /// The tags meant, each as asset and tag.
    pub fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.names.iter().skip(self.first as usize).take(self.count as usize)
    }
}

/// How a Session came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumedHow {
    /// A first Session, with no Subscriptions.
    New,
    /// The same Session on a new SecureChannel; its Subscriptions went on.
    Reactivated,
    /// A new Session that took over the Subscriptions of the old one, at least one of them.
    Transferred,
    /// A new Session; the server did not know the Subscriptions any more.
    Recreated,
}

/// Why values may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The server did not know the Subscription any more: it restarted, or its lifetime ended.
    SubscriptionLost,
    /// The Subscription was not heard of any more, although the server answers; it was given up.
    SubscriptionSilent,
    /// More NotificationMessages are missing than are asked for one by one.
    TooManyMissing,
    /// A call that made MonitoredItems was not answered, so it is not known which exist; the Subscription was given up.
    ItemsUncertain,
}
