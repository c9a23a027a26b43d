//! One OPC UA Session: NotificationMessages in, one Publication for each DataSet and interval out.

mod base64;
mod config;
mod effect;
mod message;
mod node_id;
mod report;
mod service;
mod session_state;
mod status_code;
mod status_code_table;

pub use config::{AcknowledgeAt, Conflate, DataPoint, DataSet, DataSetDefaults, Limits, Sampling, SessionConfig};
pub use effect::Effect;
pub use message::{DisconnectReason, Message};
pub use node_id::{Identifier, Namespace, NodeId, NodeIdError, NodeIdText};
pub use report::{GapCause, OverflowedTag, RejectedTag, Report, ResumedHow, Revised, Tags};
pub use service::{
    Acknowledgement, MonitoredItemRequest, MonitoredItemResult, ReadValue, Request, Response, SubscriptionParameters,
    TransferResult,
};
pub use session_state::{SessionState, SessionStateError, SubscriptionState};
pub use status_code::StatusCode;
