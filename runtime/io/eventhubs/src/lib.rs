//! The Event Hubs producer: the SDK on a tokio lane, its outcomes checked.
//!
//! One lane serves the egress batchers of several routes. A route is one hub with one credential; its batcher speaks
//! to the lane through mailboxes only. [`run_lane`] is the future for [`executor::Lane::start`]: it answers every
//! [`egress_batcher::Effect`] for the lane as that effect's docstring says.
//!
//! ```text
//! batchers --LaneCommand--> run_lane --+-- SDK client: who are we, which partitions   (for each question)
//!          <--LaneAnswer---            +-- AMQP connection: one link for each hub partition, one batch in flight
//! ```
//!
//! **What the SDK does here.** `azure_messaging_eventhubs` reads connection strings, opens its producer client with
//! the route's credential, and reads the hub's partitions; `azure_identity` gets Entra tokens. Sending goes one layer
//! down, through the same SDK's `azure_core_amqp`, for three reasons. `ProducerClient::send_batch` answers `Ok` for
//! the released and modified outcomes (AMQP 1.0 §3.4.4, §3.4.5), which loses the batch; `AmqpSender` returns the
//! outcome. `BufferedProducerClient` reports it, but cannot carry a partition key to a partition that was chosen, and
//! cuts batches by its own measure. And both put the first event's properties on the envelope once more, so that a
//! batch exceeds what [`egress_batcher::encoded_bytes_max`] promises. The SDK's client lives as long as one question:
//! it has no link that idles, no refresher, and nothing to recover.
//!
//! **Nothing waits for ever.** There is no timeout in the SDK: [`Timeouts`] stand around every step. Nothing is retried
//! here either; the batcher decides, and asks for another client where the one that is there may be wedged.
//! The SDK does not wake a batch that waits for its outcome when its connection ends (noticed within a second, by a
//! probe) or when its link is detached (noticed at the send timeout).
//!
//! **Cost.** A payload is copied once into its event's encoding, once by the SDK into its message type, once into the
//! transfer, and then by the socket. While nothing is to send the lane wakes for the peer's heartbeat and for the
//! renewal of tokens only.
//!
//! | File | Its idea |
//! |---|---|
//! | `message.rs` | what batchers and lane say to each other |
//! | `config.rs` | where a route leads, and as whom; secrets that do not print |
//! | `lane.rs` | the loop: commands in, answers out, until the routes are closed |
//! | `route.rs` | one route: its client, what is under way, answers that found a full mailbox |
//! | `hub_properties.rs` | the SDK's client, for the time of one question |
//! | `hub_client.rs` | the connection that batches travel on |
//! | `authorization.rs` | the right to send, put to the hub and renewed |
//! | `token.rs` | tokens from a shared access key or from Entra |
//! | `failure.rs` | which failure an error of the SDK is |
//! | `encoding/` | an event as an AMQP message, a batch as an envelope |

mod authorization;
mod config;
mod encoding;
mod failure;
mod hub_client;
mod hub_properties;
mod lane;
mod message;
mod route;
mod token;

pub use config::{Access, ConfigError, RouteConfig, Timeouts};
pub use encoding::{TOPIC_NAME_PROPERTY, encode_event};
pub use lane::{Route, run_lane};
pub use message::{LaneAnswer, LaneCommand, Request};

/// Makes aws-lc-rs the process's rustls provider, unless one was chosen.
///
/// Call it first thing in `main`: with a second provider in the dependency graph rustls cannot choose by itself, and
/// panics at the first connection. [`run_lane`] calls it too.
pub fn install_crypto_provider() {
    // An error says that there is one, which is all that is needed.
    let _was_there = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
