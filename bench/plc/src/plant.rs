//! A running plant: its servers, its fronts, and what can be done to them.

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use opcua::types::StatusCode;
use serde::Serialize;
use tokio::sync::Notify;

use crate::clock::now_100ns;
use crate::control;
use crate::front::{BoundFront, Front, Sightings};
use crate::names::{NAMESPACE_INDEX, NAMESPACE_URI, Names};
use crate::options::PlantOptions;
use crate::server::{PlantServer, ServerStart};
use crate::truth_file;

/// What a plant says about itself when it is ready.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Always `ready`.
    pub event: &'static str,
    /// Where clients connect to, one for each server: `opc.tcp://host:port/`.
    pub endpoints: Vec<String>,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// Namespace of assets and tags.
    pub namespace_uri: &'static str,
    /// Its index, on every server.
    pub namespace_index: u16,
    /// How NodeIds are made.
    pub node_id: String,
    /// NodeId of the first tag.
    pub first_node_id: String,
    /// NodeId of the last tag.
    pub last_node_id: String,
    /// Number of tags on all servers.
    pub tags: u32,
    /// First asset of each server and the first of the next.
    pub assets_of_servers: Vec<(u32, u32)>,
    /// Size of a value.
    pub value_bytes: u32,
    /// Changes in a second, on average.
    pub changes_per_s: f64,
    /// Process that runs the plant.
    pub pid: u32,
}

/// Counters of a plant.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Since the plant started.
    pub seconds: f64,
    /// Number of tags.
    pub tags: u32,
    /// Changes made.
    pub changes: u64,
    /// Cycles of all tags that were skipped because the process stood still for more than ten of them.
    pub cycles_skipped: u64,
    /// Tags that answer with another status than Good.
    pub tags_not_good: usize,
    /// Whether changes are stopped.
    pub paused: bool,
    /// Publish responses seen by the fronts; `None` without fronts.
    pub publishes_seen: Option<u64>,
    /// Acknowledgements seen by the fronts; `None` without fronts.
    pub acknowledgements_seen: Option<u64>,
    /// Messages that the fronts could not read, encrypted ones among them; `None` without fronts.
    pub messages_unread: Option<u64>,
    /// Each server.
    pub servers: Vec<ServerStats>,
}

/// Counters of one server.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStats {
    /// Whether it runs.
    pub up: bool,
    /// Sessions that exist.
    pub sessions: u32,
    /// Subscriptions that exist.
    pub subscriptions: u32,
    /// MonitoredItems on values that exist.
    pub monitored_items: i64,
    /// Changes made by its tags.
    pub changes: u64,
}

/// A running plant. Ends when it is dropped; [`Plant::stop`] ends it politely.
pub struct Plant {
    inner: Arc<PlantInner>,
    control: control::ControlPort,
}

/// What the plant's handle and its control port share.
pub(crate) struct PlantInner {
    options: PlantOptions,
    names: Names,
    started: Instant,
    endpoints: Vec<String>,
    servers: Vec<PlantServer>,
    fronts: Vec<(Front, Arc<Mutex<Sightings>>)>,
    stop_asked: Notify,
    /// Removed with the plant where it is its own.
    _own_pki_directory: Option<tempfile::TempDir>,
}

impl Plant {
    /// Starts the plant; returns when all servers listen. Needs a tokio runtime with I/O and time, which also runs
    /// control port and fronts; each server has a thread of its own.
    ///
    /// # Errors
    /// If the scenario is out of range, no client could get in, or a port cannot be had.
    pub async fn start(options: PlantOptions) -> anyhow::Result<Self> {
        options.scenario.check()?;
        ensure!(options.policy_none || options.policy_basic256sha256, "no security policy is offered");
        ensure!(options.anonymous || options.user.is_some(), "neither anonymous nor a user is let in");
        ensure!(!options.tick.is_zero() && !options.subscription_poll.is_zero(), "a tick of 0 would never wait");
        let (pki_directory, own_pki_directory) = if let Some(directory) = &options.pki_directory {
            (directory.clone(), None)
        } else {
            let own = tempfile::tempdir().context("a directory for certificate and key")?;
            (own.path().to_owned(), Some(own))
        };
        let names = Names::new(&options.scenario);
        let started = Instant::now();
        let mut inner = PlantInner {
            names,
            started,
            endpoints: Vec::new(),
            servers: Vec::new(),
            fronts: Vec::new(),
            stop_asked: Notify::new(),
            _own_pki_directory: own_pki_directory,
            options,
        };
        for index in 0..inner.options.scenario.servers {
            inner.start_server(index, pki_directory.clone()).await?;
        }
        let inner = Arc::new(inner);
        let control = control::ControlPort::start(inner.options.control, Arc::clone(&inner))?;
        Ok(Self { inner, control })
    }

