//! Holds what arrived against what must have arrived, and says what is wrong.

use serde::{Deserialize, Serialize};

use super::accounts::{Accounts, Oddities, Rule, Steps, TagAccount};
use super::expectation::{Expectation, TagExpectation};

/// Findings that are named one by one; the rest is only counted.
const EXAMPLES_MAX: usize = 8;
/// How far the mean step of the rule `last` may lie from 2.
const STEP_MEAN_TOLERANCE: f64 = 0.02;

/// The account of the points of the window. `expected = delivered + missing + lost_at_source`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// Points that must arrive.
    pub expected: u64,
    /// Those that did.
    pub delivered: u64,
    /// Those that did not, and nobody said why.
    pub missing: u64,
    /// Points that came in two events of different ids, in the whole run.
    pub duplicated: u64,
    /// Points that came after a younger one of their tag, in the whole run.
    pub out_of_order: u64,
    /// Points that the server's queue lost, as the Overflow bit of the next one says.
    pub lost_at_source: u64,
}

impl Points {
    /// Delivered over expected, in percent; 100 where nothing was expected.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn delivered_percent(&self) -> f64 {
        if self.expected == 0 { 100.0 } else { self.delivered as f64 * 100.0 / self.expected as f64 }
    }
}

/// What a reader found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    pub(crate) points: Points,
    /// Changes inside the window that the rule leaves out by design.
    pub(crate) superseded: u64,
    /// Points that arrived although a newer one was there at their publish time.
    pub(crate) not_newest: u64,
    /// Points that arrived and that the plant never made.
    pub(crate) invented: u64,
    /// Tags whose points all arrived, but not with the times that the plant gave them.
    pub(crate) tags_with_other_times: u64,
    pub(crate) steps: Steps,
    pub(crate) oddities: Oddities,
    /// The first few findings, for people.
    pub(crate) examples: Vec<String>,
}

/// Points of `expectation` that have not arrived.
pub(crate) fn absent_count(accounts: &Accounts, expectation: &Expectation) -> u64 {
    let absent = |tag: &TagExpectation| {
        let account = accounts.tag(tag.index);
        tag.sequences().filter(|sequence| !account.is_some_and(|account| account.has(*sequence))).count()
    };
    expectation.tags.iter().map(|tag| count(absent(tag))).sum()
}

/// Judges all that arrived.
pub(crate) fn judge(accounts: &Accounts, expectation: &Expectation, rule: Rule) -> Judgement {
    let mut judgement = Judgement { steps: accounts.steps, oddities: accounts.oddities, ..Judgement::default() };
    judgement.points.duplicated = accounts.duplicated;
    judgement.points.out_of_order = accounts.out_of_order;
    let none = TagAccount::default();
    for tag in &expectation.tags {
        judgement.add_tag(tag, accounts.tag(tag.index).unwrap_or(&none), rule);
    }
    judgement
}

