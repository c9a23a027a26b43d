//! The shell of one Session: waits for Connect, connects, and lets the connection live.

use std::sync::Arc;

use executor::{Blocking, CoreContext, LocalReceiver, LocalSender, ShellLimit};
use futures_lite::future::or;
use glommio::timer::sleep;
use opcua_subscription::{DisconnectReason, Message};
use opcua_types::{ContextOwned, DecodingOptions, NamespaceMap};

use crate::command::Command;
use crate::config::TransportConfig;
use crate::connect::{Established, Shared};
use crate::connection::{Connection, End};
use crate::identity::Identity;

/// Starts the transport of one Session as a shell of the core.
///
/// It takes `commands` and sends `messages`; both may have any capacity. When the message channel is full it stops
/// reading its socket, and the server's own queues fill. It goes on taking commands meanwhile, up to 1,024 answers that
/// wait. The dates in its messages are those of the core's clock. Name resolution, RSA and the files of certificates
/// are `blocking`'s; where that is full, the connection ends with `Bad_ResourceUnavailable`.
///
/// The shell ends when the sender of `commands` is dropped (a connection is closed in good order first, within a
/// second), or when the receiver of `messages` is. It panics on nothing that comes over the wire.
///
/// # Errors
/// [`ShellLimit`]: the core has all the shells it may have.
pub fn spawn_transport(
    context: &CoreContext,
    name: &'static str,
    config: TransportConfig,
    commands: LocalReceiver<Command>,
    messages: LocalSender<Message>,
    blocking: Blocking,
) -> Result<(), ShellLimit> {
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (message_bytes_max, array_length_max) =
        (size(config.limits.message_bytes_max), size(config.limits.array_length_max));
    let options = DecodingOptions {
        max_message_size: message_bytes_max,
        max_chunk_count: size(config.limits.chunk_count_max),
        max_string_length: message_bytes_max,
        max_byte_string_length: message_bytes_max,
        max_array_length: array_length_max,
        ..DecodingOptions::default()
    };
    let shared = Shared {
        config: Arc::new(config),
        clock: context.clock(),
        blocking,
        context: ContextOwned::new_default(NamespaceMap::new(), options),
    };
    context.spawn_shell(name, Shell { shared, identity: None, commands, messages }.run())
}

struct Shell {
    shared: Shared,
    /// Our certificate, once it was needed.
    identity: Option<Arc<Identity>>,
    commands: LocalReceiver<Command>,
    messages: LocalSender<Message>,
}

/// What became of a Connect.
enum Attempt {
    Connected(Box<Established>),
    Failed(DisconnectReason),
    /// Nobody is there any more.
    Released,
}

impl Shell {
    async fn run(mut self) {
        while let Some(command) = self.commands.receive().await {
            match command {
                Command::Connect => {
                    if !self.serve().await {
                        return;
                    }
                }
                // The connection broke at the same time, and the actor has been told.
                Command::Disconnect | Command::Send { .. } => {}
            }
        }
    }

    /// One connection, from Connect to the last word about it. Whether anybody is still there.
    async fn serve(&mut self) -> bool {
        let reason = match self.attempt().await {
            Attempt::Released => return false,
            Attempt::Failed(reason) => reason,
            Attempt::Connected(established) => {
                let server_application_uri = established.endpoint.application_uri.as_str().into();
                let utc = self.shared.clock.utc();
                if self.messages.send(Message::Connected { server_application_uri, utc }).await.is_err() {
                    return false;
                }
                let connection = Connection::new(&self.shared, &mut self.commands, &self.messages, *established);
                match connection.run().await {
                    End::Broken(reason) => reason,
                    End::Requested => DisconnectReason::Requested,
                    End::Released => return false,
                }
            }
        };
        let utc = self.shared.clock.utc();
        self.messages.send(Message::Disconnected { reason, utc }).await.is_ok()
    }

    async fn attempt(&mut self) -> Attempt {
        let Self { shared, identity, commands, .. } = self;
        let connecting = async {
            match shared.connect(identity).await {
                Ok(established) => Attempt::Connected(Box::new(established)),
                Err(reason) => Attempt::Failed(reason),
            }
        };
        let late = async {
            sleep(shared.config.connect_timeout).await;
            Attempt::Failed(DisconnectReason::TimedOut)
        };
        let called_off = async {
            loop {
                match commands.receive().await {
                    None => return Attempt::Released,
                    Some(Command::Disconnect) => return Attempt::Failed(DisconnectReason::Requested),
                    // Of the connection before.
                    Some(Command::Send { .. } | Command::Connect) => {}
                }
            }
        };
        or(or(connecting, late), called_off).await
    }
}
