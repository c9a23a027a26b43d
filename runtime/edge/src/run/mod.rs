//! `millicore run`: a site and a profile become executors, lanes and sockets, run until a signal, and end in order.
//!
//! | File | Its idea |
//! |---|---|
//! | `sources.rs` | OPC UA servers of the site as Sessions |
//! | `arrangement.rs` | which actor sits on which executor |
//! | `placed_core.rs`, `world.rs` | the actors of one executor, and what surrounds them |
//! | `outlet.rs` | the way to a mailbox that may be full |
//! | `core_factory.rs` | builds one executor's actors and shells on its thread |
//! | `egress.rs` | the lanes of the destinations |
//! | `listeners.rs` | MQTT listeners made ready: files read, lanes started, ports opened |
//! | `client_access.rs` | who the clients of one core are, and the way to those who check |
//! | `memory_limit.rs` | what the connections of one core may hold together |
//! | `reload.rs` | files that are read anew while the process runs |
//! | `sys_topics.rs` | the topics below `$SYS` |
//! | `state_file.rs` | a Session's saved state on disk |
//! | `left.rs` | what a stop has not delivered yet |
//! | `notices.rs` | what actors report, in words |
//! | `snapshot.rs`, `control.rs` | what a core tells, and the control lane that asks |
//! | `logging.rs`, `signals.rs` | the log and its level; SIGTERM and SIGINT |

mod arrangement;
mod client_access;
mod control;
mod core_factory;
pub(crate) mod egress;
mod left;
pub(crate) mod listeners;
mod logging;
mod memory_limit;
mod notices;
mod outlet;
mod placed_core;
mod reload;
mod signals;
mod snapshot;
mod sources;
mod state_file;
mod sys_topics;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use executor::{
    Blocking, BlockingSpec, Clock, Decision, ExecutorSpec, Executors, Lane, LaneSpec, PanicReport, Supervisor,
    preflight,
};
use placement::{Fold, LaneKind, LogEngine, MachineFacts, Plan, Profile};

use self::arrangement::Counts;
use self::control::NodeService;
use self::core_factory::{CoreBlueprint, CoreMailboxes};
use self::left::Left;
use self::listeners::Listeners;
use self::reload::Reloader;
use self::snapshot::Labels;
use self::sys_topics::SysTopics;
use crate::cli::RunArguments;
use crate::control_server::ControlSocketFile;
use crate::site::Site;

/// How long threads other than cores may go on after the cores have ended.
const LANES_GRACE: Duration = Duration::from_secs(2);

/// Runs the pipeline until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, with the remedy; a panic that ended it; what was left when the stop's time was over.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let log_filter = logging::start(&arguments.log)?;
    eventhubs_lane::install_crypto_provider();
    let site = Site::load(&arguments.config).map_err(|errors| crate::site::all_of(&errors))?;
    let profile = Profile::load(&arguments.profile.profile, &arguments.profile.overrides)?;
    let fold = if arguments.profile.fold { Fold::Allow } else { Fold::Refuse };
    let facts = MachineFacts::read(Path::new("/"))?;
    let plan = Plan::resolve(&profile, &facts, fold)?;
    check_engine(&plan)?;
    for line in plan.table().lines() {
        tracing::info!("{line}");
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    for warning in &site.warnings {
        tracing::warn!("{warning}");
    }
    let supervisor = Supervisor::new(LANES_GRACE, |report: &PanicReport| {
        if placed_core::survives(&report.name) { Decision::Restart } else { Decision::EndProcess }
    });
    signals::stop_on_signals(supervisor.stop_handle(), Duration::from_secs(arguments.stop_seconds))?;
    let node = Node::start(site, &arguments.config, plan, supervisor, log_filter)?;
    tracing::info!("running; stop with Ctrl-C or SIGTERM");
    node.join()
}

