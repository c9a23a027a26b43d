//! The bounded list of what one step asks of the runtime.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Hop, Instant, Observation};

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
    /// What the last observation was of, where [`Effects::observe_since`] made it.
    last_stretch: Option<(Hop, Instant, Instant)>,
}

impl<E> Effects<E> {
    /// Observations that one step can hand over; more are counted by [`Effects::observations_lost`].
    pub const OBSERVATIONS_MAX: usize = 4_096;

    /// Makes an empty list for at most `count_max` effects a step. Allocates nothing yet.
    pub fn new(count_max: usize) -> Self {
        Self { queue: VecDeque::new(), count_max, observations: Vec::new(), observations_lost: 0, last_stretch: None }
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

    /// Notes that `count` data points took `latency` for `hop`; those that follow each other with the same latency are one
    /// observation. Costs a few nanoseconds, allocates rarely.
    #[inline]
    pub fn observe(&mut self, hop: Hop, latency: Duration, count: u32) {
        self.last_stretch = None;
        let observation = Observation::new(hop, latency, count);
        if let Some(last) = self.observations.last_mut()
            && (last.hop, last.latency_us) == (hop, observation.latency_us)
            && let Some(count) = last.count.checked_add(count)
        {
            // What came together and left together: one entry of the histogram.
            last.count = count;
        } else if self.observations.len() < Self::OBSERVATIONS_MAX {
            self.observations.push(observation);
        } else {
            self.observations_lost += u64::from(count);
        }
    }

    /// Notes that `count` data points came at `since` and have passed `hop` at `now`. For those that came together, as with one read
    /// of a socket, the latency is worked out once.
    #[inline]
    pub fn observe_since(&mut self, hop: Hop, since: Instant, now: Instant, count: u32) {
        if self.last_stretch == Some((hop, since, now))
            && let Some(last) = self.observations.last_mut()
            && let Some(count) = last.count.checked_add(count)
        {
            last.count = count;
            return;
        }
        self.observe(hop, now - since, count);
        // Where there was no room for it, the last one is another.
        self.last_stretch = (self.observations.len() < Self::OBSERVATIONS_MAX).then_some((hop, since, now));
    }

    /// Takes the observations of the step, leaving the buffer for the next one.
    pub fn drain_observations(&mut self) -> std::vec::Drain<'_, Observation> {
        self.last_stretch = None;
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
    fn observations_that_follow_each_other_with_one_latency_are_one() {
        let mut effects = Effects::<()>::new(1);
        for (hop, latency_us, count) in [
            (Hop::SourceToReceived, 5, 1),
            (Hop::SourceToReceived, 5, 2),
            (Hop::ReceivedToAccepted, 5, 1),
            (Hop::ReceivedToAccepted, 6, u32::MAX),
            (Hop::ReceivedToAccepted, 6, 1),
        ] {
            effects.observe(hop, Duration::from_micros(latency_us), count);
        }
        let seen: Vec<_> = effects.drain_observations().map(|each| (each.latency_us, each.count)).collect();
        assert_eq!(seen, [(5, 3), (5, 1), (6, u32::MAX), (6, 1)]);
    }

    #[test]
    fn what_came_together_is_one_observation_of_a_step() {
        let mut effects = Effects::<()>::new(1);
        let at = Instant::from_millis;
        for (since, now) in [(1, 3), (1, 3), (1, 4), (2, 4)] {
            effects.observe_since(Hop::ReceivedToAccepted, at(since), at(now), 1);
        }
        let seen: Vec<_> = effects.drain_observations().map(|each| (each.latency_us, each.count)).collect();
        assert_eq!(seen, [(2_000, 2), (3_000, 1), (2_000, 1)]);
        effects.observe_since(Hop::ReceivedToAccepted, at(2), at(4), 1);
        assert_eq!(effects.drain_observations().count(), 1, "the step before had its own");
    }

    #[test]
    fn observations_past_the_limit_are_counted_as_lost() {
        let mut effects = Effects::<()>::new(1);
        for latency_us in 0..Effects::<()>::OBSERVATIONS_MAX {
            effects.observe(Hop::SourceToReceived, Duration::from_micros(latency_us as u64), 1);
        }
        effects.observe(Hop::SourceToReceived, Duration::from_micros(5), 7);
        assert_eq!(effects.observations_lost(), 7);
        assert_eq!(effects.drain_observations().count(), Effects::<()>::OBSERVATIONS_MAX);
    }
}
