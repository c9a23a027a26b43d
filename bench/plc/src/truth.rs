//! The lines of a truth file: what the plant knows it made, and what it saw on the wire.
//!
//! A truth file is JSON, one object a line, in this order: one [`TruthLine::Plant`], a [`TruthLine::Tag`] for each tag
//! in the order of their indices, then every [`TruthLine::Publish`] and every [`TruthLine::Acknowledgement`] of each
//! server in the order of their times. Times are in units of 100 ns since 1970-01-01 UTC, the resolution of OPC UA.

use serde::{Deserialize, Serialize};

/// OPC UA counts from 1601-01-01: this much more than from 1970-01-01, in units of 100 ns.
pub const OPCUA_EPOCH_OFFSET_100NS: i64 = 116_444_736_000_000_000;

/// One line of a truth file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TruthLine {
    /// Of which plant, and whether the record is whole.
    Plant {
        /// Number of tags that follow.
        tags: u32,
        /// When the file was written.
        written_100ns: i64,
        /// Changes that the bounded record had to forget, oldest first, since the plant started. Where it is not 0,
        /// the lists of changes begin late; `first` and `last` still hold.
        changes_forgotten: u64,
        /// Publish responses and acknowledgements that the bounded record had to forget.
        messages_forgotten: u64,
        /// Whether Publish and Acknowledgement lines can be there: only behind the fault front, without encryption.
        observed: bool,
    },
    /// Everything one tag did.
    Tag {
        /// Identifier of its NodeId, such as `asset007.tag13`.
        tag: String,
        /// Index in the whole plant.
        index: u32,
        /// Sequence number of the first value there was.
        first: u32,
        /// Sequence number of the newest value.
        last: u32,
        /// Server, from 0.
        server: u32,
        /// Subscription of the newest MonitoredItem on it; 0 if there never was one.
        subscription: u32,
        /// Sequence number and SourceTimestamp of the changes on record, oldest first.
        changes: Vec<(u32, i64)>,
    },
    /// A Publish response on its way from the server.
    Publish {
        /// Server, from 0.
        server: u32,
        /// Subscription it belongs to.
        subscription: u32,
        /// Sequence number of the NotificationMessage; a keep-alive names the next one.
        sequence: u32,
        /// `PublishTime` of the NotificationMessage: no value made after it is in there.
        publish_100ns: i64,
        /// When it passed the front.
        seen_100ns: i64,
        /// Values of the first DataChangeNotification; 0 in a keep-alive.
        values: u32,
    },
    /// An acknowledgement in a Publish request.
    Acknowledgement {
        /// Server, from 0.
        server: u32,
        /// Subscription it belongs to.
        subscription: u32,
        /// Sequence number of the NotificationMessage that is acknowledged.
        sequence: u32,
        /// When it passed the front.
        seen_100ns: i64,
    },
}
