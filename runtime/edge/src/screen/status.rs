//! One snapshot in lines: what `millicore status` prints.

use std::fmt::Write as _;

use telemetry::{ActorSnapshot, CoreSnapshot, LedgerSnapshot, NodeSnapshot};

use super::plain::{clients, mebibytes};

/// The process, its cores, lanes, actors with what they count, cursors, latencies and notices.
pub(crate) fn status(now: &NodeSnapshot) -> String {
    let mut text = format!(
        "millicore {}, up {} s, profile {}, durability: {}\n{} CPU ms, {:.1} MiB resident, {} open files\n",
        now.version,
        now.uptime_ms / 1_000,
        now.profile,
        now.durability,
        now.process.cpu_us / 1_000,
        mebibytes(now.process.resident_kib),
        now.process.descriptors_count,
    );
    if let Some(folded) = &now.folded {
        push(&mut text, format_args!("folded: {folded}"));
    }
    push(&mut text, format_args!("{}", clients(now)));
    for core in &now.cores {
        push_core(&mut text, core);
    }
    for lane in &now.lanes {
        let cpu = lane.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
        push(&mut text, format_args!("lane {} on cpu {cpu}: {} CPU ms", lane.name, lane.thread_cpu_us / 1_000));
        for (name, count) in lane.counters.iter().filter(|(_, count)| **count > 0) {
            push(&mut text, format_args!("    {name:<32} {count}"));
        }
    }
    for hop in now.hops().summaries() {
        push(
            &mut text,
            format_args!(
                "hop {:<24} {:>9} points  p50 {:>8} us  p99 {:>8} us  max {:>8} us",
                hop.hop, hop.count, hop.p50_us, hop.p99_us, hop.max_us
            ),
        );
    }
    for notice in &now.notices {
        push(&mut text, format_args!("notice: {notice}"));
    }
    text
}

pub(super) fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _always_ok = writeln!(text, "{line}");
}

fn push_core(text: &mut String, core: &CoreSnapshot) {
    let CoreSnapshot { executor, .. } = core;
    push(
        text,
        format_args!(
            "core {} on cpu {}: {} CPU ms, {} turns, {} parks, {} strandings",
            core.name,
            core.cpu,
            executor.thread_cpu_us / 1_000,
            executor.turns,
            executor.parks,
            executor.strandings
        ),
    );
    for stall in &core.stalls {
        push(text, format_args!("  stall: {} x {}, longest {} us", stall.count, stall.name, stall.max_us));
    }
    for actor in &core.actors {
        push_actor(text, actor);
    }
}

fn push_actor(text: &mut String, actor: &ActorSnapshot) {
    let label = if actor.label.is_empty() { String::new() } else { format!(" ({})", actor.label) };
    push(text, format_args!("  {} {}{label}", actor.kind, actor.index));
    for (name, count) in actor.counters.iter().filter(|(_, count)| **count > 0) {
        push(text, format_args!("    {name:<32} {count}"));
    }
    for ledger in &actor.ledgers {
        push_ledger(text, ledger);
    }
}

fn push_ledger(text: &mut String, ledger: &LedgerSnapshot) {
    let alarm = if ledger.balances { "" } else { "  DOES NOT BALANCE" };
    let dropped: u64 = ledger.dropped.values().sum();
    push(
        text,
        format_args!(
            "    cursor {}: accepted {} = delivered {} + filtered {} + expired {} + dropped {dropped} + queued {}{alarm}",
            ledger.cursor, ledger.accepted, ledger.delivered, ledger.filtered, ledger.expired, ledger.queued
        ),
    );
    for (reason, count) in &ledger.dropped {
        push(text, format_args!("      {reason} {count}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::rates::tests::later;
    use super::*;

    #[test]
    fn an_imbalance_and_the_reasons_of_drops_are_in_the_lines() {
        let mut now = later();
        now.notices.push("server line-1 is away".into());
        now.cores[0].actors[0].ledgers.push(LedgerSnapshot {
            cursor: "to-azure".into(),
            accepted: 5,
            delivered: 1,
            filtered: 0,
            expired: 0,
            dropped: BTreeMap::from([("dropped_queue_full".to_owned(), 2)]),
            queued: 1,
            redelivered: 0,
            balances: false,
        });
        let text = status(&now);
        for part in
            ["core core-a on cpu 0", "line-1", "to-azure", "DOES NOT BALANCE", "dropped_queue_full 2", "notice: server"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
