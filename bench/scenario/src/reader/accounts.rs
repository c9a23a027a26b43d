//! Every data point that arrived, by tag and sequence number: seen once, again, out of order, or not at all.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bench_plc::names::Names;
use bench_plc::value::decode_text;
use serde::{Deserialize, Serialize};

use super::latency::Latencies;
use super::payload::{Point, PointValue, visit_points};

/// `Overflow` of a DataValue's `InfoBits` (OPC UA Part 4 §7.39): info type `DataValue`, and the server's queue lost values
/// before this one.
const OVERFLOW_BITS: u32 = 0x0000_0480;

/// Which values of an interval must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rule {
    /// The newest of each tag, one a message.
    Last,
    /// Every one.
    All,
}

/// The span of source time that is measured: from `start_100ns`, before `end_100ns`, in units of 100 ns since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start_100ns: i64,
    pub(crate) end_100ns: i64,
}

impl Window {
    /// Whether a time lies inside.
    pub(crate) fn contains(self, time_100ns: i64) -> bool {
        (self.start_100ns..self.end_100ns).contains(&time_100ns)
    }
}

/// One event as the hub gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Its `message-id`; empty where it has none.
    pub(crate) id: &'a [u8],
    /// When the hub accepted it, in microseconds since 1970.
    pub(crate) accepted_us: i64,
    /// Its payload.
    pub(crate) body: &'a [u8],
}

/// Limits of what is remembered; beyond them nothing is forgotten, but refused and counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountLimits {
    /// One more than the largest sequence number that the plant can have reached.
    pub(crate) sequence_end: u32,
    /// Events whose ids are remembered (some 40 bytes each).
    pub(crate) events_max: usize,
}

/// What went wrong besides the account of each point, counted in points where nothing else is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Oddities {
    /// Came again in an event of the same id: allowed under faults only.
    pub(crate) redelivered: u64,
    /// Events whose id had come before with another body.
    pub(crate) ids_reused: u64,
    /// Events without an id: a second one of them could not be told from a copy.
    pub(crate) events_without_id: u64,
    /// Events past the limit of remembered ids.
    pub(crate) events_past_limit: u64,
    /// Events whose payload is no message of a DataSet.
    pub(crate) events_unreadable: u64,
    /// Points whose value is none of the plant's.
    pub(crate) unreadable: u64,
    /// Points under another tag's name.
    pub(crate) misnamed: u64,
    /// Points without a time.
    pub(crate) without_time: u64,
    /// Second and further points of a tag in one message, where the rule is one.
    pub(crate) several_in_message: u64,
}

/// What one tag's points add up to.
#[derive(Debug, Default, Clone)]
pub(crate) struct TagAccount {
    seen: Vec<u64>,
    newest: Option<u32>,
    /// Points before which the server's queue had lost values; in order of arrival.
    pub(crate) overflows: Vec<u32>,
    /// Sum of the `SourceTimestamp`s of the points inside the window, wrapping: altered times show without being kept.
    pub(crate) window_time_sum: u64,
}

impl TagAccount {
    /// Whether the point arrived.
    pub(crate) fn has(&self, sequence: u32) -> bool {
        let (word, bit) = place_of(sequence);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Points that arrived, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .step_by(64)
            .zip(&self.seen)
            .flat_map(|(first, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit))
    }

    /// Marks a point; whether it is new.
    fn mark(&mut self, sequence: u32) -> bool {
        let (word, bit) = place_of(sequence);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }
}

fn place_of(sequence: u32) -> (usize, u64) {
    (usize::try_from(sequence / 64).expect("26 bits fit"), 1 << (sequence % 64))
}

/// Steps of the sequence numbers of one tag from message to message, where only the newest value is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Steps {
    /// How many.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: u64,
    /// How many were longer than [`STEP_MAX`].
    pub(crate) too_long: u64,
}

/// Longest step that the rule `last` allows.
pub(crate) const STEP_MAX: u32 = 4;

/// Running totals of what arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Events, redelivered ones left out.
    pub(crate) events: u64,
    /// Points in them.
    pub(crate) points: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// Events that the hub accepted inside the window.
    pub(crate) window_events: u64,
}

/// The account of a whole plant.
#[derive(Debug)]
pub(crate) struct Accounts {
    rule: Rule,
    limits: AccountLimits,
    tag_names: Vec<String>,
    tags_per_asset: u32,
    window: Option<Window>,
    tags: Vec<TagAccount>,
    bodies_by_id: HashMap<u64, u64>,
    /// Points that came under another event's id, too.
    pub(crate) duplicated: u64,
    /// Points that came after a younger one of their tag.
    pub(crate) out_of_order: u64,
    /// All else that is odd.
    pub(crate) oddities: Oddities,
    /// Steps of points inside the window.
    pub(crate) steps: Steps,
    /// What arrived.
    pub(crate) totals: Totals,
    /// Latency of every point inside the window.
    pub(crate) latencies: Latencies,
}

