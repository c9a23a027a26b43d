//! The plan of a Session: which client handle is which tag, and which Subscription has which tags.
//!
//! A client handle is a *slot*: a dense number over all tags, DataSet by DataSet, those of one PublishingInterval
//! together. A Subscription is a run of slots; it holds whole DataSets, unless one alone is larger than a Subscription.

use std::sync::Arc;
use std::time::Duration;

use contract::{PartitionIndex, partition_of};

use crate::hash::Fnv;
use crate::json::value::write_key;
use crate::{
    AcknowledgeAt, Conflate, DataPoint, DataSet, DataSetDefaults, Limits, NodeIdError, NodeIdText, Sampling,
    SessionConfig,
};

/// Why a configuration cannot be run. The operator mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing to do.
    #[error("the session {session_name:?} has no data points")]
    NoDataPoints {
        /// The Session.
        session_name: String,
    },
    /// An asset without a name has no topic.
    #[error("a DataSet has no asset name")]
    NoAsset,
    /// A text that becomes an MQTT string is longer than 65,535 bytes (MQTT 5.0 §1.5.4).
    #[error("a name of asset {asset:?} is too long")]
    TooLong {
        /// The asset.
        asset: String,
    },
    /// A Topic Name is empty, or contains a wildcard or a null character (MQTT-3.3.2-2, MQTT-4.7.3-1, MQTT-4.7.3-2).
    #[error("asset {asset:?}: {topic:?} is no Topic Name")]
    Topic {
        /// The asset.
        asset: String,
        /// Its topic.
        topic: String,
    },
    /// A NodeId cannot be read.
    #[error("asset {asset:?}, data point {tag:?}: {node_id:?} is no NodeId: {error}")]
    NodeId {
        /// The asset.
        asset: String,
        /// The data point.
        tag: String,
        /// What is configured.
        node_id: String,
        /// What is wrong with it.
        error: NodeIdError,
    },
    /// Two data points of one DataSet have one name, so one would hide the other.
    #[error("asset {asset:?}: two data points are named {tag:?}")]
    DuplicateTag {
        /// The asset.
        asset: String,
        /// The name.
        tag: String,
    },
    /// An interval of zero.
    #[error("asset {asset:?}: the publishing interval is zero")]
    PublishingInterval {
        /// The asset.
        asset: String,
    },
    /// A limit outside its range.
    #[error("the limit {name} is out of its range")]
    Limit {
        /// Its name.
        name: &'static str,
    },
}

/// One tag, by its slot.
#[derive(Debug)]
pub(crate) struct PointPlan {
    pub(crate) node_id: NodeIdText,
    pub(crate) node_text: Arc<str>,
    pub(crate) sampling: Sampling,
    /// `,"name":` in [`Layout::keys`].
    pub(crate) key: (u32, u32),
    pub(crate) writer_index: u32,
}

/// One DataSet.
#[derive(Debug)]
pub(crate) struct WriterPlan {
    pub(crate) asset: Arc<str>,
    pub(crate) external_asset_id: Arc<str>,
    pub(crate) topic_name: Box<str>,
    pub(crate) partition: PartitionIndex,
    pub(crate) first_slot: u32,
    pub(crate) slots_count: u32,
    pub(crate) publishing_interval: Duration,
    pub(crate) conflate: Conflate,
    pub(crate) acknowledge: AcknowledgeAt,
    pub(crate) key_frame_count: u32,
}

/// One Subscription: a run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionPlan {
    pub(crate) first_slot: u32,
    pub(crate) slots_count: u32,
    pub(crate) publishing_interval: Duration,
}

/// All tags and DataSets.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) points: Vec<PointPlan>,
    pub(crate) writers: Vec<WriterPlan>,
    pub(crate) keys: Vec<u8>,
    pub(crate) names: Arc<[(Arc<str>, Arc<str>)]>,
    hash: u64,
}

const TEXT_BYTES_MAX: usize = 65_535;