/// The log on disk is another version's.
fn check_engine(plan: &Plan) -> anyhow::Result<()> {
    if plan.profile.log.engine == LogEngine::Disk {
        bail!(
            "log.engine = \"disk\" in profile {}: this version keeps partitions in memory only; set log.engine = \"memory\" \
             and mind that what is not delivered when the process ends is asked of the OPC UA servers again (acknowledge = \
             \"delivered\")",
            plan.profile.name
        );
    }
    Ok(())
}

/// A running node.
struct Node {
    supervisor: Supervisor,
    executors: Executors,
    egress_lanes: Vec<Lane>,
    control_lane: Lane,
    left: Arc<Left>,
}

impl Node {
    fn start(
        site: Site,
        site_file: &Path,
        plan: Plan,
        supervisor: Supervisor,
        log_filter: control::LogFilter,
    ) -> anyhow::Result<Self> {
        let clock = Clock::new();
        let partitions_count = u16::try_from(plan.profile.broker.shards_count()).context("broker partitions")?;
        let sources = sources::sources(&site, &plan.profile, partitions_count);
        for source in &sources {
            let found = source.transport(&site, &plan.profile);
            found.with_context(|| format!("OPC UA server {}", source.name))?;
        }
        make_state_directory(&site.state_directory())?;
        let counts = Counts { sources: sources.len(), flows: site.flows.len() };
        let topology = Arc::new(arrangement::topology(&plan, counts)?);
        let labels = Labels {
            sources: sources.iter().map(|source| source.name.clone()).collect(),
            flows: site.flows.iter().map(|flow| flow.name.get_ref().clone()).collect(),
            listeners: site.listeners.iter().map(crate::site::Listener::label).collect(),
        };
        let (listeners, bound) = listeners::start(&site, &plan)?;
        let specs: Vec<ExecutorSpec> = plan.executors.iter().map(|planned| executor_spec(&plan, planned)).collect();
        preflight(&specs)?;
        let blocking = start_blocking(&plan)?;
        let mailboxes = CoreMailboxes::make(&plan, &specs);
        let requests = mailboxes.request_senders();
        let (egress_lanes, lane_ends) = egress::start(&site, &plan, &topology, &specs, &supervisor)?;
        let blueprint = Arc::new(CoreBlueprint {
            site,
            sources,
            topology: Arc::clone(&topology),
            labels,
            epoch: contract::Epoch(u64::try_from(clock.utc().ticks()).unwrap_or(0)),
            lane_routes: lane_ends.routes.clone(),
            left: Arc::new(Left::new(plan.executors.len())),
            listeners: listeners.access.clone(),
            gate: listeners.gate.clone(),
            blocking,
            plan,
        });
        let plan = &blueprint.plan;
        let cores = core_factory::factories(&blueprint, specs, mailboxes, lane_ends, bound);
        let Listeners { access, tls, handshake_lane, gate, self_made } = listeners;
        let reloader = Reloader::new(site_file.to_owned(), access, tls, self_made, requests.clone());
        let service = NodeService {
            clock,
            profile: plan.profile.name.clone(),
            folded: plan.folded.clone(),
            durability: durability(plan),
            plan: plan.table(),
            cores: requests.clone(),
            lanes: egress_lanes.iter().map(|lane| Arc::clone(lane.stats())).collect(),
            handshake_lane,
            gate,
            reloader: Arc::new(tokio::sync::Mutex::new(reloader)),
            log_filter,
            notices: plan.warnings.iter().map(ToString::to_string).collect(),
        };
        // Before anything speaks to a server: a second process of the same site finds the socket taken, and does no harm.
        // Without a listener nobody can subscribe to them.
        let sys_interval =
            if blueprint.listeners.is_empty() { Duration::ZERO } else { plan.profile.broker.sys_interval };
        let sys_topics = SysTopics::new(sys_interval, clock, topology, requests);
        let control_lane = start_control(&blueprint, &supervisor, service, sys_topics)?;
        let left = Arc::clone(&blueprint.left);
        match Executors::start(&supervisor, cores) {
            Ok(executors) => Ok(Self { supervisor, executors, egress_lanes, control_lane, left }),
            Err(error) => {
                supervisor.stop_handle().stop(Duration::from_secs(1));
                let _the_start_failed = control_lane.join();
                Err(error.into())
            }
        }
    }