impl Judgement {
    fn add_tag(&mut self, tag: &TagExpectation, account: &TagAccount, rule: Rule) {
        let mut expected = 0;
        let mut delivered = 0;
        let mut arrived_inside = None;
        for sequence in tag.sequences() {
            expected += 1;
            if account.has(sequence) {
                delivered += 1;
            } else if is_lost_at_source(account, sequence) {
                self.points.lost_at_source += 1;
                self.note(|| format!("{} {sequence} was lost in the server's queue", tag.name));
            } else {
                self.points.missing += 1;
                self.note(|| format!("{} {sequence} is missing", tag.name));
            }
        }
        self.points.expected += expected;
        self.points.delivered += delivered;
        if let (Rule::Last, Some((first, last))) = (rule, tag.span) {
            let arrived = count((first..=last).filter(|sequence| account.has(*sequence)).count());
            arrived_inside = Some(arrived);
            self.superseded += u64::from(last - first + 1) - expected;
            self.not_newest += arrived - delivered;
            if arrived > delivered {
                self.note(|| format!("{}: {} points that were not the newest", tag.name, arrived - delivered));
            }
        }
        let invented = count(account.sequences().filter(|sequence| *sequence > tag.last).count());
        self.invented += invented;
        if invented > 0 {
            self.note(|| format!("{}: {invented} points after its last one, {}", tag.name, tag.last));
        }
        if delivered == expected
            && arrived_inside.is_none_or(|arrived| arrived == delivered)
            && account.window_time_sum != tag.time_sum
        {
            self.tags_with_other_times += 1;
            self.note(|| format!("{}: times other than the plant's", tag.name));
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }

    /// Everything that makes the run a failure, in words; empty when nothing does.
    pub(crate) fn failures(&self, rule: Rule, is_step_mean_known: bool, has_fault: bool) -> Vec<String> {
        let Points { expected, missing, duplicated, out_of_order, lost_at_source, .. } = self.points;
        let Oddities { ids_reused, events_unreadable, unreadable, misnamed, without_time, .. } = self.oddities;
        let counts = [
            (missing, "points are missing"),
            (duplicated, "points came under two ids"),
            (out_of_order, "points came out of order"),
            (lost_at_source, "points were lost in the server's queues"),
            (self.not_newest, "points were not the newest of their interval"),
            (self.invented, "points were never made"),
            (self.tags_with_other_times, "tags have times other than the plant's"),
            (self.oddities.several_in_message, "points shared a message with another of their tag"),
            (if rule == Rule::Last { self.steps.too_long } else { 0 }, "steps were longer than 4"),
            (ids_reused, "events have the id of another event"),
            (if has_fault { 0 } else { self.oddities.redelivered }, "points were redelivered without a fault"),
            (self.oddities.events_past_limit, "events were too many to remember"),
            (events_unreadable, "events are no messages of a DataSet"),
            (unreadable, "values are none of the plant's"),
            (misnamed, "points stand under another tag's name"),
            (without_time, "points have no time"),
        ];
        let mut failures: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}")).collect();
        if expected == 0 {
            failures.push("the plant made nothing that could arrive".to_owned());
        }
        if rule == Rule::Last && is_step_mean_known && self.step_mean().is_none_or(|mean| !is_near_two(mean)) {
            failures.push(format!("the mean step is {:?}, not within 1 % of 2", self.step_mean()));
        }
        failures
    }

    /// Mean step from message to message; `None` where there was none.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub(crate) fn step_mean(&self) -> Option<f64> {
        (self.steps.count > 0).then(|| self.steps.sum as f64 / self.steps.count as f64)
    }
}

fn is_near_two(mean: f64) -> bool {
    (mean - 2.0).abs() <= STEP_MEAN_TOLERANCE
}

/// Whether the next point that arrived says that values before it were lost.
fn is_lost_at_source(account: &TagAccount, sequence: u32) -> bool {
    let next_overflow = account.overflows.iter().copied().filter(|overflow| *overflow > sequence).min();
    next_overflow.is_some_and(|overflow| (sequence + 1..overflow).all(|between| !account.has(between)))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).expect("a count fits")
}

#[cfg(test)]
mod tests {
    use bench_plc::names::Names;
    use bench_plc::scenario::PlantScenario;
    use bench_plc::value::{Change, encode_text};
    use proptest::prelude::*;

    use super::super::accounts::{AccountLimits, Arrival, Window};
    use super::super::expectation::tests::{expectation, plant_line, publish_line, tag_line};
    use super::*;

    /// Ten changes of one tag, one each 5 units of 100 ns from 5 on; the window is from 10, before 50.
    fn changes() -> Vec<(u32, i64)> {
        (1..=10).map(|sequence| (sequence, i64::from(sequence) * 5)).collect()
    }

    fn accounts(rule: Rule) -> Accounts {
        let scenario = PlantScenario { assets: 1, tags_per_asset: 1, ..PlantScenario::default() };
        let limits = AccountLimits { sequence_end: 1_000, events_max: 1_000 };
        let mut accounts = Accounts::new(&Names::new(&scenario), 1, rule, limits);
        accounts.set_window(Window { start_100ns: 10, end_100ns: 50 });
        accounts
    }