impl Layout {
    pub(crate) fn new(config: &SessionConfig) -> Result<Self, ConfigError> {
        let mut data_sets: Vec<&DataSet> = config.data_sets.iter().filter(|set| !set.points.is_empty()).collect();
        data_sets.sort_by_key(|set| set.publishing_interval.unwrap_or(config.defaults.publishing_interval));
        let mut layout = Self { points: Vec::new(), writers: Vec::new(), keys: Vec::new(), names: [].into(), hash: 0 };
        let mut names = Vec::new();
        for data_set in data_sets {
            let writer = layout.plan_writer(config, data_set)?;
            let mut tags: Vec<&str> = data_set.points.iter().map(tag_name).collect();
            for (point, tag) in data_set.points.iter().zip(&tags) {
                layout.plan_point(&config.defaults, data_set, point)?;
                names.push((writer.asset.clone(), Arc::from(*tag)));
            }
            tags.sort_unstable();
            if let Some(pair) = tags.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(ConfigError::DuplicateTag { asset: data_set.asset.clone(), tag: pair[0].to_owned() });
            }
            layout.writers.push(writer);
        }
        if names.is_empty() {
            return Err(ConfigError::NoDataPoints { session_name: config.session_name.clone() });
        }
        layout.names = names.into();
        layout.hash = layout.hash_of_all();
        Ok(layout)
    }

    fn plan_writer(&self, config: &SessionConfig, data_set: &DataSet) -> Result<WriterPlan, ConfigError> {
        let asset = &data_set.asset;
        if asset.is_empty() {
            return Err(ConfigError::NoAsset);
        }
        let topic = data_set.topic.clone().unwrap_or_else(|| format!("{}/data/{asset}", config.topic_namespace));
        let external_asset_id = data_set.external_asset_id.as_ref().unwrap_or(asset);
        if [asset, &topic, external_asset_id].iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(ConfigError::TooLong { asset: asset.clone() });
        }
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return Err(ConfigError::Topic { asset: asset.clone(), topic });
        }
        let publishing_interval = data_set.publishing_interval.unwrap_or(config.defaults.publishing_interval);
        if publishing_interval.is_zero() {
            return Err(ConfigError::PublishingInterval { asset: asset.clone() });
        }
        Ok(WriterPlan {
            asset: asset.as_str().into(),
            external_asset_id: external_asset_id.as_str().into(),
            partition: partition_of(topic.as_bytes(), config.partitions_count),
            topic_name: topic.into(),
            first_slot: to_u32(self.points.len()),
            slots_count: to_u32(data_set.points.len()),
            publishing_interval,
            conflate: data_set.conflate.unwrap_or(config.defaults.conflate),
            acknowledge: data_set.acknowledge.unwrap_or(config.defaults.acknowledge),
            key_frame_count: data_set.key_frame_count.unwrap_or(config.defaults.key_frame_count),
        })
    }

    fn plan_point(
        &mut self,
        defaults: &DataSetDefaults,
        data_set: &DataSet,
        point: &DataPoint,
    ) -> Result<(), ConfigError> {
        let node_id = point.node_id.parse::<NodeIdText>().map_err(|error| ConfigError::NodeId {
            asset: data_set.asset.clone(),
            tag: tag_name(point).to_owned(),
            node_id: point.node_id.clone(),
            error,
        })?;
        let sampling = point.sampling.or(data_set.sampling).or(defaults.sampling);
        let key_start = self.keys.len();
        self.keys.push(b',');
        write_key(&mut self.keys, tag_name(point));
        self.points.push(PointPlan {
            node_id,
            node_text: point.node_id.as_str().into(),
            sampling,
            key: (to_u32(key_start), to_u32(self.keys.len() - key_start)),
            writer_index: to_u32(self.writers.len()),
        });
        Ok(())
    }

    /// The Subscriptions, each of at most `items_per_subscription` tags, about equally large.
    pub(crate) fn subscriptions(&self, items_per_subscription: u32) -> Vec<SubscriptionPlan> {
        let mut plans = Vec::new();
        let mut writers = self.writers.as_slice();
        while let Some(first) = writers.first() {
            let count = writers.iter().take_while(|writer| writer.publishing_interval == first.publishing_interval);
            let (alike, rest) = writers.split_at(count.count());
            divide(alike, items_per_subscription, &mut plans);
            writers = rest;
        }
        plans
    }

    /// A hash over everything that client handles and MonitoredItems depend on.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn hash_of_all(&self) -> u64 {
        let mut hash = Fnv::new();
        for point in &self.points {
            let writer = &self.writers[point.writer_index as usize];
            hash.add(writer.topic_name.as_bytes());
            hash.add(point.node_text.as_bytes());
            hash.add(&self.keys[point.key.0 as usize..][..point.key.1 as usize]);
            let Sampling { sampling_interval, queue_size, update_period } = point.sampling;
            hash.add_number(u64::from(queue_size.unwrap_or_default()));
            for interval in [sampling_interval, update_period, Some(writer.publishing_interval)] {
                let nanos = interval.unwrap_or_default().as_nanos();
                hash.add_number(u64::try_from(nanos).unwrap_or(u64::MAX));
            }
        }
        hash.finish()
    }
}

