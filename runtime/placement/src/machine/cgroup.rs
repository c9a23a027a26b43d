//! Quotas of the control group: versions 2 and 1, and both at once.

use std::path::{Path, PathBuf};

use super::text;

/// What the control groups allow; the tightest of the process's own group and all above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) quota_millicores: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
}

/// A limit of version 1 from here on means none: the kernel writes the largest number of whole pages.
const UNLIMITED_BYTES_MIN: u64 = 1 << 62;
/// Groups above the own one that are looked at.
const DEPTH_MAX: usize = 64;

/// Reads the limits of the process whose `/proc/self/cgroup` lies below `root`.
pub(super) fn read(root: &Path) -> Cgroup {
    let mut cgroup = Cgroup::default();
    let mount = root.join("sys/fs/cgroup");
    for line in text(&root.join("proc/self/cgroup")).lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let has = |name: &str| controllers.split(',').any(|controller| controller == name);
        if controllers.is_empty() {
            for hierarchy in [mount.clone(), mount.join("unified")] {
                for folder in upwards(&hierarchy, path) {
                    cgroup.tighten(quota_v2(&folder), bytes(&folder.join("memory.max")));
                }
            }
        }
        if has("cpu") {
            for hierarchy in [mount.join("cpu"), mount.join(controllers)] {
                for folder in upwards(&hierarchy, path) {
                    cgroup.tighten(quota_v1(&folder), None);
                }
            }
        }
        if has("memory") {
            for folder in upwards(&mount.join("memory"), path) {
                cgroup.tighten(None, bytes(&folder.join("memory.limit_in_bytes")));
            }
        }
    }
    cgroup
}

impl Cgroup {
    fn tighten(&mut self, quota_millicores: Option<u64>, memory_bytes: Option<u64>) {
        self.quota_millicores = [self.quota_millicores, quota_millicores].into_iter().flatten().min();
        self.memory_bytes = [self.memory_bytes, memory_bytes].into_iter().flatten().min();
    }
}

/// The folders of a group and of all groups above it, the mount itself last. A container may see its own group as the
/// mount, and still be told its path on the host: those folders are just not there.
fn upwards(hierarchy: &Path, path: &str) -> Vec<PathBuf> {
    let own = Path::new(path.trim_start_matches('/'));
    let is_plain = own.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_plain {
        return vec![hierarchy.to_owned()];
    }
    own.ancestors().take(DEPTH_MAX).map(|folder| hierarchy.join(folder)).collect()
}

/// `cpu.max`: quota and period in microseconds, or `max`.
fn quota_v2(folder: &Path) -> Option<u64> {
    let text = text(&folder.join("cpu.max"));
    let mut words = text.split_whitespace();
    millicores(words.next()?.parse().ok()?, words.next()?.parse().ok()?)
}

/// `cpu.cfs_quota_us`, -1 for none, and `cpu.cfs_period_us`.
fn quota_v1(folder: &Path) -> Option<u64> {
    let number = |name: &str| text(&folder.join(name)).trim().parse().ok();
    millicores(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn millicores(quota_us: u64, period_us: u64) -> Option<u64> {
    quota_us.saturating_mul(1_000).checked_div(period_us)
}

fn bytes(path: &Path) -> Option<u64> {
    text(path).trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_BYTES_MIN)
}
