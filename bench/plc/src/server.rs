//! One OPC UA server on a thread of its own, which can be stopped and started again while its tags live on.
//!
//! Everything of a server runs on one thread: changes are made, and Subscriptions looked through, in turn. So a
//! MonitoredItem misses no change between reading its first value and being told of others, and a NotificationMessage
//! holds exactly the changes that are older than its `PublishTime`.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use opcua::server::ServerHandle;
use opcua::types::{AttributeId, StatusCode, VariableId, Variant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

use crate::address_space::PlantNodes;
use crate::clock::now_100ns;
use crate::endpoint::{ServerIdentity, build};
use crate::names::{NAMESPACE_INDEX, Names};
use crate::options::PlantOptions;
use crate::tags::{Emission, Tags};
use crate::transport::listen;

/// How long a server may take to say goodbye to its clients.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// When full: the control port waits.
const COMMANDS_MAX: usize = 16;
const THREAD_GONE: &str = "the server's thread has ended";

/// Tells where a server listens, or why it does not.
type Up = oneshot::Sender<anyhow::Result<SocketAddr>>;

/// What a server thread is told.
enum ServerCommand {
    /// End without a word to anyone, stay away for `down`, start again. `up` tells when.
    Restart { down: Duration, up: Up },
    /// Set the status of some tags; `None`: of all. `done` tells how many there were.
    SetStatus { locals: Option<Vec<u32>>, status: StatusCode, done: oneshot::Sender<u32> },
    /// Say goodbye and end.
    Stop,
}

/// How many clients a server has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ServerCounts {
    pub(crate) is_up: bool,
    pub(crate) sessions: u32,
    pub(crate) subscriptions: u32,
    pub(crate) monitored_items: i64,
}

/// What the thread of a server shares with the rest of the plant.
struct Shared {
    index: u32,
    options: PlantOptions,
    names: Names,
    pki_directory: PathBuf,
    public_port: Option<u16>,
    started: Instant,
    identifiers: Vec<String>,
    tags: Arc<Mutex<Tags>>,
    handle: Mutex<Option<ServerHandle>>,
    monitored_items: Arc<AtomicI64>,
}

/// A running server.
pub(crate) struct PlantServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<ServerCommand>,
    thread: Option<JoinHandle<()>>,
}

/// What a plant gives each of its servers.
pub(crate) struct ServerStart {
    /// Which server, from 0.
    pub(crate) index: u32,
    /// Where it listens; port 0 for any.
    pub(crate) address: SocketAddr,
    /// The port that clients use; `None`: the server's own.
    pub(crate) public_port: Option<u16>,
    /// Where certificate and key lie.
    pub(crate) pki_directory: PathBuf,
    /// When the plant's time began.
    pub(crate) started: Instant,
}