fn tag_name(point: &DataPoint) -> &str {
    if point.name.is_empty() { &point.node_id } else { &point.name }
}

impl PointPlan {
    pub(crate) fn sampling_interval(&self) -> Duration {
        self.sampling.sampling_interval.unwrap_or_default()
    }

    /// The queue to ask for, in a Subscription of this PublishingInterval.
    pub(crate) fn queue_size(&self, publishing_interval: Duration, limits: &Limits) -> u32 {
        queue_size(self.sampling, publishing_interval, limits)
    }
}

/// A queue that bridges an outage on top of one PublishingInterval, with room for two more values.
fn queue_size(sampling: Sampling, publishing_interval: Duration, limits: &Limits) -> u32 {
    let sampling_interval = sampling.sampling_interval.filter(|interval| !interval.is_zero());
    let period = sampling.update_period.or(sampling_interval).unwrap_or(publishing_interval);
    let bridged = publishing_interval + limits.outage_budget;
    let values = bridged.as_nanos().div_ceil(period.as_nanos().max(1)).saturating_add(2);
    let values = u32::try_from(values).unwrap_or(u32::MAX).max(sampling.queue_size.unwrap_or(1));
    values.min(limits.monitored_item_queue_count_max)
}

/// Divides DataSets of one PublishingInterval into as few Subscriptions as fit, then evens them out.
fn divide(writers: &[WriterPlan], items_max: u32, plans: &mut Vec<SubscriptionPlan>) {
    let total: u32 = writers.iter().map(|writer| writer.slots_count).sum();
    let needed = pack(writers, items_max);
    let even = total.div_ceil(to_u32(needed.len()));
    let step = writers.iter().map(|writer| writer.slots_count).min().unwrap_or(1);
    let mut cap = even;
    while cap < items_max {
        let packed = pack(writers, cap);
        if packed.len() == needed.len() {
            plans.extend(packed);
            return;
        }
        cap = cap.saturating_add(step);
    }
    plans.extend(needed);
}

fn pack(writers: &[WriterPlan], items_max: u32) -> Vec<SubscriptionPlan> {
    let mut plans: Vec<SubscriptionPlan> = Vec::new();
    let mut open: Option<SubscriptionPlan> = None;
    for writer in writers {
        if let Some(plan) = &mut open
            && plan.slots_count + writer.slots_count <= items_max
        {
            plan.slots_count += writer.slots_count;
            continue;
        }
        plans.extend(open.take());
        let mut rest = SubscriptionPlan {
            first_slot: writer.first_slot,
            slots_count: writer.slots_count,
            publishing_interval: writer.publishing_interval,
        };
        while rest.slots_count > items_max {
            plans.push(SubscriptionPlan { slots_count: items_max, ..rest });
            rest.first_slot += items_max;
            rest.slots_count -= items_max;
        }
        open = Some(rest);
    }
    plans.extend(open);
    plans
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a Session has fewer than 2^32 tags")
}

