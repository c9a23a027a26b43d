//! One MQTT client: its packets, its in-flight windows (MQTT 3.1.1 and 5.0).
//!
//! A PUBLISH becomes a publication of the partition that owns its Topic Name, and is acknowledged when the partition accepted
//! it; a record for the client comes within a credit and is kept until the client acknowledged it. What is not complete when
//! the connection ends goes to the session's home and from there to the next connection. Whatever a peer sends, only its own
//! connection ends. An idle connection holds no buffer.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs`, `effect.rs` | the mailbox, and what is asked of the runtime |
//! | `config.rs` | limits, and what each costs |
//! | `state.rs`, `handle.rs` | what a connection owns, and what it does with each message |
//! | `step.rs` | what one step gathers: publications, packets, settled deliveries |
//! | `reading.rs` | packets out of bytes, as fast as the partitions take them |
//! | `connecting.rs` | CONNECT and CONNACK |
//! | `enhanced.rs` | who the client is: authentication, AUTH, and rights that change |
//! | `session_hold.rs`, `parking.rs` | the session from the home partition and back; its state as it moves |
//! | `publishing.rs`, `publish_window.rs`, `receipts.rs` | PUBLISH to partitions; PUBACK and PUBREC in the order of receipt; `QoS` 2 once |
//! | `subscribing.rs` | SUBSCRIBE and UNSUBSCRIBE to all partitions, one answer back |
//! | `delivering.rs`, `delivery_window.rs` | records to the client, within its window, and credit for more |
//! | `topic_aliases.rs` | numbers for Topic Names that come again |
//! | `ending.rs` | every way to end |

mod config;
mod connecting;
mod delivering;
mod delivery_window;
mod effect;
mod ending;
mod enhanced;
mod handle;
mod message;
mod parking;
mod publish_window;
mod publishing;
mod reading;
mod receipts;
mod session_hold;
mod state;
mod step;
mod subscribing;
mod topic_aliases;

pub use config::{Authentication, ConnectionConfig, DeniedPublishV3};
pub use effect::{AuthenticationStep, Effect, EndReason};
pub use message::Message;
pub use state::Connection;
pub use step::EFFECTS_COUNT_MAX;
