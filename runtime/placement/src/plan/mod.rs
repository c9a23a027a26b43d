//! A plan: which actor sits on which processor of this machine, what it may take, and what does not fit.

mod drawing;
mod fold;
mod lines;
mod memory_bound;
mod resolve;
mod table;
mod warning;

use std::fmt;

use telemetry::ActorKind;

pub use memory_bound::{MemoryBound, SiteCounts};
pub use resolve::{PlanError, TooFewCores};
pub use warning::Warning;

use crate::machine::MachineFacts;
use crate::profile::{LaneKind, Profile};

/// What to do with a profile of more cores than the machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Refuse it, with the remedy.
    Refuse,
    /// Map several of its cores onto one, and say so.
    Allow,
}

/// A profile resolved on a machine.
///
/// Every actor's instance has exactly one executor, and every lane one processor. The same profile and facts give the same plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The profile that it was made from.
    pub profile: Profile,
    /// The machine that it was made for.
    pub facts: MachineFacts,
    /// The executors, in the order of the profile's cores; at most one on a processor.
    pub executors: Vec<PlannedExecutor>,
    /// The lanes, by kind and then in the order of the profile's cores.
    pub lanes: Vec<PlannedLane>,
    /// The profile's cores with their processors, in its order.
    pub cores: Vec<PlannedCore>,
    /// Processors that the process may use and the plan does not, ascending.
    pub free_cpus: Vec<usize>,
    /// The processor that compresses sealed log segments.
    pub compression_cpu: usize,
    /// How the profile was folded onto fewer cores, for every report; `None`: it was not.
    pub folded: Option<String>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What all limits together may take, for one server and one destination.
    pub memory: MemoryBound,
    /// For each kind, in the order of [`ActorKind::ALL`], the executors of the cores that list it, in the profile's order.
    pub(crate) places: [Vec<usize>; ActorKind::ALL.len()],
}

/// One pinned executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedExecutor {
    /// Its name, that of the first of its cores; at most 15 bytes.
    pub name: String,
    /// The processor that it is pinned to.
    pub cpu: usize,
    /// The profile's cores that sit on it; several where the profile was folded.
    pub cores: Vec<String>,
    /// The actors that it hosts, in the order in which data flows.
    pub actors: Vec<PlannedActor>,
    /// Entries of each of its three rings.
    pub ring_depth: u32,
}

/// An actor on its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedActor {
    /// What it is.
    pub kind: ActorKind,
    /// Which one, from 0. A broker-partition is `partition * backend_workers + worker`. OPC UA sessions, dataflows and
    /// batchers are as many as the site has; for them this is a place, and number n of them sits at place n modulo the
    /// count of places.
    pub instance: u32,
}

/// A pinned thread that is no executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLane {
    /// What it is.
    pub kind: LaneKind,
    /// Which one of its kind, from 0.
    pub instance: u32,
    /// The processor that it is pinned to.
    pub cpu: usize,
}

/// A core of the profile on its processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCore {
    /// Its name in the profile.
    pub name: String,
    /// Its processor.
    pub cpu: usize,
}

impl PlannedLane {
    /// Its name, that of its kind, with a number behind all but the first.
    pub fn name(&self) -> String {
        match self.instance {
            0 => self.kind.name().to_owned(),
            instance => format!("{}-{instance}", self.kind.name()),
        }
    }
}

impl fmt::Display for PlannedActor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind.name(), self.instance)
    }
}

impl Plan {
    /// Places the actors and lanes of `profile` on the machine of `facts`.
    ///
    /// A profile that was chosen by the machine (`auto`) is folded where it must be, whatever `fold` says.
    ///
    /// # Errors
    /// [`PlanError`]: the profile does not fit; its text names the remedy.
    pub fn resolve(profile: &Profile, facts: &MachineFacts, fold: Fold) -> Result<Self, PlanError> {
        resolve::resolve(profile, facts, fold)
    }

    /// The executor, as an index into [`Plan::executors`], of instance `instance` of `kind`: they are dealt in turn among the
    /// cores that list the kind. Any number has its place.
    pub fn executor_of(&self, kind: ActorKind, instance: u32) -> usize {
        let places = &self.places[position(kind)];
        places[usize::try_from(instance).unwrap_or(usize::MAX) % places.len()]
    }

    /// The lane of `kind` that instance `instance` of what uses it is dealt to, in turn.
    pub fn lane_of(&self, kind: LaneKind, instance: u32) -> &PlannedLane {
        let count = self.lanes.iter().filter(|lane| lane.kind == kind).count();
        let wanted = usize::try_from(instance).unwrap_or(usize::MAX) % count;
        self.lanes.iter().filter(|lane| lane.kind == kind).nth(wanted).expect("every kind of lane has a place")
    }

    /// How many places a kind has: instances are dealt to them in turn.
    pub fn places_count(&self, kind: ActorKind) -> usize {
        self.places[position(kind)].len()
    }

    /// What all limits together may take at a site with so many servers and destinations.
    pub fn memory_at(&self, site: SiteCounts) -> MemoryBound {
        MemoryBound::new(&self.profile, &self.executors, site)
    }

    /// The plan as a table for people.
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// The plan as a drawing: one SVG document, readable on light and on dark ground.
    pub fn svg(&self) -> String {
        drawing::svg(self)
    }
}

/// The place of a kind in [`ActorKind::ALL`].
pub(crate) fn position(kind: ActorKind) -> usize {
    ActorKind::ALL.iter().position(|each| *each == kind).expect("ALL has every kind")
}
