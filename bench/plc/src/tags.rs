//! The tags of one server: which changes when, and to what.
//!
//! Time is an argument, so the same seed and the same times make the same plant. A tag runs through cycles of one
//! period each, shifted by its own phase; in each cycle it changes or not, drawn from the seed. All tags have the
//! same period, so a list sorted by phase and a cursor make a timer wheel: each step visits only what is due.

use opcua::types::{DataValue, DateTime, StatusCode, UAString, Variant};

use crate::names::{IndexRange, Names};
use crate::record::Record;
use crate::scenario::PlantScenario;
use crate::truth::OPCUA_EPOCH_OFFSET_100NS;
use crate::value::{Change, PlantValue, SEQUENCE_END, ValueFormat, encode};

/// Cycles that are caught up after a stall of the process; what is older is skipped and counted.
const CYCLES_BEHIND_MAX: u64 = 10;
/// Largest step of the random walk.
const WALK_STEP_MAX: u64 = 1_000;

/// A change on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordedChange {
    /// When, in units of 100 ns since 1970.
    pub(crate) source_100ns: i64,
    /// Which tag of this server, from 0.
    pub(crate) local: u32,
    /// Which change of the tag.
    pub(crate) sequence: u32,
}

/// What a tag holds at the moment.
#[derive(Debug, Clone, Copy)]
struct TagState {
    source_100ns: i64,
    walk: u64,
    sequence: u32,
    status: StatusCode,
    subscription: u32,
}

/// A value to be told to the subscribers of a tag.
pub(crate) struct Emission {
    /// Which tag of this server, from 0.
    pub(crate) local: u32,
    /// What to tell.
    pub(crate) value: DataValue,
}

/// All tags of one server.
pub(crate) struct Tags {
    format: ValueFormat,
    seed: u64,
    first_index: u32,
    period_ns: u64,
    /// A cycle changes the tag where its draw is below this; `None`: always.
    change_below: Option<u64>,
    /// Phase in ns and tag, in the order in which they come due within a cycle.
    wheel: Vec<(u64, u32)>,
    cursor: usize,
    cycle: u64,
    states: Vec<TagState>,
    newest_100ns: i64,
    paused: bool,
    record: Record<RecordedChange>,
    change_count: u64,
    cycles_skipped: u64,
}

impl Tags {
    /// The tags of server `server_index`, each with its first value, number 0, made at `now_100ns`.
    ///
    /// # Panics
    /// If `scenario` was not checked.
    pub(crate) fn new(scenario: &PlantScenario, server_index: u32, record_count_max: usize, now_100ns: i64) -> Self {
        let IndexRange { start, end } = Names::new(scenario).tags_of_server(server_index);
        let format = scenario.format().expect("a checked scenario has a format");
        let period_ns = period_ns(scenario.updates_per_s);
        let mut wheel: Vec<(u64, u32)> = (start..end)
            .map(|index| {
                (scale(mix(scenario.seed, [u64::from(index), 0, Draw::Phase as u64]), period_ns), index - start)
            })
            .collect();
        wheel.sort_unstable();
        let states = (start..end)
            .map(|index| TagState {
                source_100ns: now_100ns,
                walk: scale(mix(scenario.seed, [u64::from(index), 0, Draw::Start as u64]), format.walk_end()),
                sequence: 0,
                status: StatusCode::Good,
                subscription: 0,
            })
            .collect();
        Self {
            format,
            seed: scenario.seed,
            first_index: start,
            period_ns,
            change_below: change_below(scenario.change_ratio),
            wheel,
            cursor: 0,
            cycle: 0,
            states,
            newest_100ns: now_100ns,
            paused: false,
            record: Record::new(record_count_max),
            change_count: 0,
            cycles_skipped: 0,
        }
    }

