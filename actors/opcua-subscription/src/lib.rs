//! One OPC UA Session: NotificationMessages in, one Publication for each DataSet and interval out.
//!
//! Sections of the standard are those of OPC UA 1.05.
//!
//! What holds, and is tested over thousands of seeded storms (`tests/session`): every value that the server had queued for us
//! arrives once and in order, or a [`Report`] names its tag and its time. After a kill of the process the last messages that
//! were not acknowledged come again, each with the id that it had (CloudEvents `id`, from the Subscription's birth, the
//! sequence number and the DataSet). Three things are beyond that: an interval that the server spread over several messages
//! (`MoreNotifications`) comes again message by message, the later ones under ids of their own; a Subscription that the server
//! lost during the kill begins with its current values, which an earlier life may have had; and a MonitoredItem whose queue the
//! server revised to 1 does not say what it drops (Part 4 §5.13.1.5).
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs`, `effect.rs` | the mailbox, and what is asked of the runtime |
//! | `service.rs` | the services that cross between this actor and the transport shell |
//! | `report.rs` | what people should know: gaps, losses, rejected tags, revised values |
//! | `config.rs`, `layout.rs` | DataSets and limits; which client handle is which tag, which Subscription has which tags |
//! | `state.rs`, `handle.rs` | the Session's state, and which method answers which message |
//! | `connecting.rs` | connect, activate or create, read the server, transfer |
//! | `creating.rs` | Subscriptions and MonitoredItems, made and made anew |
//! | `receiving.rs`, `subscription.rs`, `sequence.rs` | each NotificationMessage once, in order; Republish; named loss |
//! | `publishing.rs`, `receipts.rs` | publications to partitions; acknowledgement after acceptance; Publish requests |
//! | `watching.rs`, `stopping.rs` | backoff, silence, liveness; the orderly end |
//! | `session_state.rs` | what outlives the process |
//! | `binary.rs` | the zero-copy visitor over notifications |
//! | `interval.rs`, `message_writer.rs`, `json.rs`, `cloud_events.rs` | values of an interval, and the message made of them |
//! | `fuzzing.rs` | entry points for fuzz targets |
//! | `model_server.rs` | a pure server for tests and simulations |

mod base64;
mod binary;
mod cloud_events;
mod config;
mod connecting;
mod counters;
mod creating;
mod effect;
pub mod fuzzing;
mod handle;
mod hash;
mod held_values;
mod interval;
mod json;
mod latencies;
mod layout;
mod message;
mod message_writer;
pub mod model_server;
mod node_id;
mod publishing;
mod receipts;
mod receiving;
mod report;
mod sequence;
mod service;
mod session_state;
mod state;
mod status_code;
mod status_code_table;
mod stopping;
mod subscription;
mod watching;

pub use binary::DecodeError;
pub use config::{AcknowledgeAt, Conflate, DataPoint, DataSet, DataSetDefaults, Limits, Sampling, SessionConfig};
pub use effect::Effect;
pub use layout::ConfigError;
pub(crate) use layout::Layout;
pub use message::{DisconnectReason, Message};
pub use node_id::{Identifier, Namespace, NodeId, NodeIdError, NodeIdText};
pub use report::{GapCause, OverflowedTag, RejectedTag, Report, ResumedHow, Revised, Tags};
pub use service::{
    Acknowledgement, MonitoredItemRequest, MonitoredItemResult, ReadValue, Request, Response, SubscriptionParameters,
    TransferResult,
};
pub use session_state::{SessionState, SessionStateError, SubscriptionState};
pub use state::Session;
pub use status_code::StatusCode;
