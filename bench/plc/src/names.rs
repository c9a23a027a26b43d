//! How assets and tags are called, and which server holds them.

use crate::scenario::PlantScenario;

/// URI of the namespace that holds assets and tags. Its index is [`NAMESPACE_INDEX`] on every server.
pub const NAMESPACE_URI: &str = "urn:millicore:plant";
/// Index of [`NAMESPACE_URI`] in the servers' `NamespaceArray`.
pub const NAMESPACE_INDEX: u16 = 2;

/// The names of all tags of a plant, worked out from its size alone.
///
/// A tag's index counts through the whole plant: all tags of the first asset, then all of the second. Assets are
/// dealt to the servers in order, in runs whose lengths differ by at most one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    assets: u32,
    tags_per_asset: u32,
    servers: u32,
    asset_digits: usize,
    tag_digits: usize,
}

/// A run of indices: from `start`, before `end`.
pub type IndexRange = std::ops::Range<u32>;

impl Names {
    /// The names of the plant that `scenario` describes.
    pub fn new(scenario: &PlantScenario) -> Self {
        Self {
            assets: scenario.assets,
            tags_per_asset: scenario.tags_per_asset,
            servers: scenario.servers,
            asset_digits: digits(scenario.assets.saturating_sub(1)).max(3),
            tag_digits: digits(scenario.tags_per_asset.saturating_sub(1)).max(2),
        }
    }

    /// Number of tags on all servers.
    pub fn tag_count(&self) -> u32 {
        self.assets * self.tags_per_asset
    }

    /// Name of an asset, such as `asset007`: at least three digits, all names of a plant equally long.
    pub fn asset(&self, asset_index: u32) -> String {
        format!("asset{asset_index:0width$}", width = self.asset_digits)
    }

    /// Name of the tag within its asset, such as `tag13`: at least two digits.
    pub fn tag(&self, tag_index: u32) -> String {
        format!("tag{:0width$}", tag_index % self.tags_per_asset, width = self.tag_digits)
    }

    /// Identifier of the tag's NodeId in the plant's namespace, such as `asset007.tag13`.
    pub fn identifier(&self, tag_index: u32) -> String {
        format!("{}.{}", self.asset(tag_index / self.tags_per_asset), self.tag(tag_index))
    }

    /// Index of the tag called `identifier`; `None` if the plant has no such tag.
    pub fn index_of(&self, identifier: &str) -> Option<u32> {
        let (asset, tag) = identifier.split_once('.')?;
        let asset_index = number_after(asset, "asset", self.asset_digits).filter(|index| *index < self.assets)?;
        let tag_in_asset = number_after(tag, "tag", self.tag_digits).filter(|index| *index < self.tags_per_asset)?;
        Some(asset_index * self.tags_per_asset + tag_in_asset)
    }

    /// The assets that the server `server_index` holds, from 0.
    pub fn assets_of_server(&self, server_index: u32) -> IndexRange {
        let share = |index: u32| {
            let before = u64::from(self.assets) * u64::from(index) / u64::from(self.servers);
            u32::try_from(before).expect("no more than all assets")
        };
        share(server_index)..share(server_index + 1)
    }

    /// The tags that the server `server_index` holds, from 0.
    pub fn tags_of_server(&self, server_index: u32) -> IndexRange {
        let assets = self.assets_of_server(server_index);
        assets.start * self.tags_per_asset..assets.end * self.tags_per_asset
    }
}

fn digits(number: u32) -> usize {
    number.to_string().len()
}

fn number_after(text: &str, prefix: &str, width: usize) -> Option<u32> {
    let number = text.strip_prefix(prefix)?;
    let plain = number.len() == width && number.bytes().all(|byte| byte.is_ascii_digit());
    if plain { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(assets: u32, tags_per_asset: u32, servers: u32) -> Names {
        Names::new(&PlantScenario { assets, tags_per_asset, servers, ..PlantScenario::default() })
    }

    #[test]
    fn names_are_padded_and_read_back() {
        let names = names(125, 50, 1);
        assert_eq!(names.identifier(7 * 50 + 13), "asset007.tag13");
        for index in 0..names.tag_count() {
            assert_eq!(names.index_of(&names.identifier(index)), Some(index));
        }
        for stranger in ["asset125.tag00", "asset7.tag13", "asset007.tag50", "asset007", "asset+07.tag13", ""] {
            assert_eq!(names.index_of(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn large_plants_get_longer_names() {
        let names = names(1_001, 1_000, 1);
        assert_eq!(names.identifier(1_000_999), "asset1000.tag999");
    }

    #[test]
    fn every_asset_stands_on_exactly_one_server() {
        for (assets, servers) in [(85, 5), (7, 3), (3, 3), (125, 1)] {
            let names = names(assets, 10, servers);
            let mut next = 0;
            for server in 0..servers {
                let range = names.assets_of_server(server);
                assert_eq!(range.start, next);
                assert!(range.end - range.start >= assets / servers);
                assert!(range.end - range.start <= assets / servers + 1);
                next = range.end;
            }
            assert_eq!(next, assets);
        }
    }
}