    /// One event with these points; the code is a StatusCode.
    fn take(accounts: &mut Accounts, id: &str, points: &[(u32, u32)]) {
        let objects: Vec<String> = points
            .iter()
            .map(|(sequence, code)| {
                let value = encode_text(Change { tag_index: 0, sequence: *sequence, walk: 1 });
                format!(
                    r#"{{"SourceTimestamp":"1970-01-01T00:00:00.{:07}Z","Value":"{value}","StatusCode":{{"Code":{code}}}}}"#,
                    sequence * 5
                )
            })
            .collect();
        let body = format!(r#"{{"tag00":[{}]}}"#, objects.join(","));
        accounts.take(Arrival { id: id.as_bytes(), accepted_us: 6, body: body.as_bytes() });
    }

    fn judge_all(arrivals: &[(&str, &[(u32, u32)])]) -> Judgement {
        let mut accounts = accounts(Rule::All);
        for (id, points) in arrivals {
            take(&mut accounts, id, points);
        }
        let expectation = expectation(Rule::All, &[plant_line(1), tag_line(0, &changes())]).unwrap();
        let judgement = judge(&accounts, &expectation, Rule::All);
        let Points { expected, delivered, missing, lost_at_source, .. } = judgement.points;
        assert_eq!(expected, delivered + missing + lost_at_source);
        assert_eq!(absent_count(&accounts, &expectation), missing + lost_at_source);
        judgement
    }

    fn good(sequences: std::ops::RangeInclusive<u32>) -> Vec<(u32, u32)> {
        sequences.map(|sequence| (sequence, 0)).collect()
    }

    #[test]
    fn all_in_order_is_no_failure() {
        let judgement = judge_all(&[("a", &good(0..=4)), ("b", &good(5..=10))]);
        assert_eq!(judgement.points, Points { expected: 8, delivered: 8, ..Points::default() });
        assert_eq!(judgement.failures(Rule::All, true, false), Vec::<String>::new());
        assert!((judgement.points.delivered_percent() - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_missing_point_is_caught_and_named() {
        let judgement = judge_all(&[("a", &good(0..=4)), ("b", &good(6..=10))]);
        assert_eq!((judgement.points.missing, judgement.points.delivered), (1, 7));
        assert_eq!(judgement.failures(Rule::All, true, false), ["1 points are missing"]);
        assert_eq!(judgement.examples, ["asset000.tag00 5 is missing"]);
        assert!((judgement.points.delivered_percent() - 87.5).abs() < 1e-9);
    }

    #[test]
    fn a_duplicated_point_is_caught() {
        let judgement = judge_all(&[("a", &good(0..=6)), ("b", &good(6..=10))]);
        assert_eq!((judgement.points.duplicated, judgement.points.missing), (1, 0));
        assert_eq!(judgement.failures(Rule::All, true, false), ["1 points came under two ids"]);
    }

    #[test]
    fn a_point_out_of_order_is_caught() {
        let judgement = judge_all(&[("a", &good(0..=4)), ("b", &[(6, 0), (5, 0)]), ("c", &good(7..=10))]);
        assert_eq!((judgement.points.out_of_order, judgement.points.missing), (1, 0));
        assert_eq!(judgement.failures(Rule::All, true, false), ["1 points came out of order"]);
    }

    #[test]
    fn a_redelivered_event_is_caught_and_is_no_duplicate() {
        let judgement = judge_all(&[("a", &good(0..=4)), ("b", &good(5..=10)), ("a", &good(0..=4))]);
        assert_eq!((judgement.points.duplicated, judgement.oddities.redelivered), (0, 5));
        assert_eq!(judgement.failures(Rule::All, true, false), ["5 points were redelivered without a fault"]);
        assert_eq!(judgement.failures(Rule::All, true, true), Vec::<String>::new(), "at least once");
    }

    #[test]
    fn an_overflow_names_what_the_server_lost_and_no_more() {
        let judgement = judge_all(&[("a", &good(0..=2)), ("b", &[(4, 0), (7, 0x480)]), ("c", &good(8..=10))]);
        assert_eq!((judgement.points.missing, judgement.points.lost_at_source), (1, 2));
        assert_eq!(judgement.failures(Rule::All, true, false).len(), 2);
    }

    #[test]
    fn a_point_that_was_never_made_is_caught() {
        let judgement = judge_all(&[("a", &good(0..=10)), ("b", &[(11, 0)])]);
        assert_eq!(judgement.invented, 1);
        assert_eq!(judgement.failures(Rule::All, true, false), ["1 points were never made"]);
    }

    #[test]
    fn an_altered_time_is_caught() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &good(0..=10));
        let mut made = changes();
        made[4].1 += 1;
        let expectation = expectation(Rule::All, &[plant_line(1), tag_line(0, &made)]).unwrap();
        let judgement = judge(&accounts, &expectation, Rule::All);
        assert_eq!(judgement.failures(Rule::All, true, false), ["1 tags have times other than the plant's"]);
    }

    #[test]
    fn an_empty_run_is_a_failure() {
        let expectation = expectation(Rule::All, &[plant_line(1), tag_line(0, &[(1, 5)])]).unwrap();
        assert_eq!(judge(&accounts(Rule::All), &expectation, Rule::All).failures(Rule::All, true, false).len(), 1);
    }

    fn judge_last(publish_times: &[i64], sequences: &[u32]) -> Judgement {
        let mut accounts = accounts(Rule::Last);
        for sequence in sequences {
            take(&mut accounts, &sequence.to_string(), &[(*sequence, 0)]);
        }
        let mut lines = vec![plant_line(1), tag_line(0, &changes())];
        lines.extend(publish_times.iter().copied().map(publish_line));
        judge(&accounts, &expectation(Rule::Last, &lines).unwrap(), Rule::Last)
    }

    const PUBLISH_TIMES: [i64; 5] = [12, 21, 30, 41, 52];

    #[test]
    fn the_newest_of_each_interval_is_no_failure() {
        let judgement = judge_last(&PUBLISH_TIMES, &[2, 4, 6, 8, 10]);
        assert_eq!(judgement.points, Points { expected: 4, delivered: 4, ..Points::default() });
        assert_eq!((judgement.step_mean(), judgement.superseded), (Some(2.0), 4));
        assert_eq!(judgement.failures(Rule::Last, true, false), Vec::<String>::new());
    }

    #[test]
    fn an_older_value_of_an_interval_is_caught() {
        let judgement = judge_last(&PUBLISH_TIMES, &[2, 3, 6, 8, 10]);
        assert_eq!((judgement.not_newest, judgement.points.missing), (1, 1));
        assert_eq!(judgement.failures(Rule::Last, false, false).len(), 2);
    }

    #[test]
    fn steps_away_from_two_are_caught_where_they_are_known() {
        let judgement = judge_last(&[12, 16, 21, 36, 52], &[2, 3, 4, 7, 10]);
        assert_eq!(judgement.points.missing, 0);
        assert_eq!(judgement.failures(Rule::Last, false, false), Vec::<String>::new());
        assert_eq!(judgement.failures(Rule::Last, true, false).len(), 1);
    }

    proptest! {
        /// Any loss, copy and exchange among events is counted exactly as a plain walk over the list counts it.
        #[test]
        fn counts_are_those_of_a_plain_walk(order in prop::collection::vec(0_u32..=10, 0..30)) {
            let arrivals: Vec<(String, Vec<(u32, u32)>)> =
                (0..).zip(&order).map(|(id, sequence): (u32, _)| (id.to_string(), vec![(*sequence, 0)])).collect();
            let borrowed: Vec<(&str, &[(u32, u32)])> =
                arrivals.iter().map(|(id, points)| (id.as_str(), points.as_slice())).collect();
            let judgement = judge_all(&borrowed);
            let mut seen = std::collections::BTreeSet::new();
            let (mut duplicated, mut out_of_order) = (0, 0);
            for sequence in &order {
                let newest = seen.last().copied();
                if !seen.insert(*sequence) {
                    duplicated += 1;
                } else if newest.is_some_and(|newest| newest > *sequence) {
                    out_of_order += 1;
                }
            }
            let delivered = count(seen.range(2..=9).count());
            prop_assert_eq!(
                judgement.points,
                Points { expected: 8, delivered, missing: 8 - delivered, duplicated, out_of_order, lost_at_source: 0 }
            );
        }
    }
}