impl PlantServer {
    /// Starts the thread; returns when the server listens.
    ///
    /// # Errors
    /// If the address cannot be listened on or the thread not be made.
    pub(crate) async fn start(options: PlantOptions, start: ServerStart) -> anyhow::Result<Self> {
        let names = Names::new(&options.scenario);
        let recorded_changes_max = options.limits.recorded_changes_max;
        let tags = Tags::new(&options.scenario, start.index, recorded_changes_max, now_100ns());
        let shared = Arc::new(Shared {
            index: start.index,
            identifiers: names.tags_of_server(start.index).map(|index| names.identifier(index)).collect(),
            options,
            names,
            pki_directory: start.pki_directory,
            public_port: start.public_port,
            started: start.started,
            tags: Arc::new(Mutex::new(tags)),
            handle: Mutex::new(None),
            monitored_items: Arc::new(AtomicI64::new(0)),
        });
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (up, came_up) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("server-{}", start.index)).spawn({
            let shared = Arc::clone(&shared);
            move || run_thread(&shared, start.address, receiver, up)
        })?;
        let address = came_up.await.context(THREAD_GONE)??;
        Ok(Self { address, shared, commands, thread: Some(thread) })
    }

    /// Where the server itself listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server as a crash would, and starts it again after `down`. Returns when it listens again.
    ///
    /// # Errors
    /// If it cannot be started again.
    pub(crate) async fn restart(&self, down: Duration) -> anyhow::Result<()> {
        let (up, came_up) = oneshot::channel();
        self.commands.send(ServerCommand::Restart { down, up }).await.ok().context(THREAD_GONE)?;
        came_up.await.context(THREAD_GONE)??;
        Ok(())
    }

    /// Sets the status of the tags at `locals`; `None`: of all. Returns how many tags that was.
    ///
    /// # Errors
    /// If the server has ended.
    pub(crate) async fn set_status(&self, locals: Option<Vec<u32>>, status: StatusCode) -> anyhow::Result<u32> {
        let (done, counted) = oneshot::channel();
        self.commands.send(ServerCommand::SetStatus { locals, status, done }).await.ok().context(THREAD_GONE)?;
        counted.await.context(THREAD_GONE)
    }

    /// Runs `look` on the tags. The server stands still meanwhile.
    pub(crate) fn with_tags<T>(&self, look: impl FnOnce(&mut Tags) -> T) -> T {
        look(&mut self.shared.tags.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts clients.
    pub(crate) fn counts(&self) -> ServerCounts {
        let handle = self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(handle) = handle else { return ServerCounts::default() };
        let count = |variable| match handle.info().diagnostics.get(variable).and_then(|value| value.value) {
            Some(Variant::UInt32(count)) => count,
            Some(_) | None => 0,
        };
        ServerCounts {
            is_up: true,
            sessions: count(VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount),
            subscriptions: count(
                VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSubscriptionCount,
            ),
            monitored_items: self.shared.monitored_items.load(Ordering::Relaxed),
        }
    }

    /// Says goodbye to the clients and ends the thread.
    pub(crate) async fn stop(&mut self) {
        // A closed channel means that the thread has ended already.
        let _ = self.commands.send(ServerCommand::Stop).await;
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::warn!(server = self.shared.index, "the server's thread panicked");
            }
        }
    }
}

/// Why a server ended.
enum Ended {
    Restart { down: Duration, up: Up },
    Stopped,
}

fn run_thread(shared: &Shared, mut address: SocketAddr, mut commands: mpsc::Receiver<ServerCommand>, mut up: Up) {
    loop {
        let mut listening = Some(up);
        let ended = on_runtime(async { serve(shared, &mut address, &mut commands, &mut listening).await });
        *shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
        shared.monitored_items.store(0, Ordering::Relaxed);
        match ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Restart { down, up: next }) => {
                up = next;
                if let Ok(ControlFlow::Break(())) | Err(_) = on_runtime(stay_down(shared, down, &mut commands)) {
                    return;
                }
            }
            Err(reason) => match listening {
                // Who waits for the server to listen passes the reason on, or has gone away.
                Some(up) => return drop(up.send(Err(reason))),
                None => return tracing::error!(server = shared.index, %reason, "the server ended"),
            },
        }
    }
}

/// Runs `work` on a runtime of its own. All tasks and connections that it leaves behind end with it, without a word.
fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

