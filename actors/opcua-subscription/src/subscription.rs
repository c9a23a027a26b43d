//! One Subscription: how far it is made, which NotificationMessage comes next, and what is missing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use contract::{Instant, UtcTime};

use crate::interval::Interval;
use crate::layout::SubscriptionPlan;
use crate::{GapCause, MonitoredItemResult, Revised, StatusCode, sequence};

/// How far a Subscription is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is to be made, not before an instant that spreads the Subscriptions over the interval.
    Waiting { not_before: Instant },
    /// CreateSubscription is under way.
    Creating,
    /// It lives; its MonitoredItems are being made.
    AddingItems,
    /// It is complete.
    Running,
}

/// What is missing before new NotificationMessages may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// Nothing.
    InStep,
    /// It is not known what came last: the first PublishResponse's list of unacknowledged messages says what is missing.
    FirstMessage,
    /// The message after the last is asked for until the server has none.
    Probe,
    /// These messages are asked for, one by one.
    Fill(Missing),
}

/// Messages that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Their numbers, the oldest first.
    pub(crate) numbers: VecDeque<u32>,
    /// What came last is not known, so a number that is not in the list was acknowledged before; else it is lost.
    pub(crate) only_listed: bool,
    /// The number that follows the list, where it is known.
    pub(crate) then: Option<u32>,
}

/// A message that came before one that is missing.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) sequence_number: u32,
    pub(crate) publish_time: UtcTime,
    pub(crate) body: Bytes,
    pub(crate) kind: ArrivalKind,
    pub(crate) received_utc: UtcTime,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArrivalKind {
    /// In a PublishResponse; whether more of the same interval follow.
    Published { more_notifications: bool },
    /// In a `RepublishResponse`, which does not say whether more follow.
    Republished,
}

/// Messages in a row that are lost for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostRun {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// What the server made of the items, summed up for the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revisions {
    pub(crate) items_count: u32,
    pub(crate) revised_count: u32,
    pub(crate) queue_size_smallest: Revised<u32>,
    pub(crate) sampling_interval_largest: Revised<Duration>,
}

impl Default for Revisions {
    fn default() -> Self {
        Self {
            items_count: 0,
            revised_count: 0,
            queue_size_smallest: Revised { requested: 0, revised: u32::MAX },
            sampling_interval_largest: Revised { requested: Duration::ZERO, revised: Duration::ZERO },
        }
    }
}

impl Revisions {
    /// Notes what became of one item that was made.
    pub(crate) fn note(&mut self, sampling_interval: Duration, queue_size: u32, result: &MonitoredItemResult) {
        self.items_count += 1;
        let is_revised = result.revised_queue_size < queue_size || result.revised_sampling_interval > sampling_interval;
        self.revised_count += u32::from(is_revised);
        if result.revised_queue_size < self.queue_size_smallest.revised {
            self.queue_size_smallest = Revised { requested: queue_size, revised: result.revised_queue_size };
        }
        if result.revised_sampling_interval >= self.sampling_interval_largest.revised {
            self.sampling_interval_largest =
                Revised { requested: sampling_interval, revised: result.revised_sampling_interval };
        }
    }
}

/// One Subscription of the plan.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) plan: SubscriptionPlan,
    pub(crate) stage: Stage,
    /// The server's id; of no meaning before [`Stage::AddingItems`].
    pub(crate) id: u32,
    /// Random at its creation.
    pub(crate) birth: u64,
    pub(crate) publishing_interval: Duration,
    pub(crate) lifetime_count: Revised<u32>,
    pub(crate) max_keep_alive_count: Revised<u32>,
    /// Slots whose items are still to be made, call by call.
    pub(crate) batches: VecDeque<Vec<u32>>,
    pub(crate) revisions: Revisions,
    /// Slots that the server refused.
    pub(crate) rejected: Vec<(u32, StatusCode)>,
    pub(crate) retry_at: Option<Instant>,
    /// The newest message that was taken; `None`: not known.
    pub(crate) last: Option<u32>,
    pub(crate) catch_up: CatchUp,
    /// A call that made items was not answered, and will not be.
    pub(crate) is_uncertain: bool,
    /// A Republish is under way.
    pub(crate) is_asking: bool,
    /// Messages that wait for one before them, the oldest first.
    pub(crate) held_back: VecDeque<Arrival>,
    pub(crate) interval: Interval,
    pub(crate) heard_at: Instant,
    /// The server's time up to which all values were received; `None`: none ever were.
    pub(crate) complete_until: Option<UtcTime>,
    /// Since when, and why, values may be missing; told when they come again.
    pub(crate) gap: Option<(UtcTime, GapCause)>,
    pub(crate) lost_run: Option<LostRun>,
}

