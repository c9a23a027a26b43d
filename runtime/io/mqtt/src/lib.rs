//! The MQTT listeners: the sockets of one core, read and written in batches.
//!
//! [`bind`] opens the ports before the executors start and tells what is wrong with them; each core takes its
//! [`CoreListener`]s into a [`Frontend`], which accepts, reads and writes. It moves bytes and knows nothing of MQTT: what
//! arrives goes to the mqtt-connection actor as an [`Event`], and what the actor asks for is a call.
//!
//! | File | Its idea |
//! |---|---|
//! | `bind.rs` | ports and their layers: probed, opened once for each core |
//! | `frontend.rs` | what a core calls in its turn: events in, writes out |
//! | `frontend/admission.rs`, `frontend/layered.rs` | how a connection comes to its slot; connections with layers |
//! | `config.rs`, `event.rs` | limits and counts, and what a core hears |
//! | `connection.rs` | one socket: read, write in one system call, close so that the last words arrive |
//! | `layers.rs` | what stands between a socket and MQTT, and the buffers of the core that it passes through |
//! | `tls.rs` | TLS of one connection, without a buffer while it is idle |
//! | `handshake/` | the lane where handshakes are done, and its limits |
//! | `slots.rs` | where connections live, and which generation |
//! | `acceptor.rs` | listening sockets: connect rate, full, out of descriptors |
//! | `poller.rs` | what is ready on a core, and the one shell that waits for it |
//! | `readiness.rs` | waits in glommio until a descriptor is readable |
//!
//! **No task for a connection.** glommio's sockets arm a poll, keep a task and wake it for each connection; at ten thousand
//! connections that is memory, and at low rates most of the cost. Here all sockets of a core sit in one epoll instance, edge
//! triggered, and one shell waits for the instance itself. It rings the core's bell, and the core reads and writes in its
//! turn, without waiting: one wake-up for all that is ready. An idle connection holds its slot and nothing else, no
//! buffer, no timer, no waker. Bytes stay in the kernel until the core asks for them, so a core with too much to do holds its
//! peers back by TCP.
//!
//! **Layers.** A listener is plain TCP, TLS, WebSocket, or WebSocket over TLS ([`ListenerLayers`]). Events, writes and limits are
//! the same for all; [`Event::Accepted`] tells the listener, and what a TLS client has shown. Handshakes are done on a
//! [`HandshakeLane`], which is started before [`bind`]; a connection is the core's once its TLS stands. Records and frames (the
//! crate `mqtt-websocket`) are read and written in the core's turn, in buffers that all connections share: what an idle one holds
//! beyond its slot are the keys and the state of its codec.
//!
//! **Order of calls in a turn.** [`Frontend::poll_events`], hand the events to the actors, pass on what they ask for
//! ([`Frontend::write`], [`Frontend::pause_reading`], [`Frontend::close`], ...), [`Frontend::flush`], and again while the
//! budget lasts and there is more. [`Frontend::next_timeout`] belongs into the turn's result.

mod acceptor;
mod bind;
mod config;
mod connection;
mod event;
mod frontend;
mod handshake;
mod layers;
mod poller;
mod readiness;
mod slots;
mod tls;

pub use bind::{BindError, BoundListener, CoreListener, ListenerConfig, ListenerLayers, TlsListener, bind};
pub use config::{FrontendConfig, StartError};
pub use event::{Event, FrontendCounts};
pub use frontend::{Frontend, LISTENER_COUNT_MAX};
pub use handshake::{HandshakeCounts, HandshakeLane, HandshakeLaneError, HandshakeSpec};
pub use mqtt_websocket::WebSocketConfig;
