//! A profile: which actors exist, on which core, with which limits. Checked when it is made.

mod broker;
mod core;
mod egress;
mod log;
mod opcua;
mod runtime;

pub use broker::{BrokerProfile, MemoryProfile, QueueWhenFull};
pub use core::{CoreClass, LaneKind, ProfileCore, Selector};
pub use egress::{DataflowProfile, EgressProfile};
pub use log::{Commit, Compression, LogEngine, LogProfile};
pub use opcua::OpcuaProfile;
pub use runtime::{CoresLeft, ExecutorProfile, MailboxProfile, MemoryCeiling, TelemetryProfile};

use std::path::Path;

use crate::finding::{Position, ProfileError};
use crate::machine::MachineFacts;
use crate::reader::{Key, Reader};
use crate::source::Chain;

/// A hardware profile, every value of which is within its range.
///
/// There are no defaults in here: all values come from the profile's file and from what it inherits, `base.toml` in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name: that of its file without the ending.
    pub name: String,
    /// Whether it was chosen by the machine; such a profile may be folded without being asked.
    pub is_automatic: bool,
    /// The MQTT broker.
    pub broker: BrokerProfile,
    /// The OPC UA sessions.
    pub opcua: OpcuaProfile,
    /// The dataflows.
    pub dataflow: DataflowProfile,
    /// The destinations.
    pub egress: EgressProfile,
    /// The partition log.
    pub log: LogProfile,
    /// The channels between actors.
    pub mailbox: MailboxProfile,
    /// The executors and the blocking lanes.
    pub executor: ExecutorProfile,
    /// The memory of the process.
    pub memory: MemoryCeiling,
    /// What the process tells about itself.
    pub telemetry: TelemetryProfile,
    /// What stays free of us.
    pub cores_left: CoresLeft,
    /// The cores, in the order of the file; at least one.
    pub cores: Vec<ProfileCore>,
}

impl Profile {
    /// Loads a shipped profile by its name, or a file by its path, or `auto`, what suits this machine. `overrides` are
    /// keys from the command line, as in `egress.linger_ms=20`; they are checked alike, and the last one wins.
    ///
    /// # Errors
    /// [`ProfileError`]: everything that is wrong, with file, line, column and remedy.
    pub fn load(name_or_path: &str, overrides: &[String]) -> Result<Self, ProfileError> {
        if name_or_path == "auto" {
            let facts = MachineFacts::read(Path::new("/"))
                .map_err(|error| ProfileError::one(Position::of_file(Path::new("auto")), error.to_string()))?;
            return Self::automatic(&facts, overrides);
        }
        Self::read(&Chain::load(name_or_path, overrides)?).map(|(profile, _)| profile)
    }

    /// The shipped profile that suits a machine: `workstation-16core` from 12 physical cores on, else `vm-4vcpu`. A
    /// quota counts like missing cores.
    ///
    /// # Errors
    /// [`ProfileError`]: what is wrong with the overrides.
    pub fn automatic(facts: &MachineFacts, overrides: &[String]) -> Result<Self, ProfileError> {
        const WORKSTATION_CORES_MIN: usize = 12;
        let is_workstation = facts.cores_worth() >= WORKSTATION_CORES_MIN;
        let name = if is_workstation { "workstation-16core" } else { "vm-4vcpu" };
        let (profile, _) = Self::read(&Chain::load(name, overrides)?)?;
        Ok(Self { is_automatic: true, ..profile })
    }

    /// Reads a profile from text. `name` stands for it in findings; it may inherit shipped profiles only.
    ///
    /// # Errors
    /// As [`Profile::load`].
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, ProfileError> {
        Self::read(&Chain::from_text(name, text, overrides)?).map(|(profile, _)| profile)
    }

    /// Every key that a profile may hold, but for those of `[[core]]`, with its range.
    pub fn keys() -> Vec<Key> {
        let chain = Chain::load("vm-4vcpu", &[]).expect("shipped profiles are TOML");
        let (_, keys) = Self::read(&chain).expect("shipped profiles are free of findings");
        keys
    }

    fn read(chain: &Chain) -> Result<(Self, Vec<Key>), ProfileError> {
        let mut reader = Reader::new(chain);
        let profile = Self {
            name: chain.name.clone(),
            is_automatic: false,
            broker: BrokerProfile::read(&mut reader),
            opcua: OpcuaProfile::read(&mut reader),
            dataflow: DataflowProfile::read(&mut reader),
            egress: EgressProfile::read(&mut reader),
            log: LogProfile::read(&mut reader),
            mailbox: MailboxProfile::read(&mut reader),
            executor: ExecutorProfile::read(&mut reader),
            memory: MemoryCeiling::read(&mut reader),
            telemetry: TelemetryProfile::read(&mut reader),
            cores_left: CoresLeft::read(&mut reader),
            cores: core::read_cores(&mut reader),
        };
        // A value that is wrong by itself would bring findings that blame others.
        if reader.is_clean() {
            profile.broker.check(&mut reader);
            profile.opcua.check(&mut reader);
            profile.egress.check(&mut reader);
            profile.check(&mut reader);
        }
        let keys = reader.finish()?;
        Ok((profile, keys))
    }

    /// What must hold between tables.
    fn check(&self, reader: &mut Reader<'_>) {
        let shard_bytes_max = self.broker.memory_profile.shard_bytes_max();
        if self.log.memory_bytes_max > shard_bytes_max {
            let text = format!(
                "`memory_bytes_max` is above the budget of a shard, {shard_bytes_max} bytes under memory_profile \"{}\" of \
                 [broker]: lower it",
                self.broker.memory_profile.name()
            );
            reader.find_at_key("log", "memory_bytes_max", text);
        }
        if let Some(core) = &self.log.compression_core
            && !self.cores.iter().any(|each| each.name == *core)
        {
            let names: Vec<&str> = self.cores.iter().map(|each| each.name.as_str()).collect();
            let text = format!("`compression_core` names no [[core]]: there are {}", names.join(", "));
            reader.find_at_key("log", "compression_core", text);
        }
    }
}
