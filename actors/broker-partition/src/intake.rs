//! Publications before anybody may see them: those that wait for memory, and those that wait for the log.

use std::collections::{BTreeMap, VecDeque};

use contract::{
    Acknowledge, ConnectionAddress, Instant, Ledger, LogFailure, Offset, Publication, PublishToken, Publisher, QoS,
    Record, Refusal, SessionId,
};

/// Publications of one [`crate::Message::Publish`].
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) publisher: Publisher,
    pub(crate) token: PublishToken,
    pub(crate) acknowledge: Acknowledge,
    /// What the publisher is told once they are durable.
    pub(crate) answer: Answer,
    /// The publisher's session, where its connection does not say it: of a Will, and once the connection has ended.
    pub(crate) session: Option<SessionId>,
    /// None where they were refused or dropped: the batch only keeps the place of its answer.
    pub(crate) publications: Vec<Publication>,
    /// The number of the first, once it has one.
    pub(crate) first: Offset,
    pub(crate) bytes: u64,
}

/// What becomes of the batch's place in the order of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// There are no publications.
    Refused(Refusal),
    /// There are no publications: the connection is told that all of it was answered.
    Suspended(ConnectionAddress),
    /// Nobody waits for one.
    Nothing,
}

impl Batch {
    /// The number after the last.
    pub(crate) fn end(&self) -> Offset {
        Offset(self.first.0 + self.publications.len() as u64)
    }

    /// Its records, sharing the publications' bytes.
    fn records(&self) -> impl Iterator<Item = Record> {
        let record = |(offset, publication): (u64, &Publication)| Record {
            offset: Offset(offset),
            publication: publication.clone(),
        };
        (self.first.0..).zip(&self.publications).map(record)
    }
}

/// Whether the log stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogState {
    /// It does, as far as we know.
    Stores,
    /// It does not; what it has not called durable is appended again, one batch at a time. `retry_at` is `None` while the answer is
    /// awaited.
    Failed { failure: LogFailure, retry_at: Option<Instant> },
}

/// The queue of publications up to the moment at which they are durable.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Without a number yet: the publishers wait, and that is the back-pressure.
    waiting: VecDeque<Batch>,
    waiting_bytes: u64,
    /// Batches of each publisher in `waiting`; a publisher that is not there has none.
    waiting_by_publisher: BTreeMap<Publisher, u32>,
    /// With the log, in the order of their numbers.
    appended: VecDeque<Batch>,
    appended_bytes: u64,
    next_offset: Offset,
    pub(crate) durable_up_to: Offset,
    pub(crate) log: LogState,
    /// Publications that arrived and were not refused; delivered: those that flows and subscribers may have seen.
    pub(crate) ledger: Ledger,
    /// Publications refused, since the start.
    pub(crate) refused_count: u64,
}