impl Accounts {
    /// An empty account of the plant whose names are `names`, with `tags_per_asset` tags in each asset.
    pub(crate) fn new(names: &Names, tags_per_asset: u32, rule: Rule, limits: AccountLimits) -> Self {
        let count = usize::try_from(names.tag_count()).expect("a plant has at most 2^24 tags");
        Self {
            rule,
            limits,
            tag_names: (0..tags_per_asset).map(|tag| names.tag(tag)).collect(),
            tags_per_asset,
            window: None,
            tags: vec![TagAccount::default(); count],
            bodies_by_id: HashMap::new(),
            duplicated: 0,
            out_of_order: 0,
            oddities: Oddities::default(),
            steps: Steps::default(),
            totals: Totals::default(),
            latencies: Latencies::new(),
        }
    }

    /// Sets what is measured; to be called before the first point of the window arrives.
    pub(crate) fn set_window(&mut self, window: Window) {
        self.window = Some(window);
    }

    /// The account of a tag; `None` if the plant has none of this index.
    pub(crate) fn tag(&self, index: u32) -> Option<&TagAccount> {
        self.tags.get(usize::try_from(index).ok()?)
    }

    /// Enters one event. About 100 ns a point.
    pub(crate) fn take(&mut self, arrival: Arrival<'_>) {
        let is_redelivered = self.remember(arrival);
        let mut points = 0;
        let outcome = visit_points(arrival.body, |point| {
            points += 1;
            if !is_redelivered {
                self.take_point(&point, arrival.accepted_us);
            }
        });
        self.oddities.events_unreadable += u64::from(outcome.is_err());
        if is_redelivered {
            self.oddities.redelivered += points;
            return;
        }
        self.totals.events += 1;
        self.totals.points += points;
        self.totals.bytes += u64::try_from(arrival.body.len()).expect("a length fits");
        let is_inside = self.window.is_some_and(|window| window.contains(arrival.accepted_us.saturating_mul(10)));
        self.totals.window_events += u64::from(is_inside);
    }

    /// Remembers the event's id; whether it had come before.
    fn remember(&mut self, arrival: Arrival<'_>) -> bool {
        if arrival.id.is_empty() {
            self.oddities.events_without_id += 1;
            return false;
        }
        let (id, body) = (hash(arrival.id), hash(arrival.body));
        if let Some(known) = self.bodies_by_id.get(&id) {
            if *known == body {
                return true;
            }
            self.oddities.ids_reused += 1;
            return false;
        }
        if self.bodies_by_id.len() < self.limits.events_max {
            self.bodies_by_id.insert(id, body);
        } else {
            self.oddities.events_past_limit += 1;
        }
        false
    }

