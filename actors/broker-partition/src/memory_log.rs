//! A partition log in memory: the engine of the commit policy `none`, and of tests.
//!
//! It answers at once. What it holds dies with the process, so each life has an epoch of its own.

use std::collections::VecDeque;

use contract::{Epoch, LogFailure, LogRequest, LogResponse, Offset, Record};

/// Records in order, up to a quota.
#[derive(Debug)]
pub struct MemoryLog {
    epoch: Epoch,
    records: VecDeque<Record>,
    /// The number of the next record to be stored.
    next_offset: Offset,
    bytes: u64,
    bytes_max: u64,
}

impl MemoryLog {
    /// An empty log for at most `bytes_max` of records. `epoch` must be one that no log of this partition had before.
    pub fn new(epoch: Epoch, bytes_max: u64) -> Self {
        Self { epoch, records: VecDeque::new(), next_offset: Offset(0), bytes: 0, bytes_max }
    }

    /// The life of the log.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Bytes of the records held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records held.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// Carries a request out; its answer, where it has one.
    ///
    /// An append is stored whole or, past the quota, not at all: [`LogFailure::Full`], and the partition makes it again. An empty
    /// log takes any append, so that none is stuck. Records that are there already are not stored twice; an append that follows on
    /// from one that failed is refused too.
    pub fn handle(&mut self, request: LogRequest) -> Option<LogResponse> {
        match request {
            LogRequest::Append(records) => Some(self.append(records)),
            LogRequest::Read { from, bytes_max } => Some(LogResponse::Records(self.read(from, bytes_max))),
            LogRequest::Release { up_to } => {
                while self.records.front().is_some_and(|record| record.offset < up_to) {
                    let record = self.records.pop_front().expect("looked at above");
                    self.bytes -= record.publication.size_bytes() as u64;
                }
                if self.records.is_empty() {
                    self.records.shrink_to(KEPT_COUNT);
                }
                None
            }
        }
    }

    fn append(&mut self, records: Vec<Record>) -> LogResponse {
        let next = self.next_offset;
        let follows_on = records.first().is_none_or(|record| record.offset <= next);
        let is_new = |record: &&Record| record.offset >= next;
        let bytes: u64 = records.iter().filter(is_new).map(|record| record.publication.size_bytes() as u64).sum();
        let has_room = self.records.is_empty() || self.bytes + bytes <= self.bytes_max;
        if !(follows_on && has_room) {
            return LogResponse::Failed(LogFailure::Full);
        }
        for record in records {
            if record.offset >= self.next_offset {
                assert_eq!(record.offset, self.next_offset, "an append has no gap");
                self.next_offset = record.offset.next();
                self.records.push_back(record);
            }
        }
        self.bytes += bytes;
        LogResponse::Durable { up_to: self.next_offset }
    }

    fn read(&self, from: Offset, bytes_max: u64) -> Vec<Record> {
        let start = self.records.partition_point(|record| record.offset < from);
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let is_first = bytes == 0;
            bytes += record.publication.size_bytes() as u64;
            is_first || bytes <= bytes_max
        };
        self.records.range(start..).take_while(fits).cloned().collect()
    }
}

/// An empty log keeps memory for so many records, some 40 bytes each.
const KEPT_COUNT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::publication;

    #[test]
    fn what_is_appended_is_durable_and_read_back_from_any_place() {
        let mut log = MemoryLog::new(Epoch(7), 10_000);
        assert_eq!(log.handle(append(0..3)), Some(LogResponse::Durable { up_to: Offset(3) }));
        assert_eq!(read(&mut log, 1, u64::MAX), [1, 2]);
        assert_eq!(read(&mut log, 0, 1), [0], "at least one");
        assert_eq!(read(&mut log, 0, 2 * size()), [0, 1]);
        assert!(read(&mut log, 3, 1).is_empty());
        assert_eq!(log.epoch(), Epoch(7));
    }

    #[test]
    fn a_full_log_takes_nothing_of_an_append_until_a_release_makes_room() {
        let mut log = MemoryLog::new(Epoch(7), 3 * size());
        log.handle(append(0..2));
        let full = Some(LogResponse::Failed(LogFailure::Full));
        assert_eq!(log.handle(append(2..4)), full);
        assert_eq!(log.handle(append(4..5)), full, "what follows on from a failed append fails too");
        assert_eq!((log.count(), log.bytes()), (2, 2 * size()));
        assert_eq!(log.handle(LogRequest::Release { up_to: Offset(1) }), None);
        assert_eq!(log.handle(append(1..4)), Some(LogResponse::Durable { up_to: Offset(4) }));
        assert_eq!(read(&mut log, 0, u64::MAX), [1, 2, 3], "what was there is not stored twice");
    }

    #[test]
    fn an_empty_log_takes_an_append_larger_than_its_quota() {
        let mut log = MemoryLog::new(Epoch(7), 1);
        assert_eq!(log.handle(append(0..2)), Some(LogResponse::Durable { up_to: Offset(2) }));
    }

    fn append(offsets: std::ops::Range<u64>) -> LogRequest {
        let record = |offset| Record { offset: Offset(offset), publication: publication("a") };
        LogRequest::Append(offsets.map(record).collect())
    }

    fn read(log: &mut MemoryLog, from: u64, bytes_max: u64) -> Vec<u64> {
        match log.handle(LogRequest::Read { from: Offset(from), bytes_max }) {
            Some(LogResponse::Records(records)) => records.iter().map(|record| record.offset.0).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn size() -> u64 {
        publication("a").size_bytes() as u64
    }
}
