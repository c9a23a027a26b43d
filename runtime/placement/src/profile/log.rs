//! `[log]`: the partition log.

use std::path::PathBuf;
use std::time::Duration;

use crate::reader::Reader;

/// Limits of the partition log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProfile {
    /// Where records are kept.
    pub engine: LogEngine,
    /// The directory of the segments.
    pub directory: PathBuf,
    /// Bytes of disk that all partitions together may take.
    pub quota_bytes: u64,
    /// What an acknowledgement waits for.
    pub commit: Commit,
    /// Bytes of one segment file.
    pub segment_bytes: u64,
    /// How a sealed segment is compressed.
    pub compression: Compression,
    /// The `[[core]]` whose processor compresses; `None`: that of the blocking lane.
    pub compression_core: Option<String>,
    /// Share of what a partition sends that may be backlog while live records arrive.
    pub drain_share_percent: u8,
    /// Records of one shard that are held in memory.
    pub memory_count_max: u32,
    /// Bytes of records of one shard that are held in memory, part of its budget.
    pub memory_bytes_max: u64,
}

/// Where a partition's records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEngine {
    /// In memory: what is not delivered when the process ends is lost.
    Memory,
    /// In segments on a local disk.
    Disk,
}

/// What an acknowledgement, MQTT's or OPC UA's, waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// For the fdatasync of its group; a group is closed after this time. A power cut loses nothing acknowledged.
    Group(Duration),
    /// For the write; fdatasync follows within this time. A power cut loses at most so much.
    Interval(Duration),
    /// For the partition's acceptance in memory.
    None,
}

/// How a sealed segment is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// By zstd, level 3.
    Zstd,
}

/// [`Commit`] without its time.
#[derive(Clone, Copy)]
enum CommitPolicy {
    Group,
    Interval,
    None,
}

impl LogProfile {
    /// What an acknowledgement waits for with this engine: one in memory has nothing to sync.
    pub fn effective_commit(&self) -> Commit {
        match self.engine {
            LogEngine::Memory => Commit::None,
            LogEngine::Disk => self.commit,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("log");
        let policies =
            [("group", CommitPolicy::Group), ("interval", CommitPolicy::Interval), ("none", CommitPolicy::None)];
        let policy = table.choice("commit", &policies);
        let commit_time = table.duration("commit_ms", 1..=10_000);
        let compression_core = table.text("compression_core", 0..=15);
        Self {
            engine: table.choice("engine", &[("memory", LogEngine::Memory), ("disk", LogEngine::Disk)]),
            directory: PathBuf::from(table.text("directory", 1..=4_095)),
            quota_bytes: table.mebibytes("quota_mib", 64..=16_777_216),
            commit: match policy {
                CommitPolicy::Group => Commit::Group(commit_time),
                CommitPolicy::Interval => Commit::Interval(commit_time),
                CommitPolicy::None => Commit::None,
            },
            segment_bytes: table.mebibytes("segment_mib", 1..=4_096),
            compression: table.choice("compression", &[("none", Compression::None), ("zstd", Compression::Zstd)]),
            compression_core: (!compression_core.is_empty()).then_some(compression_core),
            drain_share_percent: table.integer("drain_share_percent", 1..=100),
            memory_count_max: table.integer("memory_count_max", 1..=100_000_000),
            memory_bytes_max: table.integer("memory_bytes_max", 65_536..=2_147_483_648),
        }
    }
}
