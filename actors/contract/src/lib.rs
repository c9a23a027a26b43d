//! The nouns that every actor shares: time, identifiers, publications, records, ledgers.
//!
//! | File | Its idea |
//! |---|---|
//! | `actor.rs` | a state machine that owns its state and never waits |
//! | `effects.rs` | the bounded list of what a step asks of the runtime |
//! | `time.rs` | monotonic instants and UTC ticks, always passed in |
//! | `identifiers.rs` | indexes and numbers, each with a type of its own |
//! | `publication.rs` | one MQTT Application Message as one shared, checksummed rkyv record |
//! | `publication_builder.rs` | writes such a record in place, once |
//! | `record_header.rs` | the fixed, versioned header of that record |
//! | `record.rs` | a publication with its place in a partition's log |
//! | `log.rs` | what a partition asks of its log, and what the log answers |
//! | `credit.rs` | how much a receiver has allowed a sender to have under way |
//! | `session.rs` | a session's name, how a client asks for it, what outlives its connection |
//! | `subscription.rs` | what a connection asks of partitions for its client |
//! | `delivery.rs` | one record on its way from a partition to a subscriber |
//! | `acknowledge.rs` | what a publisher's acknowledgement waits for, and why a partition refuses |
//! | `ledger.rs` | the conservation law: accepted = delivered + filtered + expired + dropped + queued |
//! | `partition_hash.rs` | which partition owns a Topic Name |
//! | `observation.rs` | latencies and counters on their way to telemetry |

mod acknowledge;
mod actor;
mod credit;
mod delivery;
mod effects;
mod identifiers;
mod ledger;
mod log;
mod observation;
mod partition_hash;
mod publication;
mod publication_builder;
mod record;
mod record_header;
mod session;
mod subscription;
mod time;

pub use acknowledge::{Acknowledge, Refusal};
pub use actor::Actor;
pub use credit::Credit;
pub use delivery::{Delivery, DeliveryNumber, DeliveryOutcome};
pub use effects::Effects;
pub use identifiers::{
    BatchId, ConnectionAddress, CoreIndex, Epoch, FlowIndex, HubPartitionIndex, Offset, PartitionIndex, PublishToken,
    Publisher, SourceIndex,
};
pub use ledger::{DropReason, Ledger};
pub use log::{LogFailure, LogRequest, LogResponse};
pub use observation::{Counters, Hop, Observation};
pub use partition_hash::{PARTITION_HASH_VERSION, fnv1a, partition_of};
pub use publication::{Publication, RecordError};
pub use publication_builder::{PublicationArena, PublicationBuilder, PublicationDraft};
pub use record::{Event, EventId, Record};
pub use record_header::{MESSAGE_EXPIRY_NEVER, QoS, RECORD_PREFIX_BYTES, RECORD_VERSION};
pub use session::{
    AttachRequest, DeliveryStage, ParkedDelivery, SESSION_EXPIRY_NEVER, SessionId, SessionState, SessionWill, WillFate,
};
pub use subscription::{RetainHandling, SubscribeResult, SubscribeToken, SubscriptionName, SubscriptionRequest};
pub use time::{Instant, UtcTime};
