//! The report as a table: a line for each broker in each scenario, with the ratio of ours to each peer's.

use std::fmt::Write as _;

use bench_scenario::report::table::number;
use serde_json::Value;

use super::Heading;
use crate::rounds::Series;
use crate::row::Row;
use crate::scenario::{Measure, Scenario};

/// Names of the columns.
pub(super) const COLUMNS: [&str; 11] = [
    "scenario",
    "broker",
    "messages/s",
    "core busy",
    "CPU us each",
    "millicores",
    "p50 us",
    "p99 us",
    "memory",
    "wrong",
    "ours to theirs",
];

/// The whole table as text.
pub(crate) fn table(heading: &Heading, scenarios: &[Scenario], series: &[Series]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(lines_of(scenarios, series));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = format!("\n{}\n\n", title(heading));
    for line in &lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let is_text = !(2..=7).contains(&column);
            let _ = if is_text { write!(row, "{cell:width$}  ") } else { write!(row, "{cell:>width$}  ") };
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text.push('\n');
    for note in notes(heading, series) {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// What was run, in a line.
pub(super) fn title(heading: &Heading) -> String {
    format!(
        "Brokers side by side: MQTT {}, windows of {} s, medians of {}, commit {}",
        heading.mqtt, heading.seconds, heading.repeat, heading.commit
    )
}

/// The cells of all rows.
pub(super) fn lines_of(scenarios: &[Scenario], series: &[Series]) -> Vec<[String; 11]> {
    let mut lines = Vec::new();
    for scenario in scenarios {
        let rows: Vec<&Row> =
            series.iter().map(|series| &series.row).filter(|row| row.scenario == scenario.name).collect();
        let ours = rows.iter().find(|row| row.broker == "millicore").copied();
        for (place, row) in rows.iter().enumerate() {
            let ratio = ours.filter(|ours| ours.broker != row.broker).map(|ours| ratio(scenario, ours, row));
            lines.push([
                if place == 0 { scenario.title.to_owned() } else { String::new() },
                row.broker.clone(),
                figure(row.messages_per_s),
                if row.is_saturated { "yes".to_owned() } else { "no".to_owned() },
                figure(row.cpu_us_per_message),
                figure(row.cpu_millicores),
                figure(row.latency_us.p50),
                latency_p99(row),
                memory(row),
                wrong(row),
                ratio.unwrap_or_default(),
            ]);
        }
    }
    lines
}

fn figure(value: Option<f64>) -> String {
    value.and_then(|value| number(&Value::from(value))).unwrap_or_else(|| "-".to_owned())
}

fn latency_p99(row: &Row) -> String {
    match row.latency_us_undisturbed.p99 {
        None => figure(row.latency_us.p99),
        undisturbed => format!("{} ({} alone)", figure(row.latency_us.p99), figure(undisturbed)),
    }
}

fn memory(row: &Row) -> String {
    let mut parts = vec![format!("{} MiB", figure(row.memory_mib))];
    if let Some(bytes) = row.bytes_per_connection {
        parts.push(format!("{} B a connection", figure(Some(bytes.round()))));
    }
    if let Some(bytes) = row.bytes_per_subscription {
        parts.push(format!("{} B a filter", figure(Some(bytes.round()))));
    }
    if let Some(us) = row.cpu_us_per_connect {
        parts.push(format!("{} us a connect", figure(Some(us))));
    }
    parts.join(", ")
}

fn wrong(row: &Row) -> String {
    if !row.is_void {
        return "nothing".to_owned();
    }
    let counts = [
        (row.gaps, "gaps"),
        (row.undelivered, "undelivered"),
        (row.duplicated, "doubled"),
        (row.out_of_order, "out of order"),
    ];
    let named: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    format!("VOID {}", named.join(", ")).trim_end().to_owned()
}

/// Ours over theirs, in the figure that counts.
fn ratio(scenario: &Scenario, ours: &Row, theirs: &Row) -> String {
    let of = |what: &str, value: fn(&Row) -> Option<f64>| match (value(ours), value(theirs)) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => Some(format!("{:.2}x {what}", ours / theirs)),
        _ => None,
    };
    let parts = match scenario.measure {
        Measure::Throughput if ours.is_saturated && theirs.is_saturated => {
            vec![of("messages/s", |row| row.messages_per_s), of("CPU each", |row| row.cpu_us_per_message)]
        }
        Measure::Throughput => vec![of("CPU each", |row| row.cpu_us_per_message)],
        Measure::Paced => vec![of("CPU", |row| row.cpu_millicores), of("p99", |row| row.latency_us.p99)],
        Measure::Idle => vec![of("bytes", |row| row.bytes_per_connection), of("connect", |row| row.cpu_us_per_connect)],
        Measure::Disturbance => vec![of("p99", |row| row.latency_us.p99), of("memory", |row| row.memory_mib)],
    };
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if ours.is_void || theirs.is_void { format!("void ({text})") } else { text }
}

/// What a reader must know beside the figures.
pub(super) fn notes(heading: &Heading, series: &[Series]) -> Vec<String> {
    let mut notes = vec![format!(
        "broker on processor {}, generator on processor {}, loopback, everything in memory; where a core is not busy messages/s \
         are no limit of the broker, and CPU each counts",
        heading.cores.broker, heading.cores.generator
    )];
    if series.iter().any(|series| series.row.broker == "mosquitto") {
        notes.push(
            "mosquitto runs with max_queued_messages 0 and max_inflight_messages 0 (no limits), for with its own it drops messages; \
             beside disturbances with its own limits"
                .to_owned(),
        );
    }
    let drift = heading.calibration.drift_percent;
    if heading.calibration.is_adrift() {
        notes.push(format!("the machine's speed changed by {drift} % meanwhile: only ratios mean something"));
    }
    for Series { row, .. } in series {
        let place = format!("{} {}", row.scenario, row.broker);
        notes.extend(row.notes.iter().map(|note| format!("{place}: {note}")));
        if !row.counts.is_empty() {
            let counts: Vec<String> = row.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            notes.push(format!("{place}: {}, all runs together", counts.join(", ")));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{heading, series};
    use super::*;
    use crate::generator::account::Faults;
    use crate::scenario::select;

    fn text(name: &str, all: &[Series]) -> String {
        table(&heading(), &select(&[name.to_owned()]).unwrap(), all)
    }

    #[test]
    fn messages_count_where_both_cores_are_busy_and_cpu_where_not() {
        let ours = series("millicore", "pair-qos1", 500_000.0, 2.0);
        let theirs = series("mosquitto", "pair-qos1", 50_000.0, 20.0);
        let both = text("pair-qos1", &[ours, theirs]);
        assert!(both.contains("10.00x messages/s, 0.10x CPU each") && both.contains("max_queued_messages 0"), "{both}");
        let ours = series("millicore", "pair-qos1", 100_000.0, 2.0);
        let one = text("pair-qos1", &[ours, series("mosquitto", "pair-qos1", 50_000.0, 20.0)]);
        assert!(!one.contains("x messages/s") && one.contains("0.10x CPU each"), "{one}");
    }

    #[test]
    fn a_row_that_lost_is_void_and_says_so() {
        let mut theirs = series("mosquitto", "paced-qos1", 20_000.0, 20.0);
        theirs.row.add_faults(Faults { gaps: 3, undelivered: 2, ..Faults::default() });
        let text = text("paced-qos1", &[series("millicore", "paced-qos1", 20_000.0, 10.0), theirs]);
        assert!(text.contains("VOID 3 gaps, 2 undelivered") && text.contains("void (0.50x CPU, 1.00x p99)"), "{text}");
    }

    #[test]
    fn memory_and_latency_beside_a_disturbance_are_told() {
        let text = text("connect-storm", &[series("millicore", "connect-storm", 5_000.0, 20.0)]);
        assert!(text.contains("1,000 (800 alone)") && text.contains("1,500 B a connection"), "{text}");
    }
}
