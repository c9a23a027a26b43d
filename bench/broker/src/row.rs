//! One row of the report: a broker in a scenario.

use std::collections::BTreeMap;

use bench_scenario::report::Quantiles;
use serde::{Deserialize, Serialize};

use crate::generator::account::Faults;

/// CPU of the broker from which its core counts as busy, in millicores.
pub(crate) const BUSY_MILLICORES: f64 = 950.0;

/// A row. Its fields are the keys of the JSON; `bench/README.md` explains them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) broker: String,
    pub(crate) scenario: String,
    /// Deliveries a second in the window.
    pub(crate) messages_per_s: Option<f64>,
    pub(crate) cpu_us_per_message: Option<f64>,
    pub(crate) cpu_millicores: Option<f64>,
    /// Whether the broker's core was busy: only then are messages a second its limit.
    pub(crate) is_saturated: bool,
    pub(crate) latency_us: Quantiles,
    /// The same clients without the disturbance.
    pub(crate) latency_us_undisturbed: Quantiles,
    pub(crate) bytes_per_connection: Option<f64>,
    pub(crate) bytes_per_subscription: Option<f64>,
    pub(crate) cpu_us_per_connect: Option<f64>,
    /// Proportional set size at the window's end.
    pub(crate) memory_mib: Option<f64>,
    /// CPU of the generator: near 1,000 in a flood it is the generator that is measured. Paced loads spin.
    pub(crate) generator_millicores: Option<f64>,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) gaps: u64,
    pub(crate) undelivered: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Whether anything of these went wrong, or the run could not be ended.
    pub(crate) is_void: bool,
    /// What happened to the guests, messages that were refused or held back, stalls.
    pub(crate) counts: BTreeMap<String, u64>,
    /// What a person must know.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn new(broker: &str, scenario: &str) -> Self {
        Self { broker: broker.to_owned(), scenario: scenario.to_owned(), ..Self::default() }
    }

    /// What went wrong.
    fn faults(&self) -> Faults {
        let Self { gaps, undelivered, duplicated, out_of_order, .. } = *self;
        Faults { gaps, undelivered, duplicated, out_of_order }
    }

    fn set_faults(&mut self, faults: Faults) {
        Faults {
            gaps: self.gaps,
            undelivered: self.undelivered,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
        } = faults;
    }

    /// Adds what went wrong.
    pub(crate) fn add_faults(&mut self, faults: Faults) {
        self.set_faults(self.faults().plus(faults));
        self.is_void |= !faults.is_none();
    }

    /// Adds something that makes the row void.
    pub(crate) fn fail(&mut self, note: String) {
        self.is_void = true;
        self.notes.push(note);
    }

    /// Takes over the run without the disturbance, whose faults count as well.
    pub(crate) fn add_undisturbed(&mut self, other: &Self) {
        self.latency_us_undisturbed = other.latency_us;
        self.set_faults(self.faults().plus(other.faults()));
        self.is_void |= other.is_void;
        self.notes.extend(other.notes.iter().map(|note| format!("undisturbed: {note}")));
    }

    /// One row of several runs: of each figure the median, of all that went wrong the sum.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn median(runs: &[Self]) -> anyhow::Result<Self> {
        let good: Vec<&Self> = runs.iter().filter(|run| !run.is_void).collect();
        let counted = if good.is_empty() { runs.iter().collect() } else { good };
        let values = counted.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        anyhow::ensure!(!values.is_empty(), "a row has a run");
        let mut row: Self = serde_json::from_value(median_of_present(&values))?;
        let sum = |value: fn(&Self) -> u64| runs.iter().map(value).sum();
        row.set_faults(runs.iter().map(Self::faults).fold(Faults::default(), Faults::plus));
        row.published = sum(|run| run.published);
        row.delivered = sum(|run| run.delivered);
        row.is_void = runs.iter().any(|run| run.is_void);
        row.is_saturated = row.cpu_millicores.is_some_and(|cpu| cpu >= BUSY_MILLICORES);
        row.counts = BTreeMap::new();
        for (name, count) in runs.iter().flat_map(|run| &run.counts) {
            *row.counts.entry(name.clone()).or_default() += count;
        }
        row.notes = Vec::new();
        for note in runs.iter().flat_map(|run| &run.notes) {
            if !row.notes.contains(note) {
                row.notes.push(note.clone());
            }
        }
        Ok(row)
    }
}

/// Medians of rows, whose texts, lists and counts differ and are not medians.
fn median_of_present(rows: &[serde_json::Value]) -> serde_json::Value {
    let without_lists = rows.iter().map(|row| {
        let mut row = row.clone();
        row["counts"] = serde_json::Map::new().into();
        row["notes"] = Vec::<String>::new().into();
        row
    });
    bench_scenario::report::median(&without_lists.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(messages_per_s: f64, gaps: u64) -> Row {
        let mut row = Row::new("millicore", "pair-qos1");
        row.messages_per_s = Some(messages_per_s);
        row.cpu_millicores = Some(messages_per_s);
        row.latency_us.p99 = Some(messages_per_s / 10.0);
        row.add_faults(Faults { gaps, ..Faults::default() });
        row
    }

    #[test]
    fn figures_are_medians_and_a_loss_in_one_run_voids_the_row() {
        let row = Row::median(&[run(950.0, 0), run(1_000.0, 0), run(900.0, 0)]).unwrap();
        assert_eq!((row.messages_per_s, row.latency_us.p99), (Some(950.0), Some(95.0)));
        assert!(!row.is_void && row.is_saturated);
        let row = Row::median(&[run(5.0, 2), run(900.0, 0), run(800.0, 0)]).unwrap();
        assert_eq!((row.messages_per_s, row.gaps, row.is_void), (Some(900.0), 2, true), "runs that lost do not count");
        assert!(!row.is_saturated);
        assert!(Row::median(&[run(5.0, 2)]).unwrap().is_void);
        assert!(Row::median(&[]).is_err());
    }

    #[test]
    fn counts_are_sums_and_notes_stand_once() {
        let mut first = run(1.0, 0);
        first.counts.insert("refused".to_owned(), 2);
        first.fail("it died".to_owned());
        let mut second = first.clone();
        second.counts.insert("refused".to_owned(), 3);
        let row = Row::median(&[first, second]).unwrap();
        assert_eq!((row.counts["refused"], row.notes.len(), row.is_void), (5, 1, true));
    }

    #[test]
    fn a_pair_of_runs_is_one_row_with_the_faults_of_both() {
        let mut row = run(1_000.0, 0);
        row.add_undisturbed(&run(500.0, 1));
        assert_eq!((row.latency_us.p99, row.latency_us_undisturbed.p99), (Some(100.0), Some(50.0)));
        assert_eq!((row.gaps, row.is_void), (1, true));
    }
}
