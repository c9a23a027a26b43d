//! What goes wrong, and how often it did.

use std::collections::BTreeMap;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The connection to an OPC UA server breaks; what is on its way is lost.
    OpcUaConnectionLost,
    /// An OPC UA server restarts: Sessions and Subscriptions are gone.
    OpcUaServerRestarted,
    /// An OPC UA server cannot be reached for a while.
    OpcUaServerAway,
    /// Nothing comes from an OPC UA server any more, although the connection stands.
    OpcUaServerSilent,
    /// Answers to Publish requests are lost for a while.
    OpcUaAnswersLost,
    /// An MQTT client's socket breaks; it comes again and sends what was not acknowledged.
    ClientVanished,
    /// An MQTT client comes again while the broker still believes in its old connection.
    ClientTakenOver,
    /// An MQTT client does not read for a while.
    ClientStalled,
    /// An MQTT client says DISCONNECT and comes again.
    ClientLeft,
    /// An MQTT client stays away for long, perhaps longer than its session is kept.
    ClientAway,
    /// Our connection actor panics: it is closed, and its session ends.
    ConnectionPanicked,
    /// The access rules are read anew.
    AccessChanged,
    /// A socket brings bytes that are no MQTT.
    MalformedBytes,
    /// The hub is over its quota.
    HubBusy,
    /// The hub releases a batch.
    HubReleased,
    /// The hub modifies a batch.
    HubModified,
    /// The hub stored a batch, and nobody hears of it.
    HubOutcomeLost,
    /// The connection to the hub breaks.
    HubConnectionLost,
    /// The hub cannot be reached for a while.
    HubAway,
    /// A partition's log is slow.
    LogLate,
    /// A partition's log is full for a while.
    LogFull,
    /// A core is slow: what it is sent comes late.
    CoreSlow,
    /// Our process is killed and starts again: what was in memory is gone.
    ProcessKilled,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::OpcUaConnectionLost,
        Self::OpcUaServerRestarted,
        Self::OpcUaServerAway,
        Self::OpcUaServerSilent,
        Self::OpcUaAnswersLost,
        Self::ClientVanished,
        Self::ClientTakenOver,
        Self::ClientStalled,
        Self::ClientLeft,
        Self::ClientAway,
        Self::ConnectionPanicked,
        Self::AccessChanged,
        Self::MalformedBytes,
        Self::HubBusy,
        Self::HubReleased,
        Self::HubModified,
        Self::HubOutcomeLost,
        Self::HubConnectionLost,
        Self::HubAway,
        Self::LogLate,
        Self::LogFull,
        Self::CoreSlow,
        Self::ProcessKilled,
    ];
}

/// How often each kind happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<Fault, u64>);

impl FaultCounts {
    /// It happened.
    pub fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// All together.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// Kinds that never happened.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| !self.0.contains_key(fault)).collect()
    }
}
