//! The bounded list of what one step asks of the runtime.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Hop, Observation};

/// Effects of one step, in order, and the latencies that it observed.
///
/// Holds at most `count_max` effects: an actor that pushes more in one step has a bug, and the push panics.
/// Observations beyond [`Effects::OBSERVATIONS_MAX`] in one step are counted as lost; they are telemetry, never
/// data.
#[derive(Debug)]
pub struct Effects<E> {
    queue: VecDeque<E>,
    count_max: usize,
    observations: Vec<Observation>,
    observations_lost: u64,
}

impl<E> Effects<E> {
    /// Observations that one step can hand over; more are counted by [`Effects::observations_lost`].
    pub const OBSERVATIONS_MAX: usize = 4_096;

    /// Makes an empty list for at most `count_max` effects a step. Allocates nothing yet.
    pub fn new(count_max: usize) -> Self {
        Self { queue: VecDeque::new(), count_max, observations: Vec::new(), observations_lost: 0 }
    }

    /// Adds an effect after those already there.
    ///
    /// # Panics
    /// When the step has pushed `count_max` effects already: the actor did not bound its work.
    #[inline]
    pub fn push(&mut self, effect: E) {
        assert!(self.queue.len() < self.count_max, "a step pushes at most {} effects", self.count_max);
        self.queue.push_back(effect);
    }

    /// Takes the oldest effect.
    #[inline]
    pub fn pop(&mut self) -> Option<E> {
        self.queue.pop_front()
    }

    /// How many effects wait to be drained.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether everything was drained.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many more effects this step may push.
    #[inline]
    pub fn room(&self) -> usize {
        self.count_max - self.queue.len()
    }

    /// Notes that `count` data points took `latency` for `hop`. Costs a few nanoseconds, allocates rarely.
    #[inline]
    pub fn observe(&mut self, hop: Hop, latency: Duration, count: u32) {
        if self.observations.len() < Self::OBSERVATIONS_MAX {
            self.observations.push(Observation::new(hop, latency, count));
        } else {
            self.observations_lost += u64::from(count);
        }
    }

    /// Takes the observations of the step, leaving the buffer for the next one.
    pub fn drain_observations(&mut self) -> std::vec::Drain<'_, Observation> {
        self.observations.drain(..)
    }

    /// Data points whose latency found no room, since the start.
    pub fn observations_lost(&self) -> u64 {
        self.observations_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_back_in_the_order_they_were_pushed() {
        let mut effects = Effects::new(2);
        effects.push('a');
        effects.push('b');
        assert_eq!((effects.pop(), effects.pop(), effects.pop()), (Some('a'), Some('b'), None));
    }

    #[test]
    #[should_panic(expected = "at most 1 effects")]
    fn a_step_that_does_not_bound_its_work_panics() {
        let mut effects = Effects::new(1);
        effects.push(1);
        effects.push(2);
    }

    #[test]
    fn observations_past_the_limit_are_counted_as_lost() {
        let mut effects = Effects::<()>::new(1);
        for _ in 0..Effects::<()>::OBSERVATIONS_MAX {
            effects.observe(Hop::SourceToReceived, Duration::from_micros(5), 1);
        }
        effects.observe(Hop::SourceToReceived, Duration::from_micros(5), 7);
        assert_eq!(effects.observations_lost(), 7);
        assert_eq!(effects.drain_observations().count(), Effects::<()>::OBSERVATIONS_MAX);
    }
}