    /// Makes all changes that have come due `elapsed_ns` after the plant's start. `clock` gives each its time.
    pub(crate) fn advance(&mut self, elapsed_ns: u64, mut clock: impl FnMut() -> i64, emissions: &mut Vec<Emission>) {
        let newest_cycle = elapsed_ns / self.period_ns;
        if newest_cycle > self.cycle + CYCLES_BEHIND_MAX {
            self.cycles_skipped += newest_cycle - CYCLES_BEHIND_MAX - self.cycle;
            self.cycle = newest_cycle - CYCLES_BEHIND_MAX;
        }
        while let Some(&(phase_ns, local)) = self.wheel.get(self.cursor) {
            if self.cycle * self.period_ns + phase_ns > elapsed_ns {
                return;
            }
            let cycle = self.cycle;
            self.cursor += 1;
            if self.cursor == self.wheel.len() {
                self.cursor = 0;
                self.cycle += 1;
            }
            if !self.paused && !self.state(local).status.is_bad() && self.changes_in(local, cycle) {
                emissions.push(self.change(local, clock()));
            }
        }
    }

    /// Sets the status with which a tag answers. A Bad tag makes no changes and shows no value; on its way to any
    /// other status it changes at once. Returns what to tell; `None` if nothing is different, or no such tag.
    pub(crate) fn set_status(&mut self, local: u32, status: StatusCode, now_100ns: i64) -> Option<Emission> {
        let state = self.states.get_mut(usize::try_from(local).ok()?)?;
        if state.status == status {
            return None;
        }
        state.status = status;
        if !status.is_bad() {
            return Some(self.change(local, now_100ns));
        }
        state.source_100ns = now_100ns.max(self.newest_100ns + 1);
        self.newest_100ns = state.source_100ns;
        Some(Emission { local, value: self.data_value(local) })
    }

    /// Stops all changes, or lets them go on. The sequence numbers have no gap.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether changes are stopped.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// What the variable of a tag holds.
    ///
    /// # Panics
    /// If this server has no such tag.
    pub(crate) fn data_value(&self, local: u32) -> DataValue {
        let state = self.state(local);
        let time = DateTime::from(state.source_100ns + OPCUA_EPOCH_OFFSET_100NS);
        let value = (!state.status.is_bad()).then(|| {
            let change = Change { tag_index: self.first_index + local, sequence: state.sequence, walk: state.walk };
            match encode(self.format, change) {
                PlantValue::Text(text) => Variant::String(UAString::from(text)),
                PlantValue::Number(number) => Variant::Double(number),
            }
        });
        DataValue {
            value,
            status: Some(state.status),
            source_timestamp: Some(time),
            source_picoseconds: None,
            server_timestamp: Some(time),
            server_picoseconds: None,
        }
    }

    /// Notes to which Subscription the newest MonitoredItem on a tag belongs.
    pub(crate) fn set_subscription(&mut self, local: u32, subscription: u32) {
        if let Some(state) = usize::try_from(local).ok().and_then(|local| self.states.get_mut(local)) {
            state.subscription = subscription;
        }
    }

    /// Number of tags.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.states.len()).expect("a checked scenario has at most 2^24 tags")
    }

    /// Index in the whole plant of the first tag.
    pub(crate) fn first_index(&self) -> u32 {
        self.first_index
    }

    /// Sequence number and Subscription of each tag.
    pub(crate) fn newest(&self) -> Vec<(u32, u32)> {
        self.states.iter().map(|state| (state.sequence, state.subscription)).collect()
    }

    /// Number of tags that answer with another status than Good.
    pub(crate) fn not_good_count(&self) -> usize {
        self.states.iter().filter(|state| state.status != StatusCode::Good).count()
    }

    /// Changes on record.
    pub(crate) fn record(&self) -> &Record<RecordedChange> {
        &self.record
    }

    /// Changes made since the start; the first values do not count.
    pub(crate) fn change_count(&self) -> u64 {
        self.change_count
    }

    /// Cycles of all tags that were skipped because the process stood still for too long.
    pub(crate) fn cycles_skipped(&self) -> u64 {
        self.cycles_skipped
    }

    fn state(&self, local: u32) -> &TagState {
        &self.states[usize::try_from(local).expect("an index of a tag fits")]
    }

    fn changes_in(&self, local: u32, cycle: u64) -> bool {
        let index = u64::from(self.first_index + local);
        self.change_below.is_none_or(|limit| mix(self.seed, [index, cycle, Draw::Change as u64]) < limit)
    }

    fn change(&mut self, local: u32, now_100ns: i64) -> Emission {
        let index = u64::from(self.first_index + local);
        self.newest_100ns = now_100ns.max(self.newest_100ns + 1);
        let state = &mut self.states[usize::try_from(local).expect("an index of a tag fits")];
        state.sequence = (state.sequence + 1) % SEQUENCE_END;
        let draw = mix(self.seed, [index, u64::from(state.sequence), Draw::Step as u64]);
        state.walk = walk_on(state.walk, scale(draw, 2 * WALK_STEP_MAX + 1), self.format.walk_end());
        state.source_100ns = self.newest_100ns;
        let sequence = state.sequence;
        self.change_count += 1;
        self.record.push(RecordedChange { source_100ns: self.newest_100ns, local, sequence });
        Emission { local, value: self.data_value(local) }
    }
}