    fn take_point(&mut self, point: &Point<'_>, accepted_us: i64) {
        let PointValue::Text(text) = point.value else {
            self.oddities.unreadable += 1;
            return;
        };
        let known = decode_text(text).ok().filter(|change| change.sequence < self.limits.sequence_end);
        let Some((change, tag)) =
            known.and_then(|change| Some((change, self.tags.get_mut(usize::try_from(change.tag_index).ok()?)?)))
        else {
            self.oddities.unreadable += 1;
            return;
        };
        let in_asset = usize::try_from(change.tag_index % self.tags_per_asset).expect("24 bits fit");
        if self.tag_names[in_asset].as_bytes() != point.name {
            self.oddities.misnamed += 1;
        }
        if self.rule == Rule::Last && point.place > 0 {
            self.oddities.several_in_message += 1;
        }
        if point.status_code & OVERFLOW_BITS == OVERFLOW_BITS {
            tag.overflows.push(change.sequence);
        }
        if !tag.mark(change.sequence) {
            self.duplicated += 1;
            return;
        }
        let step = tag.newest.map(|newest| change.sequence.checked_sub(newest));
        match step {
            Some(None) => self.out_of_order += 1,
            Some(Some(_)) | None => tag.newest = Some(change.sequence),
        }
        let Some(source_100ns) = point.source_100ns else {
            self.oddities.without_time += 1;
            return;
        };
        if self.window.is_some_and(|window| window.contains(source_100ns)) {
            tag.window_time_sum = tag.window_time_sum.wrapping_add(source_100ns.cast_unsigned());
            self.latencies.record(source_100ns, accepted_us);
            if let Some(Some(step)) = step {
                self.steps.count += 1;
                self.steps.sum += u64::from(step);
                self.steps.too_long += u64::from(step > STEP_MAX);
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bench_plc::scenario::PlantScenario;
    use bench_plc::value::{Change, encode_text};

    use super::*;

    const SECOND: i64 = 10_000_000;

    fn accounts(rule: Rule) -> Accounts {
        let scenario = PlantScenario { assets: 2, tags_per_asset: 3, ..PlantScenario::default() };
        let limits = AccountLimits { sequence_end: 1_000, events_max: 100 };
        let mut accounts = Accounts::new(&Names::new(&scenario), 3, rule, limits);
        accounts.set_window(Window { start_100ns: 0, end_100ns: 100 * SECOND });
        accounts
    }

    fn value(tag_index: u32, sequence: u32) -> String {
        encode_text(Change { tag_index, sequence, walk: 5 })
    }

    /// A message of one tag with these sequence numbers, made at 1 s.
    fn message(tag_index: u32, sequences: &[u32]) -> String {
        let point = |sequence: &u32| {
            format!(r#"{{"SourceTimestamp":"1970-01-01T00:00:01Z","Value":"{}"}}"#, value(tag_index, *sequence))
        };
        let points: Vec<String> = sequences.iter().map(point).collect();
        format!(r#"{{"tag{:02}":[{}]}}"#, tag_index % 3, points.join(","))
    }

    fn take(accounts: &mut Accounts, id: &str, body: &str) {
        accounts.take(Arrival { id: id.as_bytes(), accepted_us: 1_250_000, body: body.as_bytes() });
    }

    #[test]
    fn points_in_order_are_seen_once() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &message(4, &[0, 1]));
        take(&mut accounts, "b", &message(4, &[2, 64]));
        assert_eq!(accounts.tag(4).unwrap().sequences().collect::<Vec<_>>(), [0, 1, 2, 64]);
        assert!(!accounts.tag(4).unwrap().has(3) && accounts.tag(4).unwrap().has(64));
        assert_eq!((accounts.duplicated, accounts.out_of_order, accounts.oddities), (0, 0, Oddities::default()));
        assert_eq!((accounts.totals.events, accounts.totals.points, accounts.totals.window_events), (2, 4, 2));
        assert!(accounts.latencies.quantile_ms(0.5).is_some_and(|ms| (ms - 250.0).abs() < 0.5));
    }

    #[test]
    fn the_same_event_again_is_redelivered_and_the_same_point_under_another_id_is_duplicated() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &message(1, &[0, 1]));
        take(&mut accounts, "a", &message(1, &[0, 1]));
        assert_eq!((accounts.oddities.redelivered, accounts.duplicated, accounts.totals.events), (2, 0, 1));
        take(&mut accounts, "b", &message(1, &[1]));
        assert_eq!((accounts.oddities.redelivered, accounts.duplicated), (2, 1));
        take(&mut accounts, "", &message(1, &[1]));
        assert_eq!((accounts.oddities.events_without_id, accounts.duplicated), (1, 2));
    }

    #[test]
    fn an_id_with_another_body_is_no_redelivery() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &message(1, &[0]));
        take(&mut accounts, "a", &message(1, &[1]));
        assert_eq!((accounts.oddities.ids_reused, accounts.oddities.redelivered), (1, 0));
        assert!(accounts.tag(1).unwrap().has(1), "its points count all the same");
    }

    #[test]
    fn a_point_after_a_younger_one_is_out_of_order_and_still_arrived() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &message(0, &[0, 2]));
        take(&mut accounts, "b", &message(0, &[1, 3]));
        assert_eq!((accounts.out_of_order, accounts.duplicated), (1, 0));
        assert!(accounts.tag(0).unwrap().has(1));
    }

    #[test]
    fn what_the_plant_cannot_have_made_is_counted_and_takes_no_memory() {
        let mut accounts = accounts(Rule::All);
        take(&mut accounts, "a", &message(0, &[1_000]));
        take(&mut accounts, "b", &message(6, &[1]));
        take(&mut accounts, "c", r#"{"tag00":{"Value":21.5}}"#);
        take(&mut accounts, "d", "nonsense");
        take(&mut accounts, "e", &message(0, &[1]).replace("tag00", "tag02"));
        let Oddities { unreadable, events_unreadable, misnamed, .. } = accounts.oddities;
        assert_eq!((unreadable, events_unreadable, misnamed), (3, 1, 1));
        assert!(accounts.tag(6).is_none());
        assert!(accounts.tags.iter().all(|tag| tag.seen.len() <= 1));
    }

    #[test]
    fn ids_past_the_limit_are_counted() {
        let mut accounts = accounts(Rule::All);
        for sequence in 0..102 {
            take(&mut accounts, &sequence.to_string(), &message(0, &[sequence]));
        }
        assert_eq!(accounts.oddities.events_past_limit, 2);
        assert_eq!(accounts.totals.points, 102);
    }

    #[test]
    fn the_rule_last_counts_steps_and_second_points() {
        let mut accounts = accounts(Rule::Last);
        for (id, sequence) in [("a", 1), ("b", 3), ("c", 5), ("d", 10)] {
            take(&mut accounts, id, &message(0, &[sequence]));
        }
        assert_eq!(accounts.steps, Steps { count: 3, sum: 9, too_long: 1 });
        take(&mut accounts, "e", &message(1, &[1, 2]));
        assert_eq!(accounts.oddities.several_in_message, 1);
    }

    #[test]
    fn an_overflow_is_noted_with_the_point_that_carries_it() {
        let mut accounts = accounts(Rule::All);
        let body = format!(
            r#"{{"tag00":{{"SourceTimestamp":"1970-01-01T00:00:01Z","Value":"{}","StatusCode":{{"Code":1152}}}}}}"#,
            value(0, 7)
        );
        take(&mut accounts, "a", &body);
        assert_eq!(accounts.tag(0).unwrap().overflows, [7]);
    }
}
