//! The orderly end, stage by stage over all cores: sources first, then what they left behind, downstream.

use contract::CoreIndex;

/// How far a stop is. Each stage begins on all cores when every core has done the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopStage {
    /// No stop.
    #[default]
    Running,
    /// Sessions end and keep their server's queues; connections are told and close.
    Sources,
    /// Partitions give their records to flows until all have settled.
    Partitions,
    /// Dataflows wait for what is under way.
    Flows,
    /// Batchers close their batches without linger.
    Batchers,
    /// Everything is settled.
    Done,
}

impl StopStage {
    /// The stage after this one; `Done` is followed by itself.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Running => Self::Sources,
            Self::Sources => Self::Partitions,
            Self::Partitions => Self::Flows,
            Self::Flows => Self::Batchers,
            Self::Batchers | Self::Done => Self::Done,
        }
    }
}

/// What the host of core 0 knows of all cores.
#[derive(Debug)]
pub(crate) struct StopCoordinator {
    stage: StopStage,
    /// By core, whether it has done [`StopCoordinator::stage`].
    done: Vec<bool>,
}

impl StopCoordinator {
    pub(crate) fn new(cores_count: u16) -> Self {
        Self { stage: StopStage::Running, done: vec![false; cores_count.into()] }
    }

    /// Begins, if nobody has; the stage to begin everywhere.
    pub(crate) fn begin(&mut self) -> Option<StopStage> {
        (self.stage == StopStage::Running).then(|| self.advance())
    }

    /// A core has done a stage; the stage to begin everywhere, when it was the last one. Said again, or late, it changes nothing.
    pub(crate) fn done(&mut self, core: CoreIndex, stage: StopStage) -> Option<StopStage> {
        if stage != self.stage || stage == StopStage::Done {
            return None;
        }
        self.done[usize::from(core.0)] = true;
        self.done.iter().all(|done| *done).then(|| self.advance())
    }

    fn advance(&mut self) -> StopStage {
        self.stage = self.stage.next();
        self.done.fill(false);
        self.stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_begins_when_every_core_has_done_the_one_before() {
        let mut coordinator = StopCoordinator::new(2);
        assert_eq!((coordinator.begin(), coordinator.begin()), (Some(StopStage::Sources), None));
        assert_eq!(coordinator.done(CoreIndex(1), StopStage::Sources), None);
        assert_eq!(coordinator.done(CoreIndex(1), StopStage::Sources), None);
        assert_eq!(coordinator.done(CoreIndex(0), StopStage::Sources), Some(StopStage::Partitions));
        assert_eq!(coordinator.done(CoreIndex(0), StopStage::Sources), None, "late");
    }
}
