//! All runs of all brokers in all scenarios, interleaved: what drifts with the machine drifts for everybody.

use bench_scenario::harness::interrupt::Interrupt;

use crate::contender::Contender;
use crate::row::Row;
use crate::run::{Outcome, Settings, run_once};
use crate::scenario::{Measure, Scenario};

/// All runs of one broker in one scenario.
#[derive(Debug)]
pub(crate) struct Series {
    /// The row of the report.
    pub(crate) row: Row,
    /// Its runs.
    pub(crate) runs: Vec<Row>,
    /// Distribution of the latency of the last run.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// Runs every scenario `repeat` times for every contender, a scenario after the other, contenders in turn and every second round
/// the other way round. Gives the series scenario by scenario, contenders in their order.
///
/// # Errors
/// If a broker cannot be started, or somebody wants to leave.
pub(crate) fn run_all(
    contenders: &[Contender],
    scenarios: &[Scenario],
    repeat: u32,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    for scenario in scenarios {
        let mut outcomes: Vec<Vec<Outcome>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..repeat {
            for place in order(contenders.len(), round) {
                let outcome = run_pair(&contenders[place], scenario, round, settings, interrupt)?;
                eprintln!("{} of {repeat}: {}", round + 1, in_short(&outcome.row));
                outcomes[place].push(outcome);
            }
        }
        for outcomes in outcomes {
            let curve = outcomes.last().map(|outcome| outcome.curve.clone()).unwrap_or_default();
            let runs: Vec<Row> = outcomes.into_iter().map(|outcome| outcome.row).collect();
            all.push(Series { row: Row::median(&runs)?, runs, curve });
        }
    }
    Ok(all)
}

/// Who runs when in a round.
fn order(count: usize, round: u32) -> Vec<usize> {
    let forward = 0..count;
    if round.is_multiple_of(2) { forward.collect() } else { forward.rev().collect() }
}

/// One run; of a disturbance two, with it and without, in an order that alternates.
fn run_pair(
    contender: &Contender,
    scenario: &Scenario,
    round: u32,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let once = |has_guests| run_once(contender, scenario, has_guests, settings, interrupt);
    if scenario.measure != Measure::Disturbance {
        return once(true);
    }
    let is_disturbed_first = !round.is_multiple_of(2);
    let first = once(is_disturbed_first)?;
    let second = once(!is_disturbed_first)?;
    let (mut disturbed, undisturbed) = if is_disturbed_first { (first, second) } else { (second, first) };
    disturbed.row.add_undisturbed(&undisturbed.row);
    Ok(disturbed)
}

/// A line that tells how a run went.
fn in_short(row: &Row) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    format!(
        "{} {}: {} msg/s, {} us each, {} millicores, p99 {} us{}",
        row.scenario,
        row.broker,
        figure(row.messages_per_s),
        figure(row.cpu_us_per_message),
        figure(row.cpu_millicores),
        figure(row.latency_us.p99),
        if row.is_void { format!(", VOID {}", row.notes.join("; ")) } else { String::new() }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_round_goes_the_other_way() {
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
        assert_eq!(order(3, 2), [0, 1, 2]);
    }
}
