//! The `[plant]` table of a scenario file: what the plant is, and how it changes.

use serde::{Deserialize, Serialize};

use crate::value::{TAG_INDEX_END, ValueFormat};

/// Size and rate of a plant. As TOML, in a table `[plant]`; unknown keys are errors.
///
/// ```toml
/// [plant]
/// assets = 125            # 1 to 100,000; dealt to the servers in order
/// tags_per_asset = 50     # assets * tags_per_asset: at most 2^24
/// updates_per_s = 2.0     # cycles of each tag in a second; above 0, at most 50
/// value_bytes = 20        # 20 (String) or 8 (Double)
/// change_ratio = 1.0      # part of the cycles in which a tag changes; above 0, at most 1
/// servers = 1             # OPC UA servers, on consecutive ports; 1 to 64, no more than assets
/// seed = 1                # phases, random walks and which tag changes when
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlantScenario {
    /// Number of assets on all servers together.
    pub assets: u32,
    /// Number of tags of each asset.
    pub tags_per_asset: u32,
    /// Cycles of each tag in a second.
    pub updates_per_s: f64,
    /// Size of a value: 20 (String) or 8 (Double).
    pub value_bytes: u32,
    /// Part of the cycles in which a tag changes, drawn anew for each tag and cycle.
    pub change_ratio: f64,
    /// Number of OPC UA servers.
    pub servers: u32,
    /// Seed of phases, random walks and draws.
    pub seed: u64,
}

impl Default for PlantScenario {
    /// The published single-node workload: 6,250 tags, 2 updates a second, 20 bytes.
    fn default() -> Self {
        Self {
            assets: 125,
            tags_per_asset: 50,
            updates_per_s: 2.0,
            value_bytes: 20,
            change_ratio: 1.0,
            servers: 1,
            seed: 1,
        }
    }
}

/// Why a `[plant]` table describes no plant.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// A key outside its range.
    #[error("{key} = {value} is outside {range}")]
    OutOfRange {
        /// Name of the key.
        key: &'static str,
        /// The value it has.
        value: f64,
        /// The range it must be in, in words.
        range: &'static str,
    },
}

impl PlantScenario {
    /// Checks every key against its range.
    ///
    /// # Errors
    /// [`ScenarioError::OutOfRange`] with the first key that is outside.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let tags = u64::from(self.assets) * u64::from(self.tags_per_asset);
        let rules: [(&'static str, f64, bool, &'static str); 7] = [
            ("assets", self.assets.into(), (1..=100_000).contains(&self.assets), "1 to 100000"),
            ("tags_per_asset", self.tags_per_asset.into(), self.tags_per_asset >= 1, "1 and above"),
            (
                "assets * tags_per_asset",
                f64::from(self.assets) * f64::from(self.tags_per_asset),
                tags <= u64::from(TAG_INDEX_END),
                "1 to 16777216",
            ),
            (
                "updates_per_s",
                self.updates_per_s,
                self.updates_per_s > 0.0 && self.updates_per_s <= 50.0,
                "above 0, at most 50",
            ),
            ("value_bytes", self.value_bytes.into(), self.format().is_some(), "8 or 20"),
            (
                "change_ratio",
                self.change_ratio,
                self.change_ratio > 0.0 && self.change_ratio <= 1.0,
                "above 0, at most 1",
            ),
            (
                "servers",
                self.servers.into(),
                (1..=64).contains(&self.servers) && self.servers <= self.assets,
                "1 to 64, no more than assets",
            ),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, value, _, range)) => Err(ScenarioError::OutOfRange { key, value, range }),
            None => Ok(()),
        }
    }

    /// How values are written; `None` if `value_bytes` is neither 20 nor 8.
    pub fn format(&self) -> Option<ValueFormat> {
        ValueFormat::from_bytes(self.value_bytes)
    }

    /// Changes that the whole plant makes in a second, on average.
    pub fn changes_per_s(&self) -> f64 {
        f64::from(self.assets) * f64::from(self.tags_per_asset) * self.updates_per_s * self.change_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_published_single_node() {
        let scenario = PlantScenario::default();
        assert_eq!(scenario.check(), Ok(()));
        assert!((scenario.changes_per_s() - 12_500.0).abs() < 1e-9);
    }

    #[test]
    fn each_key_is_held_to_its_range() {
        let good = PlantScenario::default();
        let cases = [
            ("assets", PlantScenario { assets: 0, ..good.clone() }),
            ("tags_per_asset", PlantScenario { tags_per_asset: 0, ..good.clone() }),
            ("assets * tags_per_asset", PlantScenario { assets: 100_000, tags_per_asset: 1_000, ..good.clone() }),
            ("updates_per_s", PlantScenario { updates_per_s: f64::NAN, ..good.clone() }),
            ("value_bytes", PlantScenario { value_bytes: 16, ..good.clone() }),
            ("change_ratio", PlantScenario { change_ratio: 1.1, ..good.clone() }),
            ("servers", PlantScenario { assets: 2, servers: 3, ..good }),
        ];
        for (expected, scenario) in cases {
            let ScenarioError::OutOfRange { key, .. } = scenario.check().unwrap_err();
            assert_eq!(key, expected);
        }
    }
}
