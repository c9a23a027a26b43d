//! A core with one Session that reaches its server through the shell; what is published is accepted at once.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use contract::{Actor as _, Effects, Instant, Publication};
use executor::{
    Blocking, BlockingSpec, Core, CoreFactory, Decision, ExecutorSpec, Executors, LocalReceiver, LocalSender,
    StartError, Supervisor, Turn, local_channel,
};
use opcua_subscription::{Effect, Limits, Message, Report, Session, SessionConfig};
use opcua_transport::{Command, TransportConfig, spawn_transport};

/// How long a stop may take.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// What a Session did.
#[derive(Debug)]
pub(crate) enum Seen {
    Report(Report),
    Publication(Publication),
}

/// Starts the core. `capacity` is that of the message channel.
pub(crate) fn start(
    transport: TransportConfig,
    session: SessionConfig,
    limits: Limits,
    capacity: usize,
) -> Result<(Supervisor, Executors, Receiver<Seen>), StartError> {
    let supervisor = Supervisor::new(GRACE, |_| Decision::EndProcess);
    let (seen, seeing) = channel();
    let factory: CoreFactory = Box::new(move |context| {
        Box::pin(async move {
            let spec = BlockingSpec { name: "rsa".to_owned(), thread_count: 1, queue_max: 16, cpu: None };
            let (commands, to_shell) = local_channel(64, None);
            let (from_shell, messages) = local_channel(capacity, Some(context.local_bell()));
            let blocking = Blocking::start(&spec)?;
            spawn_transport(&context, "opcua-transport", transport, to_shell, from_shell, blocking)?;
            let session = Session::new(&session, limits, 7)?;
            let effects = Effects::new(session.effects_count_max());
            let commands = Some(commands);
            let inbox = VecDeque::from([Message::Start { saved: None }]);
            Ok(Box::new(Driver { session, effects, commands, messages, inbox, seen }) as Box<dyn Core>)
        })
    });
    let executors = Executors::start(&supervisor, vec![(ExecutorSpec::new("opcua", None), factory)])?;
    Ok((supervisor, executors, seeing))
}

/// A core with one Session, whose publications are accepted at once.
struct Driver {
    session: Session,
    effects: Effects<Effect>,
    /// `None` once the Session has stopped.
    commands: Option<LocalSender<Command>>,
    messages: LocalReceiver<Message>,
    inbox: VecDeque<Message>,
    seen: Sender<Seen>,
}

impl Driver {
    fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop() {
            let other = match Command::try_from(effect) {
                Ok(command) => {
                    let commands = self.commands.as_ref().expect("a stopped Session asks for nothing");
                    commands.try_send(command).expect("64 commands are more than a Session gives in a turn");
                    continue;
                }
                Err(other) => other,
            };
            // Whoever looks on may have seen enough.
            match other {
                Effect::Publish { token, publications, .. } => {
                    for publication in publications {
                        let _ = self.seen.send(Seen::Publication(publication));
                    }
                    self.inbox.push_back(Message::Accepted { token });
                }
                Effect::Report(report) => drop(self.seen.send(Seen::Report(report))),
                Effect::Stopped => self.commands = None,
                Effect::SaveState(_) | Effect::Connect | Effect::Disconnect | Effect::Send { .. } => {}
            }
        }
        self.effects.drain_observations();
    }
}

impl Core for Driver {
    fn turn(&mut self, now: Instant) -> Turn {
        while let Some(message) = self.inbox.pop_front().or_else(|| self.messages.try_receive()) {
            self.session.handle(message, now, &mut self.effects);
            self.carry_out();
        }
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now, &mut self.effects);
            self.carry_out();
        }
        Turn { next_timeout: self.session.poll_timeout(), more: !self.inbox.is_empty(), ..Turn::default() }
    }

    fn stop(&mut self, _now: Instant) {
        self.inbox.push_back(Message::Stop { close_session: true });
    }

    fn stopped(&self) -> bool {
        self.commands.is_none()
    }

    fn stall_culprit(&self) -> &'static str {
        "session"
    }

    fn panic_culprit(&self) -> &'static str {
        "session"
    }

    fn restart(&mut self, _now: Instant) {}
}