impl Intake {
    /// An empty intake; the next record has the number `next_offset`.
    pub(crate) fn new(next_offset: Offset) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_by_publisher: BTreeMap::new(),
            appended: VecDeque::new(),
            appended_bytes: 0,
            next_offset,
            durable_up_to: next_offset,
            log: LogState::Stores,
            ledger: Ledger::default(),
            refused_count: 0,
        }
    }

    /// Takes a batch to the end of the queue. One that only keeps the place of an answer waits for no memory, unless an earlier batch
    /// of its publisher does.
    pub(crate) fn push(&mut self, batch: Batch) {
        self.ledger.accepted += batch.publications.len() as u64;
        if batch.publications.is_empty() && !self.waiting_by_publisher.contains_key(&batch.publisher) {
            self.put_appended(batch);
            return;
        }
        *self.waiting_by_publisher.entry(batch.publisher).or_insert(0) += 1;
        self.waiting_bytes += batch.bytes;
        self.waiting.push_back(batch);
    }

    /// Numbers the oldest waiting batch and adds its records to `records`.
    pub(crate) fn append_oldest(&mut self, records: &mut Vec<Record>) {
        let Some(batch) = self.waiting.pop_front() else { return };
        self.waiting_bytes -= batch.bytes;
        let left = self.waiting_by_publisher.get_mut(&batch.publisher).expect("counted when it was queued");
        *left -= 1;
        if *left == 0 {
            self.waiting_by_publisher.remove(&batch.publisher);
        }
        self.put_appended(batch);
        records.extend(self.appended.back().expect("just pushed").records());
    }

    fn put_appended(&mut self, mut batch: Batch) {
        batch.first = self.next_offset;
        self.next_offset = batch.end();
        self.appended_bytes += batch.bytes;
        self.appended.push_back(batch);
    }

    /// A connection ends and its session does not: its publications at `QoS` 2 that wait are taken out, for the client sends them again,
    /// and of the others that wait it will not be told. Its place in the order of answers is kept, behind all that the log has of it;
    /// without such it is told at once: returns true.
    pub(crate) fn suspend(&mut self, session: SessionId, connection: ConnectionAddress) -> bool {
        let publisher = Publisher::Connection(connection);
        if self.waiting_by_publisher.contains_key(&publisher) {
            self.take_out_exactly_once(publisher, session);
        }
        let mut is_answered = true;
        for batch in self.appended.iter_mut().filter(|batch| batch.publisher == publisher) {
            batch.session = Some(session);
            is_answered = false;
        }
        if is_answered {
            return true;
        }
        self.put_appended(Batch {
            publisher,
            token: PublishToken(0),
            acknowledge: Acknowledge::Accepted,
            answer: Answer::Suspended(connection),
            session: None,
            publications: Vec::new(),
            first: Offset(0),
            bytes: 0,
        });
        false
    }

    fn take_out_exactly_once(&mut self, publisher: Publisher, session: SessionId) {
        let Self { waiting, waiting_bytes, waiting_by_publisher, ledger, .. } = self;
        let mut left_count = 0;
        waiting.retain_mut(|batch| {
            if batch.publisher != publisher {
                return true;
            }
            let count = batch.publications.len();
            batch.publications.retain(|publication| publication.qos() != QoS::ExactlyOnce);
            // They were never accepted: the law of this cursor does not know them.
            ledger.accepted -= (count - batch.publications.len()) as u64;
            *waiting_bytes -= batch.bytes;
            batch.bytes = batch.publications.iter().map(|publication| publication.size_bytes() as u64).sum();
            *waiting_bytes += batch.bytes;
            batch.answer = Answer::Nothing;
            batch.session = Some(session);
            left_count += u32::from(!batch.publications.is_empty());
            !batch.publications.is_empty()
        });
        if left_count == 0 {
            waiting_by_publisher.remove(&publisher);
        } else {
            waiting_by_publisher.insert(publisher, left_count);
        }
    }

    /// Whether the oldest batch with the log is durable.
    pub(crate) fn has_durable(&self) -> bool {
        self.appended.front().is_some_and(|batch| batch.end() <= self.durable_up_to)
    }

    /// Takes the oldest batch with the log off, which is durable.
    pub(crate) fn pop_durable(&mut self) -> Option<Batch> {
        if !self.has_durable() {
            return None;
        }
        let batch = self.appended.pop_front()?;
        self.appended_bytes -= batch.bytes;
        self.ledger.delivered += batch.publications.len() as u64;
        Some(batch)
    }

    /// The log calls everything below `up_to` durable.
    pub(crate) fn set_durable(&mut self, up_to: Offset) {
        self.durable_up_to = self.durable_up_to.max(up_to.min(self.next_offset));
    }

    /// Whether the log owes an answer.
    pub(crate) fn has_undurable(&self) -> bool {
        self.durable_up_to < self.next_offset
    }

    /// The records of the oldest batch that is not durable, to be appended again.
    pub(crate) fn oldest_undurable(&self) -> Vec<Record> {
        let batch = self.appended.iter().find(|batch| batch.end() > self.durable_up_to);
        batch.map_or_else(Vec::new, |batch| batch.records().collect())
    }

    /// The first record that is not visible yet.
    pub(crate) fn lowest(&self) -> Offset {
        self.appended.front().map_or(self.next_offset, |batch| batch.first)
    }

    /// Whether batches wait for memory.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the oldest batch that waits only keeps the place of an answer.
    pub(crate) fn oldest_waiting_is_empty(&self) -> bool {
        self.waiting.front().is_some_and(|batch| batch.publications.is_empty())
    }

    /// Bytes that wait for memory.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// Bytes that are with the log.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// Publications that nobody may see yet: the `queued` of the intake's ledger.
    pub(crate) fn queued_count(&self) -> u64 {
        self.waiting.iter().chain(&self.appended).map(|batch| batch.publications.len() as u64).sum()
    }
}