/// What a draw decides, so that draws are independent.
#[derive(Clone, Copy)]
enum Draw {
    Phase = 1,
    Start = 2,
    Change = 3,
    Step = 4,
}

/// One period in ns, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked rate lies above 0 and the period saturates"
)]
fn period_ns(updates_per_s: f64) -> u64 {
    ((1e9 / updates_per_s).round() as u64).max(1)
}

/// The part `ratio` of all draws; `None` for all of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checked ratio lies between 0 and 1")]
fn change_below(ratio: f64) -> Option<u64> {
    const DRAWS: f64 = 18_446_744_073_709_551_616.0;
    (ratio < 1.0).then_some((ratio * DRAWS) as u64)
}

/// A number that looks random, from the seed and what it is for: the finishing steps of `SplitMix64`, once per word.
fn mix(seed: u64, words: [u64; 3]) -> u64 {
    words.into_iter().fold(seed, |state, word| {
        let mut mixed = (state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

/// Maps a draw evenly to 0 up to, but without, `end`.
fn scale(draw: u64, end: u64) -> u64 {
    u64::try_from((u128::from(draw) * u128::from(end)) >> 64).expect("the product's upper half is below `end`")
}

/// One step of the walk; `step` is 0 to twice the largest, its middle stands still. Turns round at both ends.
fn walk_on(walk: u64, step: u64, end: u64) -> u64 {
    let raised = walk + step;
    if raised < WALK_STEP_MAX {
        WALK_STEP_MAX - raised
    } else if raised - WALK_STEP_MAX >= end {
        2 * (end - 1) - (raised - WALK_STEP_MAX)
    } else {
        raised - WALK_STEP_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{TEXT_WALK_END, decode_text};

    const SECOND_NS: u64 = 1_000_000_000;

    fn scenario() -> PlantScenario {
        PlantScenario { assets: 20, tags_per_asset: 50, ..PlantScenario::default() }
    }

    fn tags(scenario: &PlantScenario) -> Tags {
        Tags::new(scenario, 0, 1_000_000, 0)
    }

    /// Runs to `end_ns` in steps of 10 ms, the last one shorter, and tells what changed at which step.
    fn run(tags: &mut Tags, end_ns: u64) -> Vec<(u64, Emission)> {
        let mut all = Vec::new();
        for step_ns in (0..end_ns).step_by(10_000_000).chain([end_ns]) {
            let mut emissions = Vec::new();
            tags.advance(step_ns, || i64::try_from(step_ns / 100).unwrap(), &mut emissions);
            all.extend(emissions.into_iter().map(|emission| (step_ns, emission)));
        }
        all
    }

    fn text(emission: &Emission) -> String {
        match &emission.value.value {
            Some(Variant::String(text)) => text.to_string(),
            other => panic!("no String: {other:?}"),
        }
    }

    #[test]
    fn every_tag_changes_once_a_period_and_counts_without_a_gap() {
        let mut tags = tags(&scenario());
        let emissions = run(&mut tags, 10 * SECOND_NS - 1);
        assert_eq!(emissions.len(), 20 * 1_000);
        let mut next = vec![1; 1_000];
        for (_, emission) in &emissions {
            let change = decode_text(text(emission).as_bytes()).unwrap();
            assert_eq!(change.tag_index, emission.local);
            assert_eq!(change.sequence, next[emission.local as usize]);
            next[emission.local as usize] += 1;
        }
        assert_eq!(tags.record().to_vec().len(), 20_000);
    }

    #[test]
    fn phases_are_uniform_over_the_period() {
        let scenario = PlantScenario { assets: 200, ..scenario() };
        let emissions = run(&mut tags(&scenario), SECOND_NS / 2 - 1);
        let mut tenths = [0_u32; 10];
        for (step_ns, _) in &emissions {
            tenths[usize::try_from(step_ns / (SECOND_NS / 20)).unwrap()] += 1;
        }
        // 10,000 tags: 1,000 in each tenth, with a standard deviation of 30. The step that rounds up moves 2 %.
        for tenth in tenths {
            assert!((800..1_200).contains(&tenth), "{tenths:?}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_plant_and_another_does_not() {
        let trace = |seed| {
            let scenario = PlantScenario { seed, change_ratio: 0.5, ..scenario() };
            let emissions = run(&mut tags(&scenario), 2 * SECOND_NS);
            emissions.iter().map(|(step_ns, emission)| (*step_ns, text(emission))).collect::<Vec<_>>()
        };
        assert_eq!(trace(7), trace(7));
        assert_ne!(trace(7), trace(8));
    }

    #[test]
    fn the_change_ratio_is_met_over_all_tags() {
        let scenario = PlantScenario { change_ratio: 0.529, ..scenario() };
        let count = run(&mut tags(&scenario), 10 * SECOND_NS - 1).len();
        // 20,000 draws: 10,580 on average, with a standard deviation of 71.
        assert!((10_290..10_870).contains(&count), "{count}");
    }

    #[test]
    fn steps_of_the_walk_stay_small_and_inside() {
        let mut walk = 3;
        for draw in 0..100_000_u64 {
            let next = walk_on(walk, scale(mix(1, [draw, 0, 0]), 2_001), 5_000);
            assert!(next < 5_000 && next.abs_diff(walk) <= WALK_STEP_MAX);
            walk = next;
        }
        assert_eq!(walk_on(0, 0, TEXT_WALK_END), 1_000);
        assert_eq!(walk_on(TEXT_WALK_END - 1, 2_000, TEXT_WALK_END), TEXT_WALK_END - 1_001);
    }

    #[test]
    fn times_of_one_tag_rise_even_where_the_clock_stands_still() {
        let mut tags = tags(&scenario());
        let mut emissions = Vec::new();
        tags.advance(2 * SECOND_NS, || 5, &mut emissions);
        let times: Vec<i64> = tags.record().to_vec().iter().map(|change| change.source_100ns).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_bad_tag_shows_no_value_and_goes_on_where_it_stood() {
        let mut tags = tags(&scenario());
        let told = tags.set_status(3, StatusCode::BadSensorFailure, 10).unwrap();
        assert_eq!((told.value.value, told.value.status), (None, Some(StatusCode::BadSensorFailure)));
        assert!(tags.set_status(3, StatusCode::BadSensorFailure, 11).is_none());
        assert!(run(&mut tags, 2 * SECOND_NS).iter().all(|(_, emission)| emission.local != 3));
        let told = tags.set_status(3, StatusCode::Good, 12).unwrap();
        assert_eq!(decode_text(text(&told).as_bytes()).unwrap().sequence, 1);
        assert!(tags.set_status(1_000, StatusCode::Good, 12).is_none(), "no such tag");
    }

    #[test]
    fn a_pause_leaves_no_gap() {
        let mut tags = tags(&scenario());
        tags.set_paused(true);
        assert!(run(&mut tags, SECOND_NS).is_empty());
        tags.set_paused(false);
        let mut emissions = Vec::new();
        tags.advance(SECOND_NS * 3 / 2, || 0, &mut emissions);
        assert!(emissions.iter().all(|emission| decode_text(text(emission).as_bytes()).unwrap().sequence == 1));
    }

    #[test]
    fn a_long_stall_is_skipped_and_counted() {
        let mut tags = tags(&scenario());
        let mut emissions = Vec::new();
        tags.advance(100 * SECOND_NS, || 0, &mut emissions);
        assert_eq!(tags.cycles_skipped(), 200 - CYCLES_BEHIND_MAX);
        assert!(emissions.len() <= 1_000 * usize::try_from(CYCLES_BEHIND_MAX + 1).unwrap());
        assert!(emissions.len() >= 1_000 * usize::try_from(CYCLES_BEHIND_MAX).unwrap());
    }
}