    /// Waits for the end, and says how it was.
    fn join(self) -> anyhow::Result<()> {
        let report = self.executors.join();
        let mut problems = Vec::new();
        match report {
            Ok(report) => {
                problems.extend(report.left.iter().map(ToString::to_string));
                if !report.left.is_empty() {
                    problems.push(self.left.words());
                }
            }
            Err(end) => {
                let PanicReport { executor, name, message } = &end.report;
                problems.push(format!("{name} on {executor} panicked: {message}"));
            }
        }
        self.supervisor.stop_handle().stop(LANES_GRACE);
        for lane in self.egress_lanes.into_iter().chain([self.control_lane]) {
            if let Err(error) = lane.join() {
                problems.push(error.to_string());
            }
        }
        if problems.is_empty() {
            tracing::info!("stopped; everything that was accepted has been delivered");
            return Ok(());
        }
        bail!("the stop was not clean: {}", problems.join("; "))
    }
}

fn executor_spec(plan: &Plan, planned: &placement::PlannedExecutor) -> ExecutorSpec {
    ExecutorSpec {
        ring_depth: planned.ring_depth as usize,
        heartbeat: plan.profile.executor.heartbeat,
        shells_max: plan.profile.executor.shells_count_max as usize,
        gather_max: plan.profile.broker.gather_max,
        ..ExecutorSpec::new(planned.name.clone(), Some(planned.cpu))
    }
}

fn start_blocking(plan: &Plan) -> anyhow::Result<Blocking> {
    let lane = plan.lane_of(LaneKind::Blocking, 0);
    let spec = BlockingSpec {
        name: lane.name(),
        thread_count: plan.profile.executor.blocking_threads_count.into(),
        queue_max: plan.profile.executor.blocking_queue_count_max as usize,
        cpu: Some(lane.cpu),
    };
    Ok(Blocking::start(&spec)?)
}

fn start_control(
    blueprint: &CoreBlueprint,
    supervisor: &Supervisor,
    service: NodeService,
    sys_topics: SysTopics,
) -> anyhow::Result<Lane> {
    let path = blueprint.site.control_socket();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let lane = blueprint.plan.lane_of(LaneKind::Control, 0);
    let has_listeners = !blueprint.listeners.is_empty();
    let (bound, is_bound) = flume::bounded(1);
    let spec = LaneSpec::new(lane.name(), Some(lane.cpu));
    let lane = Lane::start(spec, supervisor, move |context| {
        Box::pin(async move {
            let socket = match ControlSocketFile::bind(&path) {
                Ok(socket) => socket,
                Err(error) => {
                    // The start waits for this answer.
                    let _answered = bound.send(Err(error));
                    return Ok(());
                }
            };
            let _answered = bound.send(Ok(()));
            let reloader = Arc::clone(&service.reloader);
            tokio::select! {
                () = socket.serve(std::rc::Rc::new(service)) => {}
                () = look_at_files(has_listeners, &reloader) => {}
                () = sys_topics.run() => {}
                () = context.stop_token.stopped() => {}
            }
            Ok(())
        })
    })?;
    is_bound.recv().context("the control lane ended at its start")??;
    Ok(lane)
}

/// Reads changed files anew, for ever; a site without listeners has none.
async fn look_at_files(has_listeners: bool, reloader: &tokio::sync::Mutex<Reloader>) {
    if !has_listeners {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(reload::PERIOD).await;
        reloader.lock().await.poll().await;
    }
}

fn make_state_directory(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
        format!("cannot make the state directory {}: set state_directory in the site's file", directory.display())
    })
}

/// What an acknowledgement waits for, in words.
fn durability(plan: &Plan) -> String {
    match plan.profile.log.effective_commit() {
        placement::Commit::Group(time) => format!("group {} ms", time.as_millis()),
        placement::Commit::Interval(time) => format!("interval {} ms", time.as_millis()),
        placement::Commit::None => "memory".to_owned(),
    }
}
