//! The live view as plain lines, for pipes and logs, and the summary at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use telemetry::NodeSnapshot;

use super::{Rates, Totals};

/// One line about the last interval.
pub(super) fn line(now: &NodeSnapshot, rates: &Rates) -> String {
    let hops = now.hops().summaries();
    let settled = hops.iter().find(|hop| hop.hop == "received_to_settled");
    let latency = settled.map_or_else(String::new, |hop| {
        format!(", received to settled p50 {} ms p99 {} ms", hop.p50_us / 1_000, hop.p99_us / 1_000)
    });
    format!(
        "{:>6} s  {:>8.0} points/s in, {:>8.0} out, {:>6.0} messages/s, {:>5.0} events/s, {:>5.1} millicores, {:>5.1} MiB{latency}",
        now.uptime_ms / 1_000,
        rates.points_received_per_s,
        rates.points_settled_per_s,
        rates.accepted_per_s,
        rates.events_settled_per_s,
        rates.millicores,
        mebibytes(now.process.resident_kib),
    )
}

/// What a run did, in a few lines.
pub(crate) fn summary(last: &NodeSnapshot) -> String {
    let mut text = String::new();
    let totals = Totals::of(last);
    let received = totals.points_received;
    let settled = totals.points_settled;
    let events = totals.events_settled;
    let _ = writeln!(text, "{received} data points received, {settled} settled by Event Hubs in {events} events");
    if let Some(millicores) = last.process.cpu_us.checked_div(last.uptime_ms) {
        let resident = mebibytes(last.process.resident_kib);
        let _ = writeln!(
            text,
            "{millicores} millicores over {} s, start included; {resident:.1} MiB",
            last.uptime_ms / 1_000
        );
    }
    for hop in last.hops().summaries() {
        let _ = writeln!(
            text,
            "  {:<24} {:>9} points  p50 {:>8} us  p99 {:>8} us  max {:>8} us",
            hop.hop, hop.count, hop.p50_us, hop.p99_us, hop.max_us
        );
    }
    match last.imbalances().as_slice() {
        [] => text.push_str("conservation: every accepted record is accounted for\n"),
        cursors => {
            for ledger in cursors {
                let _ = writeln!(text, "conservation BROKEN at {}: {ledger:?}", ledger.cursor);
            }
        }
    }
    if let Some(folded) = &last.folded {
        let _ = writeln!(text, "folded: {folded}");
    }
    text
}

/// How many MQTT clients there are, by listener, and how many sessions.
pub(super) fn clients(now: &NodeSnapshot) -> String {
    let mut by_listener: BTreeMap<&str, u64> = BTreeMap::new();
    for listener in now.actors("mqtt-listener") {
        let live = listener.counters.get("connections_live").copied().unwrap_or(0);
        *by_listener.entry(&listener.label).or_default() += live;
    }
    if by_listener.is_empty() {
        return "no MQTT listener".to_owned();
    }
    let connections: u64 = by_listener.values().sum();
    let listeners: Vec<String> = by_listener.iter().map(|(label, live)| format!("{label} {live}")).collect();
    let sessions = now.counter("broker-partition", "sessions");
    format!("{connections} MQTT connections ({}), {sessions} sessions", listeners.join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(super) fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
