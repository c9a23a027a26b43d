//! A plan as a table for people.

use std::fmt::{self, Write as _};

use super::Plan;
use super::lines::{self, Item, What, bytes_text, wrap};
use super::resolve::list_text;

/// Characters of a line.
const WIDTH: usize = 110;
/// Characters of the names of the cores that are folded onto a processor.
const PLACE_WIDTH: usize = 36;

/// The whole table; its lines end in newlines.
pub(super) fn table(plan: &Plan) -> String {
    let mut out = String::new();
    write_table(plan, &mut out).expect("writing to a String cannot fail");
    out
}

fn write_table(plan: &Plan, out: &mut String) -> fmt::Result {
    let chosen = if plan.profile.is_automatic { ", chosen by this machine" } else { "" };
    writeln!(out, "profile  {}{chosen}", plan.profile.name)?;
    if let Some(folded) = &plan.folded {
        paragraph(out, "FOLDED   ", folded)?;
    }
    paragraph(out, "machine  ", &lines::machine(&plan.facts))?;
    write_placement(plan, out)?;
    writeln!(out, "\nlimits")?;
    for (name, value) in lines::limits(plan) {
        paragraph(out, &format!("  {name:<16}"), &value)?;
    }
    write_memory(plan, out)?;
    if !plan.warnings.is_empty() {
        writeln!(out, "\nwarnings")?;
        for warning in &plan.warnings {
            paragraph(out, "  ! ", &warning.to_string())?;
        }
    }
    Ok(())
}

fn write_placement(plan: &Plan, out: &mut String) -> fmt::Result {
    let cpus = lines::cpus(plan);
    let used = || cpus.iter().filter(|cpu| !cpu.items.is_empty());
    let places: Vec<Vec<String>> = used().map(|cpu| wrap(&cpu.cores, PLACE_WIDTH)).collect();
    let width = places.iter().flatten().map(|line| line.chars().count()).max().unwrap_or(0).max("place".len());
    writeln!(out, "\n  {:>4}  {:>4}  {:<11}  {:<width$}  what sits there", "cpu", "core", "class", "place")?;
    for (cpu, place) in used().zip(&places) {
        for index in 0..cpu.items.len().max(place.len()) {
            if index == 0 {
                write!(out, "  {:>4}  {:>4}  {:<11}  ", cpu.number, cpu.core_leader, cpu.class.name())?;
            } else {
                write!(out, "{:27}", "")?;
            }
            let place = place.get(index).map_or("", String::as_str);
            let item = cpu.items.get(index).map_or(String::new(), item_text);
            writeln!(out, "{}", format!("{place:<width$}  {item}").trim_end())?;
        }
    }
    match plan.free_cpus.as_slice() {
        [] => writeln!(out, "  no processor is left to the system"),
        free => writeln!(out, "  left to the system: cpu {}", list_text(free.iter().copied())),
    }
}

fn item_text(item: &Item) -> String {
    match item.what {
        What::Actor(_) => item.text.clone(),
        What::Lane(_) => format!("{} (a thread of its own)", item.text),
    }
}

fn write_memory(plan: &Plan, out: &mut String) -> fmt::Result {
    writeln!(out, "\nmemory, if every limit were reached (for one server and one destination)")?;
    for (name, bytes) in &plan.memory.parts {
        writeln!(out, "  {name:<46}{:>12}", bytes_text(*bytes))?;
    }
    let total = bytes_text(plan.memory.total_bytes());
    let ceiling = bytes_text(plan.memory.ceiling_bytes);
    writeln!(out, "  {:<46}{total:>12}  of {ceiling} (memory.ceiling_mib)", "together")
}

/// A text behind a label, its further lines indented alike.
fn paragraph(out: &mut String, label: &str, text: &str) -> fmt::Result {
    let indent = label.chars().count();
    for (index, line) in wrap(text, WIDTH - indent).into_iter().enumerate() {
        if index == 0 {
            writeln!(out, "{label}{line}")?;
        } else {
            writeln!(out, "{}{line}", " ".repeat(indent))?;
        }
    }
    Ok(())
}
