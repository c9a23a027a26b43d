//! The OPC UA transport of one Session: framing, `SecureChannel` and crypto on a glommio socket.
//!
//! Sections of the standard are those of OPC UA 1.05. The other half, pure, is `actors/opcua-subscription`; what crosses
//! between the two is defined there. One task holds one connection; what would stall its core (RSA, name resolution,
//! files) runs on a blocking lane.
//!
//! | File | Its idea |
//! |---|---|
//! | `config.rs`, `command.rs` | what a connection needs to know, and what it is told to do |
//! | `shell.rs` | waits for Connect, connects, lets the connection live |
//! | `connect.rs` | resolve, ask for endpoints, choose, open the channel |
//! | `connection.rs` | one open connection, one task: read, write, deliver |
//! | `connection/sending.rs`, `connection/keeping_time.rs` | requests on their way out; time-outs and the token's renewal |
//! | `wire.rs` | the socket with its two buffers |
//! | `frame.rs`, `channel.rs`, `channel/assembly.rs`, `opening.rs` | frames, chunks with symmetric security, chunks joined, OpenSecureChannel; without a socket |
//! | `request.rs`, `response.rs` | services as bytes, and bytes as services |
//! | `session_security.rs` | nonces, signatures and user tokens of a Session |
//! | `endpoint.rs` | which endpoint is used, and by what URL |
//! | `certificate.rs`, `identity.rs` | whether the server is trusted; our own certificate |
//! | `status.rs` | the `StatusCode`s of the transport |
//! | `fuzzing.rs` | entry points for fuzz targets |

mod certificate;
mod channel;
mod command;
mod config;
mod connect;
mod connection;
mod endpoint;
mod frame;
pub mod fuzzing;
mod identity;
mod opening;
mod request;
mod response;
mod session_security;
mod shell;
mod status;
mod wire;

pub use command::Command;
pub use config::{Security, TransportConfig, TransportLimits, TrustPolicy, UserName};
pub use shell::spawn_transport;