impl Subscription {
    pub(crate) fn new(plan: SubscriptionPlan) -> Self {
        Self {
            plan,
            stage: Stage::Waiting { not_before: Instant::ZERO },
            id: 0,
            birth: 0,
            publishing_interval: plan.publishing_interval,
            lifetime_count: Revised { requested: 0, revised: 0 },
            max_keep_alive_count: Revised { requested: 1, revised: 1 },
            batches: VecDeque::new(),
            revisions: Revisions::default(),
            rejected: Vec::new(),
            retry_at: None,
            last: None,
            catch_up: CatchUp::FirstMessage,
            is_uncertain: false,
            is_asking: false,
            held_back: VecDeque::new(),
            interval: Interval::default(),
            heard_at: Instant::ZERO,
            complete_until: None,
            gap: None,
            lost_run: None,
        }
    }

    /// Whether the server has it.
    pub(crate) const fn is_alive(&self) -> bool {
        matches!(self.stage, Stage::AddingItems | Stage::Running)
    }

    pub(crate) const fn run(&self) -> (u32, u32) {
        (self.plan.first_slot, self.plan.slots_count)
    }

    /// Messages received and not yet handed to partitions, without those that wait for one before them.
    pub(crate) fn open_count(&self) -> u32 {
        u32::try_from(self.interval.sequence_numbers.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn held_back_count(&self) -> u32 {
        u32::try_from(self.held_back.len()).unwrap_or(u32::MAX)
    }

    /// The longest silence that is in order: one and a half times what the server promised.
    pub(crate) fn silence_max(&self) -> Duration {
        self.publishing_interval.saturating_mul(self.max_keep_alive_count.revised.max(2)).saturating_mul(3) / 2
    }

    /// Whether a message was taken before. False where it is not known what was.
    pub(crate) fn was_taken(&self, sequence_number: u32) -> bool {
        self.last.is_some_and(|last| !sequence::is_after(sequence_number, last))
    }

    /// Whether a message is the next one.
    pub(crate) fn is_next(&self, sequence_number: u32) -> bool {
        self.last.is_some_and(|last| sequence::after(last) == sequence_number)
    }

    /// Keeps a message for later, in its place. A second copy of one is dropped.
    pub(crate) fn hold_back(&mut self, arrival: Arrival) {
        let number = arrival.sequence_number;
        let place = self.held_back.partition_point(|held| sequence::is_after(number, held.sequence_number));
        if self.held_back.get(place).is_none_or(|held| held.sequence_number != number) {
            self.held_back.insert(place, arrival);
        }
    }

    /// The next message to ask the server for again, if any is missing and none is being asked for.
    pub(crate) fn next_to_ask(&mut self) -> Option<u32> {
        if self.is_asking {
            return None;
        }
        match &mut self.catch_up {
            CatchUp::InStep | CatchUp::FirstMessage => None,
            CatchUp::Probe => self.last.map(sequence::after),
            CatchUp::Fill(missing) => missing.numbers.front().copied(),
        }
    }

    /// Begins to ask for everything between what was taken last and `until` (not included). Answers false where that is more
    /// than `count_max`, and takes it as lost.
    pub(crate) fn fill_until(&mut self, until: u32, count_max: u32) -> bool {
        let Some(last) = self.last else { return true };
        let count = sequence::distance(last, until).saturating_sub(1);
        if count > count_max {
            self.last = Some(sequence::before(until));
            self.catch_up = CatchUp::InStep;
            return false;
        }
        let mut numbers = VecDeque::with_capacity(count as usize);
        let mut number = last;
        for _ in 0..count {
            number = sequence::after(number);
            numbers.push_back(number);
        }
        self.catch_up = if numbers.is_empty() {
            CatchUp::InStep
        } else {
            CatchUp::Fill(Missing { numbers, only_listed: false, then: Some(until) })
        };
        true
    }

    /// What came last is not known: asks for what the server lists as unacknowledged, and takes `then` after it.
    pub(crate) fn fill_listed(&mut self, listed: impl Iterator<Item = u32>, then: Option<u32>) {
        let mut numbers: Vec<u32> = match then {
            Some(then) => listed.filter(|number| sequence::is_after(then, *number)).collect(),
            None => listed.collect(),
        };
        if let Some(reference) = then.or(numbers.first().copied()) {
            sequence::sort_from_oldest(&mut numbers, reference);
        }
        self.catch_up = CatchUp::Fill(Missing { numbers: numbers.into(), only_listed: true, then });
    }

    /// Drops `number` from what is missing, with everything before it.
    pub(crate) fn no_longer_missing(&mut self, number: u32) {
        if let CatchUp::Fill(missing) = &mut self.catch_up {
            missing.numbers.retain(|missing| sequence::is_after(*missing, number));
        }
    }

    /// Ends a fill whose list is empty.
    pub(crate) fn end_fill(&mut self) {
        let CatchUp::Fill(missing) = &self.catch_up else { return };
        if !missing.numbers.is_empty() {
            return;
        }
        if missing.only_listed
            && let Some(then) = missing.then
        {
            // Messages that overtook each other may have been taken beyond `then` already.
            let before = sequence::before(then);
            self.last = self.last.filter(|last| sequence::is_after(*last, before)).or(Some(before));
        }
        self.catch_up = if self.last.is_some() { CatchUp::InStep } else { CatchUp::FirstMessage };
    }
}
