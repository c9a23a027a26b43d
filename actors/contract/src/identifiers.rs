//! Indexes and numbers that name things, each with a type of its own.

use std::fmt;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

index!(
    /// A core of the resolved plan, from 0; executors, not kernel cpu numbers.
    CoreIndex(u16)
);
index!(
    /// A broker partition, from 0 to `backend_partitions` times `backend_workers` minus 1.
    PartitionIndex(u16)
);
index!(
    /// An OPC UA Session of the site's configuration, from 0.
    SourceIndex(u16)
);
index!(
    /// A dataflow of the site's configuration, from 0.
    FlowIndex(u16)
);
index!(
    /// A partition of an Event Hub, from 0; its id at the service is this number in decimal.
    HubPartitionIndex(u16)
);
index!(
    /// The number of a record in a partition's log, from 0, without gaps within an epoch.
    Offset(u64)
);
index!(
    /// Which life of a partition's log an offset belongs to. A log that is kept keeps its epoch; a log that was lost
    /// (memory, or a new disk) starts another, so that an event id is never given twice.
    Epoch(u64)
);
index!(
    /// Names one batch of publications between its publisher and its partition until it was accepted.
    PublishToken(u64)
);
index!(
    /// Names one egress batch between its batcher and the lane that sends it, until it settled.
    BatchId(u64)
);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Where an MQTT connection lives: it stays on its core for life.
///
/// A slot is used again after its connection ended; the generation tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionAddress {
    /// The core whose executor owns the socket.
    pub core: CoreIndex,
    /// The slot among that core's connections.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

impl fmt::Display for ConnectionAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.core, self.slot, self.generation)
    }
}

/// Who published, and is told when a partition accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Publisher {
    /// The opcua-subscription actor of this Session.
    OpcUa(SourceIndex),
    /// The mqtt-connection actor at this address.
    Connection(ConnectionAddress),
    /// The home of this session, for its Will Message. It waits for no answer.
    Will(crate::SessionId),
    /// The server itself, for the topics below `$SYS`. It waits for no answer.
    Server,
}