/// Checks the limits that nothing else can be right without.
pub(crate) fn check_limits(config: &SessionConfig, limits: &Limits) -> Result<(), ConfigError> {
    for (name, is_valid) in [
        ("partitions_count", config.partitions_count > 0),
        ("items_per_subscription", (1..=100_000).contains(&limits.items_per_subscription)),
        ("items_per_call_max", (1..=100_000).contains(&limits.items_per_call_max)),
        ("monitored_item_queue_count_max", limits.monitored_item_queue_count_max > 0),
        ("unacknowledged_notifications_max", (2..=1_000).contains(&limits.unacknowledged_notifications_max)),
        (
            "publish_requests_count",
            (2..=limits.unacknowledged_notifications_max).contains(&limits.publish_requests_count),
        ),
        ("backoff_min", !limits.backoff_min.is_zero() && limits.backoff_min <= limits.backoff_max),
        ("keep_alive_interval", !limits.keep_alive_interval.is_zero()),
        ("liveness_interval", !limits.liveness_interval.is_zero()),
        ("liveness_misses_max", limits.liveness_misses_max > 0),
        ("request_timeout", !limits.request_timeout.is_zero()),
        ("payload_bytes_max", (1_024..=64 << 20).contains(&limits.payload_bytes_max)),
        ("value_bytes_max", (64..=16 << 20).contains(&limits.value_bytes_max)),
    ] {
        if !is_valid {
            return Err(ConfigError::Limit { name });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use contract::QoS;

    use super::*;

    pub(crate) fn layout_with_key_frames(key_frame_count: u32) -> Layout {
        let mut config = config(1, 2);
        config.defaults.key_frame_count = key_frame_count;
        Layout::new(&config).unwrap()
    }

    pub(crate) fn config(assets_count: usize, tags_count: usize) -> SessionConfig {
        let points = |asset: usize| {
            let point = |tag| DataPoint {
                name: format!("tag{tag}"),
                node_id: format!("ns=2;s=a{asset}.t{tag}"),
                ..DataPoint::default()
            };
            (0..tags_count).map(point).collect()
        };
        SessionConfig {
            session_name: "test".to_owned(),
            topic_namespace: "plant".to_owned(),
            defaults: DataSetDefaults::default(),
            data_sets: (0..assets_count)
                .map(|asset| DataSet { asset: format!("a{asset}"), points: points(asset), ..DataSet::default() })
                .collect(),
            partitions_count: 4,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry: None,
        }
    }

    fn sizes(layout: &Layout, items_max: u32) -> Vec<u32> {
        layout.subscriptions(items_max).iter().map(|plan| plan.slots_count).collect()
    }

    #[test]
    fn whole_data_sets_fill_equal_subscriptions() {
        let layout = Layout::new(&config(125, 50)).unwrap();
        assert_eq!(sizes(&layout, 1_000), [900, 900, 900, 900, 900, 900, 850]);
        let layout = Layout::new(&config(17, 1_000)).unwrap();
        assert_eq!(sizes(&layout, 1_000), [1_000; 17]);
    }

    #[test]
    fn a_data_set_is_divided_only_when_it_is_too_large_alone() {
        let mut config = config(3, 4);
        config.data_sets[1].points = self::config(1, 25).data_sets.remove(0).points;
        let layout = Layout::new(&config).unwrap();
        assert_eq!(sizes(&layout, 10), [4, 10, 10, 9]);
    }

    #[test]
    fn data_sets_of_one_publishing_interval_stand_together() {
        let mut config = config(4, 2);
        config.data_sets[1].publishing_interval = Some(Duration::from_millis(100));
        let layout = Layout::new(&config).unwrap();
        assert_eq!(&*layout.writers[0].asset, "a1");
        let intervals: Vec<u128> =
            layout.subscriptions(100).iter().map(|plan| plan.publishing_interval.as_millis()).collect();
        assert_eq!(intervals, [100, 1_000]);
    }

    #[test]
    fn a_queue_bridges_the_outage_budget() {
        let limits = Limits { outage_budget: Duration::from_mins(1), ..Limits::default() };
        let size = |sampling| queue_size(sampling, Duration::from_secs(1), &limits);
        let half_second = Some(Duration::from_millis(500));
        assert_eq!(size(Sampling { update_period: half_second, ..Sampling::default() }), 124);
        assert_eq!(size(Sampling { sampling_interval: half_second, ..Sampling::default() }), 124);
        assert_eq!(size(Sampling::default()), 63);
        assert_eq!(size(Sampling { queue_size: Some(200), ..Sampling::default() }), 200);
        assert_eq!(size(Sampling { update_period: Some(Duration::from_micros(1)), ..Sampling::default() }), 10_000);
    }

    #[test]
    fn what_cannot_be_run_says_where() {
        let broken = |change: fn(&mut SessionConfig)| {
            let mut config = config(2, 2);
            change(&mut config);
            Layout::new(&config).unwrap_err().to_string()
        };
        for (change, part) in [
            ((|config| config.data_sets.clear()) as fn(&mut SessionConfig), "no data points"),
            (|config| config.data_sets[0].asset.clear(), "no asset name"),
            (|config| config.data_sets[0].asset = "a+".to_owned(), "no Topic Name"),
            (
                |config| config.data_sets[1].points[1].node_id = "ns=x;i=1".to_owned(),
                "\"tag1\": \"ns=x;i=1\" is no NodeId",
            ),
            (|config| config.data_sets[0].points[1].name = "tag0".to_owned(), "two data points are named \"tag0\""),
            (|config| config.data_sets[0].publishing_interval = Some(Duration::ZERO), "interval is zero"),
            (|config| config.data_sets[0].external_asset_id = Some("x".repeat(65_536)), "too long"),
        ] {
            let text = broken(change);
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_hash_changes_with_what_handles_depend_on() {
        let hash = |config: &SessionConfig| Layout::new(config).unwrap().hash();
        let mut other = config(2, 2);
        assert_eq!(hash(&other), hash(&config(2, 2)));
        other.data_sets[0].points.swap(0, 1);
        assert_ne!(hash(&other), hash(&config(2, 2)));
    }
}
