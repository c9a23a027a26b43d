//! Which points must arrive, worked out from the plant's own record of what it made and published.

use std::collections::BTreeMap;
use std::io::BufRead;

use anyhow::{Context as _, ensure};
use bench_plc::truth::TruthLine;

use super::accounts::{Rule, Window};

/// What must arrive of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagExpectation {
    /// Index in the whole plant.
    pub(crate) index: u32,
    /// Name of the tag, for people.
    pub(crate) name: String,
    /// Newest sequence number that there was.
    pub(crate) last: u32,
    /// Every change inside the window, first and last; `None` where there was none.
    pub(crate) span: Option<(u32, u32)>,
    /// What must arrive.
    pub(crate) expected: Expected,
    /// Sum of the `SourceTimestamp`s of what must arrive, wrapping.
    pub(crate) time_sum: u64,
}

/// Sequence numbers that must arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// All of the span.
    Span,
    /// These, in order.
    Chosen(Vec<u32>),
}

impl TagExpectation {
    /// The sequence numbers that must arrive, in order.
    pub(crate) fn sequences(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match (&self.expected, self.span) {
            (Expected::Chosen(sequences), _) => Box::new(sequences.iter().copied()),
            (Expected::Span, Some((first, last))) => Box::new(first..=last),
            (Expected::Span, None) => Box::new(std::iter::empty()),
        }
    }
}

/// What must arrive of a plant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expectation {
    pub(crate) tags: Vec<TagExpectation>,
}

/// A tag's line, with only what lies around the window.
struct TagRecord {
    index: u32,
    name: String,
    last: u32,
    subscription: (u32, u32),
    changes: Vec<(u32, i64)>,
}

impl Expectation {
    /// Reads a truth file. For [`Rule::All`], every change inside the window must arrive. For [`Rule::Last`], the
    /// newest before each Publish response of the tag's Subscription, where it was made inside the window.
    ///
    /// # Errors
    /// If the file is none, or the plant's record does not reach back to the window.
    pub(crate) fn read(truth: impl BufRead, rule: Rule, window: Window) -> anyhow::Result<Self> {
        let mut records = Vec::new();
        let mut publishes: BTreeMap<(u32, u32), Vec<i64>> = BTreeMap::new();
        let mut tag_count = None;
        for line in truth.lines() {
            let line: TruthLine = serde_json::from_str(&line?).context("not a line of a truth file")?;
            match line {
                TruthLine::Plant { tags, changes_forgotten, messages_forgotten, observed, .. } => {
                    ensure!(
                        changes_forgotten == 0,
                        "the plant forgot changes: its record is too small for this window"
                    );
                    ensure!(rule == Rule::All || observed, "only behind its front does the plant know publish times");
                    ensure!(rule == Rule::All || messages_forgotten == 0, "the plant's front forgot Publish responses");
                    tag_count = Some(tags);
                }
                TruthLine::Tag { tag, index, last, server, subscription, changes, .. } => {
                    // A change after the window may be what superseded one inside it.
                    let changes = changes.into_iter().filter(|(_, at)| *at >= window.start_100ns).collect();
                    records.push(TagRecord { index, name: tag, last, subscription: (server, subscription), changes });
                }
                TruthLine::Publish { server, subscription, publish_100ns, .. } => {
                    publishes.entry((server, subscription)).or_default().push(publish_100ns);
                }
                TruthLine::Acknowledgement { .. } => {}
            }
        }
        let count = u32::try_from(records.len()).context("more tags than a plant can have")?;
        ensure!(tag_count == Some(count), "the truth file is cut off");
        for times in publishes.values_mut() {
            times.sort_unstable();
        }
        let tags = records.into_iter().map(|record| expect_tag(record, rule, window, &publishes)).collect();
        Ok(Self { tags })
    }
}

fn expect_tag(
    record: TagRecord,
    rule: Rule,
    window: Window,
    publishes: &BTreeMap<(u32, u32), Vec<i64>>,
) -> TagExpectation {
    let TagRecord { index, name, last, subscription, changes } = record;
    let inside = &changes[..changes.partition_point(|(_, at)| *at < window.end_100ns)];
    let span = inside.first().zip(inside.last()).map(|(first, last)| (first.0, last.0));
    let sum = |times: &mut dyn Iterator<Item = i64>| times.fold(0_u64, |sum, at| sum.wrapping_add(at.cast_unsigned()));
    match rule {
        Rule::All => {
            let time_sum = sum(&mut inside.iter().map(|(_, at)| *at));
            TagExpectation { index, name, last, span, expected: Expected::Span, time_sum }
        }
        Rule::Last => {
            let times = publishes.get(&subscription).map_or(&[][..], Vec::as_slice);
            let mut chosen = newest_before_each(&changes, times);
            chosen.retain(|(_, at)| window.contains(*at));
            let time_sum = sum(&mut chosen.iter().map(|(_, at)| *at));
            let sequences = chosen.into_iter().map(|(sequence, _)| sequence).collect();
            TagExpectation { index, name, last, span, expected: Expected::Chosen(sequences), time_sum }
        }
    }
}