async fn serve(
    shared: &Shared,
    address: &mut SocketAddr,
    commands: &mut mpsc::Receiver<ServerCommand>,
    up: &mut Option<Up>,
) -> anyhow::Result<Ended> {
    let listener = listen(*address)?;
    *address = listener.local_addr()?;
    let public_port = shared.public_port.unwrap_or(address.port());
    let nodes = PlantNodes::new(
        shared.index,
        shared.names.clone(),
        shared.options.scenario.format().context("the scenario was not checked")?,
        Arc::clone(&shared.tags),
        Arc::clone(&shared.monitored_items),
    );
    let identity = ServerIdentity { index: shared.index, public_port, pki_directory: &shared.pki_directory };
    let (server, handle) = build(&shared.options, &identity, nodes)?;
    *shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
    let mut running = tokio::spawn(server.run_with(listener));
    if let Some(up) = up.take() {
        // Whoever asked may have gone away; the server runs all the same.
        let _ = up.send(Ok(*address));
    }

    let mut tick = ticks(shared);
    let mut emissions = Vec::new();
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(ServerCommand::Restart { down, up }) => return Ok(Ended::Restart { down, up }),
                Some(ServerCommand::SetStatus { locals, status, done }) => {
                    set_status(shared, locals, status, done, &mut emissions);
                }
                Some(ServerCommand::Stop) | None => break,
            },
            ended = &mut running => match ended {
                Ok(Ok(())) => bail!("it stopped by itself"),
                Ok(Err(reason)) => bail!(reason),
                Err(reason) => return Err(anyhow!(reason)),
            },
            _ = tick.tick() => advance(shared, &mut emissions),
        }
        // The crate builds endpoint URLs from the port it listens on, which is not the clients' behind a front.
        handle.info().port.store(public_port, Ordering::Relaxed);
        tell(shared, &handle, &mut emissions);
    }
    handle.cancel();
    // Clients that do not read their goodbye lose the connection without one.
    let _ = tokio::time::timeout(STOP_TIMEOUT, running).await;
    Ok(Ended::Stopped)
}

/// Lets the tags live on while there is no server. Breaks off when the plant stops.
async fn stay_down(
    shared: &Shared,
    down: Duration,
    commands: &mut mpsc::Receiver<ServerCommand>,
) -> anyhow::Result<ControlFlow<()>> {
    let end = tokio::time::sleep(down);
    tokio::pin!(end);
    let mut tick = ticks(shared);
    let mut emissions = Vec::new();
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(ServerCommand::Restart { down, up }) => {
                    end.as_mut().reset(tokio::time::Instant::now() + down);
                    // Whoever asked may have gone away.
                    let _ = up.send(Err(anyhow!("the server was down already; it stays down for {down:?} more")));
                }
                Some(ServerCommand::SetStatus { locals, status, done }) => {
                    set_status(shared, locals, status, done, &mut emissions);
                }
                Some(ServerCommand::Stop) | None => return Ok(ControlFlow::Break(())),
            },
            // The new server reads the values itself.
            () = &mut end => return Ok(ControlFlow::Continue(())),
            _ = tick.tick() => advance(shared, &mut emissions),
        }
        emissions.clear();
    }
}

fn ticks(shared: &Shared) -> Interval {
    let mut ticks = tokio::time::interval(shared.options.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

fn advance(shared: &Shared, emissions: &mut Vec<Emission>) {
    let elapsed_ns = u64::try_from(shared.started.elapsed().as_nanos()).expect("584 years fit");
    shared.tags.lock().unwrap_or_else(PoisonError::into_inner).advance(elapsed_ns, now_100ns, emissions);
}

fn set_status(
    shared: &Shared,
    locals: Option<Vec<u32>>,
    status: StatusCode,
    done: oneshot::Sender<u32>,
    emissions: &mut Vec<Emission>,
) {
    let mut tags = shared.tags.lock().unwrap_or_else(PoisonError::into_inner);
    let locals = locals.unwrap_or_else(|| (0..tags.len()).collect());
    emissions.extend(locals.iter().filter_map(|local| tags.set_status(*local, status, now_100ns())));
    // Whoever asked may have gone away.
    let _ = done.send(u32::try_from(locals.len()).expect("no more than the tags of a server"));
}

/// Tells the Subscriptions what has changed, all in one batch.
fn tell(shared: &Shared, handle: &ServerHandle, emissions: &mut Vec<Emission>) {
    if emissions.is_empty() {
        return;
    }
    let mut notifier = handle.subscriptions().data_notifier();
    for Emission { local, value } in emissions.drain(..) {
        let identifier = &shared.identifiers[usize::try_from(local).expect("an index of a tag fits")];
        let Some(mut items) = notifier.notify_for((NAMESPACE_INDEX, identifier.as_str()), AttributeId::Value) else {
            continue;
        };
        let mut entries = items.entries();
        match (entries.next(), entries.next()) {
            (Some((only, _)), None) => items.data_value_to_item(value, only),
            (Some(_), Some(_)) => items.data_value(value),
            (None, _) => {}
        }
    }
}