    /// What a client needs to know.
    pub fn ready(&self) -> Ready {
        let PlantInner { options, names, endpoints, .. } = &*self.inner;
        let node_id = |index| format!("ns={NAMESPACE_INDEX};s={}", names.identifier(index));
        Ready {
            event: "ready",
            endpoints: endpoints.clone(),
            control: self.control.address(),
            namespace_uri: NAMESPACE_URI,
            namespace_index: NAMESPACE_INDEX,
            node_id: format!("ns={NAMESPACE_INDEX};s=<asset>.<tag>"),
            first_node_id: node_id(0),
            last_node_id: node_id(names.tag_count() - 1),
            tags: names.tag_count(),
            assets_of_servers: (0..options.scenario.servers)
                .map(|server| names.assets_of_server(server))
                .map(|range| (range.start, range.end))
                .collect(),
            value_bytes: options.scenario.value_bytes,
            changes_per_s: options.scenario.changes_per_s(),
            pid: std::process::id(),
        }
    }

    /// Names of assets and tags.
    pub fn names(&self) -> &Names {
        &self.inner.names
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Writes the truth file, as [`crate::truth`] says.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_truth(&self, file: &Path) -> anyhow::Result<()> {
        self.inner.write_truth(file)
    }

    /// Ends all connections of clients; Sessions and Subscriptions stay.
    ///
    /// # Errors
    /// Without the fault front.
    pub fn drop_connections(&self) -> anyhow::Result<()> {
        self.inner.drop_connections()
    }

    /// Refuses new connections for `duration`; those that exist go on.
    ///
    /// # Errors
    /// Without the fault front.
    pub async fn refuse(&self, duration: Duration) -> anyhow::Result<()> {
        self.inner.refuse(duration).await
    }

    /// Ends all servers as a crash would, with everything they knew about clients, and starts them again after
    /// `down`. Values go on changing. Returns when they listen again.
    ///
    /// # Errors
    /// If one does not come up again.
    pub async fn restart(&self, down: Duration) -> anyhow::Result<()> {
        self.inner.restart(down).await
    }

    /// Sets the status with which the tags of these names answer; `None`: all. Returns how many tags that was.
    ///
    /// # Errors
    /// If there is no such tag, or a server has ended.
    pub async fn set_status(&self, tags: Option<&[String]>, status: StatusCode) -> anyhow::Result<u32> {
        self.inner.set_status(tags, status).await
    }

    /// Stops all changes, or lets them go on.
    pub fn set_paused(&self, paused: bool) {
        self.inner.set_paused(paused);
    }

    /// Waits until the control port is asked to stop the plant.
    pub async fn stop_asked(&self) {
        self.inner.stop_asked.notified().await;
    }

    /// Says goodbye to all clients, ends all servers and returns the totals.
    ///
    /// # Errors
    /// If a request to the control port is still under way: the plant then ends without goodbyes.
    pub async fn stop(self) -> anyhow::Result<Stats> {
        let stats = self.inner.stats();
        self.control.stop().await;
        let mut inner = Arc::into_inner(self.inner).context("a request to the control port is still under way")?;
        for server in &mut inner.servers {
            server.stop().await;
        }
        Ok(stats)
    }
}

impl PlantInner {
    async fn start_server(&mut self, index: u32, pki_directory: PathBuf) -> anyhow::Result<()> {
        let mut address = self.options.listen;
        if address.port() != 0 {
            let port = u32::from(address.port()) + index;
            address.set_port(u16::try_from(port).context("the servers' ports end at 65535")?);
        }
        let front = if self.options.fault_front { Some(BoundFront::bind(address)?) } else { None };
        let start = ServerStart {
            index,
            address: match front {
                Some(_) => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0),
                None => address,
            },
            public_port: front.as_ref().map(|front| front.address().port()),
            pki_directory,
            started: self.started,
        };
        let server = PlantServer::start(self.options.clone(), start).await?;
        let public = front.as_ref().map_or(server.address(), BoundFront::address);
        if let Some(front) = front {
            let sightings = Arc::new(Mutex::new(Sightings::new(self.options.limits.recorded_messages_max)));
            self.fronts.push((front.run(server.address(), Arc::clone(&sightings)), sightings));
        }
        self.endpoints.push(format!("opc.tcp://{}:{}/", self.options.advertised_host(), public.port()));
        self.servers.push(server);
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        let servers: Vec<ServerStats> = self
            .servers
            .iter()
            .map(|server| {
                let counts = server.counts();
                ServerStats {
                    up: counts.is_up,
                    sessions: counts.sessions,
                    subscriptions: counts.subscriptions,
                    monitored_items: counts.monitored_items,
                    changes: server.with_tags(|tags| tags.change_count()),
                }
            })
            .collect();
        let seen = |count: fn(&Sightings) -> u64| {
            let counts =
                self.fronts.iter().map(|(_, seen)| count(&seen.lock().unwrap_or_else(PoisonError::into_inner)));
            (!self.fronts.is_empty()).then(|| counts.sum())
        };
        Stats {
            seconds: self.started.elapsed().as_secs_f64(),
            tags: self.names.tag_count(),
            changes: servers.iter().map(|server| server.changes).sum(),
            cycles_skipped: self.servers.iter().map(|server| server.with_tags(|tags| tags.cycles_skipped())).sum(),
            tags_not_good: self.servers.iter().map(|server| server.with_tags(|tags| tags.not_good_count())).sum(),
            paused: self.servers.iter().all(|server| server.with_tags(|tags| tags.is_paused())),
            publishes_seen: seen(|seen| seen.publish_count),
            acknowledgements_seen: seen(|seen| seen.acknowledgement_count),
            messages_unread: seen(|seen| seen.unread_count),
            servers,
        }
    }