/// The newest of `changes` that is not after each of `times`; both are in order.
fn newest_before_each(changes: &[(u32, i64)], times: &[i64]) -> Vec<(u32, i64)> {
    let mut chosen: Vec<(u32, i64)> = Vec::new();
    for time in times {
        let before = changes.partition_point(|(_, at)| at <= time);
        if let Some(newest) = before.checked_sub(1).map(|place| changes[place])
            && chosen.last() != Some(&newest)
        {
            chosen.push(newest);
        }
    }
    chosen
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The line that begins a truth file.
    pub(crate) fn plant_line(tags: u32) -> TruthLine {
        TruthLine::Plant { tags, written_100ns: 99, changes_forgotten: 0, messages_forgotten: 0, observed: true }
    }

    /// What a tag of Subscription 7 did.
    pub(crate) fn tag_line(index: u32, changes: &[(u32, i64)]) -> TruthLine {
        TruthLine::Tag {
            tag: format!("asset000.tag{index:02}"),
            index,
            first: 0,
            last: changes.last().map_or(0, |(sequence, _)| *sequence),
            server: 0,
            subscription: 7,
            changes: changes.to_vec(),
        }
    }

    /// A Publish response of Subscription 7.
    pub(crate) fn publish_line(at: i64) -> TruthLine {
        TruthLine::Publish { server: 0, subscription: 7, sequence: 1, publish_100ns: at, seen_100ns: at + 1, values: 1 }
    }

    /// The expectation of these lines, in the window from 10, before 50.
    pub(crate) fn expectation(rule: Rule, lines: &[TruthLine]) -> anyhow::Result<Expectation> {
        let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
        Expectation::read(text.join("\n").as_bytes(), rule, Window { start_100ns: 10, end_100ns: 50 })
    }

    const CHANGES: [(u32, i64); 6] = [(1, 5), (2, 10), (3, 22), (4, 33), (5, 49), (6, 50)];

    #[test]
    fn all_means_every_change_inside_the_window() {
        let expectation =
            expectation(Rule::All, &[plant_line(2), tag_line(0, &CHANGES), tag_line(1, &[(1, 9)])]).unwrap();
        assert_eq!(expectation.tags[0].sequences().collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(expectation.tags[0].time_sum, 10 + 22 + 33 + 49);
        assert_eq!(expectation.tags[1].sequences().count(), 0);
    }

    #[test]
    fn last_means_the_newest_before_each_publish() {
        let lines = [
            plant_line(1),
            tag_line(0, &CHANGES),
            publish_line(12),
            publish_line(33),
            publish_line(40),
            publish_line(49),
        ];
        let expectation = expectation(Rule::Last, &lines).unwrap();
        assert_eq!(expectation.tags[0].sequences().collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!(expectation.tags[0].span, Some((2, 5)));
        assert_eq!(expectation.tags[0].time_sum, 10 + 33 + 49);
    }

    #[test]
    fn what_a_change_after_the_window_superseded_need_not_arrive() {
        let lines = [plant_line(1), tag_line(0, &CHANGES), publish_line(33), publish_line(60)];
        let expectation = expectation(Rule::Last, &lines).unwrap();
        assert_eq!(expectation.tags[0].sequences().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_record_that_does_not_suffice_is_refused() {
        let forgotten =
            TruthLine::Plant { tags: 0, written_100ns: 0, changes_forgotten: 1, messages_forgotten: 0, observed: true };
        assert!(expectation(Rule::All, &[forgotten]).is_err());
        let unobserved = TruthLine::Plant {
            tags: 0,
            written_100ns: 0,
            changes_forgotten: 0,
            messages_forgotten: 0,
            observed: false,
        };
        assert!(expectation(Rule::Last, std::slice::from_ref(&unobserved)).is_err());
        assert!(expectation(Rule::All, &[unobserved]).is_ok());
        assert!(expectation(Rule::All, &[plant_line(2), tag_line(0, &CHANGES)]).is_err(), "a tag is missing");
        assert!(Expectation::read(&b"nonsense"[..], Rule::All, Window { start_100ns: 0, end_100ns: 1 }).is_err());
    }
}
