//! What a stop has not delivered yet, told by each core as it drains: the last word when the stop's time is over.

use std::sync::atomic::{AtomicU64, Ordering};

use wiring::{Host, StopStage};

/// By core, records that flows of this process were still to deliver at its last turn of the stop.
#[derive(Debug)]
pub(super) struct Left {
    records: Vec<AtomicU64>,
}

impl Left {
    pub(super) fn new(cores_count: usize) -> Self {
        Self { records: (0..cores_count).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes what `host`, that of `core`, has left; nothing before a stop.
    pub(super) fn note(&self, core: u16, host: &Host) {
        if host.stage() == StopStage::Running {
            return;
        }
        let queued_count = host.partitions().map(|(_, partition)| partition.flows_queued_count()).sum();
        self.records[usize::from(core)].store(queued_count, Ordering::Relaxed);
    }

    /// What is left, in words.
    pub(super) fn words(&self) -> String {
        let count: u64 = self.records.iter().map(|records| records.load(Ordering::Relaxed)).sum();
        if count == 0 {
            return "nothing that was accepted is undelivered".to_owned();
        }
        format!(
            "{count} messages that were accepted are not delivered and are lost, but for those of servers with acknowledge = \
             \"delivered\", which send them again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_add_up_the_cores() {
        let left = Left::new(2);
        assert!(left.words().starts_with("nothing"));
        left.records[0].store(2, Ordering::Relaxed);
        left.records[1].store(3, Ordering::Relaxed);
        assert!(left.words().starts_with("5 messages"));
    }
}
