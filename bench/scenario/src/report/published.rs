//! What Azure IoT Operations published about its single-node deployment ("Production deployment examples", December 2024).
//!
//! Nobody here can run it: these are published figures, never measured ones.

use serde::{Deserialize, Serialize};

/// Whose published figures stand beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum PublishedCase {
    /// The single node as it was published.
    #[serde(rename = "1a")]
    SingleNode,
    /// The single node without loss: its CPU was not published, for it sends at most one value a tag and second.
    #[serde(rename = "1b")]
    SingleNodeLossless,
}

/// Published figures; `null` where nothing is published. A pair is a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Published {
    /// In thousandths of a core.
    pub cpu_millicores: Option<[f64; 2]>,
    /// In MiB.
    pub memory_mib: Option<[f64; 2]>,
    /// Of what was sent.
    pub delivered_percent: Option<f64>,
    /// An upper bound.
    pub latency_ms: Option<f64>,
    /// Data points into Event Hubs.
    pub points_per_s: Option<f64>,
    /// MQTT messages.
    pub messages_per_s: Option<f64>,
}

/// 6 to 8 GB in MiB.
const MEMORY_MIB: [f64; 2] = [5_722.0, 7_629.0];

impl Published {
    /// The figures of `case`; all `null` for none.
    pub(crate) fn of(case: Option<PublishedCase>) -> Self {
        let both = Self {
            cpu_millicores: None,
            memory_mib: Some(MEMORY_MIB),
            delivered_percent: Some(100.0),
            latency_ms: Some(10_000.0),
            points_per_s: None,
            messages_per_s: Some(125.0),
        };
        match case {
            None => Self::default(),
            Some(PublishedCase::SingleNodeLossless) => both,
            Some(PublishedCase::SingleNode) => {
                Self { cpu_millicores: Some([2_400.0, 2_600.0]), points_per_s: Some(6_250.0), ..both }
            }
        }
    }
}

/// Why no figure of ours can be set against a published one without more words.
pub(crate) const WHY_CPU: &str = "a platform with Kubernetes against one process; other silicon; our own simulator";
/// The same for memory.
pub(crate) const WHY_MEMORY: &str =
    "theirs is the platform and its dependencies in some 55 pods, ours one process (PSS)";
/// The same for delivery.
pub(crate) const WHY_DELIVERED: &str =
    "their way of counting is not published; ours counts each point by tag and number";
/// The same for latency.
pub(crate) const WHY_LATENCY: &str =
    "theirs under ideal network conditions to Azure, ours over loopback to a local endpoint";
/// The same for rates.
pub(crate) const WHY_RATE: &str = "the rate is the workload's, not a limit of either";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sampled_case_has_a_published_cpu() {
        assert_eq!(Published::of(Some(PublishedCase::SingleNode)).cpu_millicores, Some([2_400.0, 2_600.0]));
        assert_eq!(Published::of(Some(PublishedCase::SingleNodeLossless)).cpu_millicores, None);
        assert_eq!(Published::of(None), Published::default());
    }
}