    pub(crate) fn write_truth(&self, path: &Path) -> anyhow::Result<()> {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        truth_file::write(&mut file, now_100ns(), &self.names, &self.servers, &self.sightings())?;
        file.flush().with_context(|| format!("cannot write {}", path.display()))
    }

    fn sightings(&self) -> Vec<Arc<Mutex<Sightings>>> {
        self.fronts.iter().map(|(_, sightings)| Arc::clone(sightings)).collect()
    }

    pub(crate) fn drop_connections(&self) -> anyhow::Result<()> {
        for front in self.needed_fronts()? {
            front.drop_connections();
        }
        Ok(())
    }

    pub(crate) async fn refuse(&self, duration: Duration) -> anyhow::Result<()> {
        let fronts: Vec<&Front> = self.needed_fronts()?.collect();
        for front in &fronts {
            front.set_refusing(true);
        }
        tokio::time::sleep(duration).await;
        for front in &fronts {
            front.set_refusing(false);
        }
        Ok(())
    }

    pub(crate) async fn restart(&self, down: Duration) -> anyhow::Result<()> {
        self.fronts.iter().for_each(|(front, _)| front.set_refusing(true));
        let outcomes = join_all(self.servers.iter().map(|server| server.restart(down))).await;
        self.fronts.iter().for_each(|(front, _)| front.set_refusing(false));
        outcomes.into_iter().collect()
    }

    pub(crate) async fn set_status(&self, tags: Option<&[String]>, status: StatusCode) -> anyhow::Result<u32> {
        let mut locals: Vec<Option<Vec<u32>>> = vec![tags.map(|_| Vec::new()); self.servers.len()];
        for tag in tags.unwrap_or_default() {
            let Some(index) = self.names.index_of(tag) else { bail!("there is no tag {tag}") };
            for (server, locals) in self.servers.iter().zip(&mut locals) {
                let (first, count) = server.with_tags(|tags| (tags.first_index(), tags.len()));
                if let Some(locals) = locals.as_mut().filter(|_| (first..first + count).contains(&index)) {
                    locals.push(index - first);
                }
            }
        }
        let mut count = 0;
        for (server, locals) in self.servers.iter().zip(locals) {
            count += server.set_status(locals, status).await?;
        }
        Ok(count)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.servers.iter().for_each(|server| server.with_tags(|tags| tags.set_paused(paused)));
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop_asked.notify_one();
    }

    fn needed_fronts(&self) -> anyhow::Result<impl Iterator<Item = &Front>> {
        ensure!(!self.fronts.is_empty(), "this needs the fault front: start the plant with --fault-front");
        Ok(self.fronts.iter().map(|(front, _)| front))
    }
}
