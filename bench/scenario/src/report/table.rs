//! The report as a table: published, ours, and why the two are not comparable.

use std::fmt::Write as _;

use serde_json::Value;

use super::published::{WHY_CPU, WHY_DELIVERED, WHY_LATENCY, WHY_MEMORY, WHY_RATE};

/// One figure.
pub(crate) struct Row {
    /// What it is.
    pub(crate) name: &'static str,
    /// What Azure IoT Operations published, with its qualifiers.
    pub(crate) published: String,
    /// What was measured here.
    pub(crate) ours: String,
    /// Why the two are not comparable; empty where nothing is published.
    pub(crate) why: &'static str,
}

/// The comparison of `report`, the JSON of one run or of the median of several.
pub(crate) fn rows(report: &Value) -> Vec<Row> {
    let published = &report["published"];
    let row = |name, published: Option<String>, ours: String, why| Row {
        name,
        why: if published.is_some() { why } else { "" },
        published: published.unwrap_or_else(|| "not published".to_owned()),
        ours,
    };
    let range = |value: &Value, unit: &str| Some(format!("{} to {} {unit}", number(&value[0])?, number(&value[1])?));
    let scalar = |key: &str, unit: &str| number(&report[key]).map_or_else(|| "none".to_owned(), |text| text + unit);
    let latency = |key: &str| {
        let quantile = |name: &str| number(&report[key][name]).unwrap_or_else(|| "-".to_owned());
        let names = ["p50", "p90", "p99", "p99_9", "max"];
        format!("{} ms (p50, p90, p99, p99.9, max)", names.map(quantile).join(", "))
    };
    let memory =
        range(&published["memory_mib"], "MiB").map(|_| "6 to 8 GB, the platform and its dependencies".to_owned());
    vec![
        row(
            "CPU",
            range(&published["cpu_millicores"], "millicores, on average"),
            scalar("cpu_millicores", " millicores"),
            WHY_CPU,
        ),
        row("memory", memory, scalar("memory_mib", " MiB at its peak (PSS)"), WHY_MEMORY),
        row(
            "delivered",
            number(&published["delivered_percent"]).map(|text| text + " %"),
            scalar("delivered_percent", &format!(" % of {} points", count(&report["points"]["expected"]))),
            WHY_DELIVERED,
        ),
        row(
            "latency",
            number(&published["latency_ms"]).map(|text| format!("below {text} ms, under ideal network conditions")),
            latency("latency_ms"),
            WHY_LATENCY,
        ),
        row("beyond the interval", None, latency("latency_beyond_interval_ms"), ""),
        row(
            "points",
            number(&published["points_per_s"]).map(|text| text + "/s"),
            scalar("points_per_s", "/s"),
            WHY_RATE,
        ),
        row(
            "messages",
            number(&published["messages_per_s"]).map(|text| text + "/s"),
            scalar("messages_per_s", "/s"),
            WHY_RATE,
        ),
    ]
}

/// Further figures of ours, in words.
pub(crate) fn details(report: &Value) -> Vec<(&'static str, String)> {
    let map = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        let members = members.map(|(name, value)| format!("{name} {}", number(value).unwrap_or_default()));
        let text = members.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "not said by the pipeline".to_owned() } else { text }
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let points = &report["points"];
    let machine = &report["machine"];
    let flow = &report["flows"][0];
    let mut details = vec![
        (
            "account",
            ["expected", "delivered", "missing", "duplicated", "out_of_order", "lost_at_source"]
                .map(|key| format!("{key} {}", count(&points[key])))
                .join(", "),
        ),
        ("CPU by process, millicores", map(&report["cpu_by_process"])),
        ("CPU by actor, millicores", map(&report["cpu_by_actor"])),
        ("busy machine less simulators", format!("{} millicores", text(&report["machine_cpu_millicores"]))),
        ("wake-ups a second by core", map(&report["calibration"]["wake_ups_per_s"])),
        (
            "bytes a point",
            format!(
                "{} in its message, {} under zstd level 19",
                text(&flow["bytes_per_point"]),
                text(&flow["bytes_per_point_zstd19"])
            ),
        ),
        (
            "machine",
            format!(
                "{}, {} cores, {} MiB, kernel {}",
                text(&machine["model"]),
                text(&machine["cores"]),
                text(&machine["memory_mib"]),
                text(&machine["kernel"])
            ),
        ),
        ("profile", text(&report["profile"])),
        ("folded", report["folded"].as_str().unwrap_or("no").to_owned()),
        ("durability", text(&report["durability"])),
        ("commit, seed, seconds", format!("{}, {}, {}", text(&report["commit"]), report["seed"], report["seconds"])),
        (
            "calibration",
            format!(
                "wake-up {} us, copy {} GiB/s, drift {} %",
                report["calibration"]["wake_us"],
                report["calibration"]["copy_gib_s"],
                report["calibration"]["drift_percent"]
            ),
        ),
    ];
    let superseded = flow["superseded_per_s"].as_f64().unwrap_or(0.0);
    if superseded > 0.0 {
        let share = number(&report["delivered_percent"]).unwrap_or_default();
        let rate = number(&flow["superseded_per_s"]).unwrap_or_default();
        details
            .insert(1, ("sampled", format!("{share} % of the sampled values; {rate} updates/s superseded by design")));
    }
    if let Some(runs) = report["runs"].as_array() {
        let each: Vec<String> = runs.iter().filter_map(|run| number(&run["cpu_millicores"])).collect();
        details.push(("medians of", format!("{} runs, CPU {} millicores", runs.len(), each.join(", "))));
    }
    details
}

/// The whole table as text.
pub(crate) fn table(title: &str, report: &Value) -> String {
    let rows = rows(report);
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (first, second, third) =
        (width(|row| row.name), width(|row| &row.published).max(24), width(|row| &row.ours).max(4));
    let mut text = format!("\n{title}\n\n");
    let mut line = |name: &str, published: &str, ours: &str, why: &str| {
        let _ = writeln!(text, "{}", format!("{name:first$}  {published:second$}  {ours:third$}  {why}").trim_end());
    };
    line("", "Azure IoT Operations", "ours", "why not comparable");
    line("", "(published, not measured)", "", "");
    for row in &rows {
        line(row.name, &row.published, &row.ours, row.why);
    }
    text.push('\n');
    for (name, value) in details(report) {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

/// A number for people: no decimals from 1,000 on, at most one from 10 on, groups of three digits.
pub fn number(value: &Value) -> Option<String> {
    let value = value.as_f64()?;
    let decimals = if value.abs() >= 1_000.0 || value.fract().abs() < 1e-9 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    Some(grouped(&format!("{value:.decimals$}")))
}

fn count(value: &Value) -> String {
    grouped(&value.to_string())
}

fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, letter) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(letter);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        serde_json::to_value(super::super::tests::report()).unwrap()
    }

    #[test]
    fn every_published_figure_has_its_reason_and_no_other_has_one() {
        for row in rows(&report()) {
            assert_eq!(row.why.is_empty(), row.published == "not published", "{}", row.name);
        }
        let text = table("1b: lossless", &report());
        for word in [
            "published, not measured",
            "40 millicores",
            "6 to 8 GB",
            "125,000",
            "not published",
            "12,500/s",
            "vm-4vcpu",
            "4 onto 2",
        ] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
    }

    #[test]
    fn what_was_superseded_is_said() {
        let mut report = report();
        report["flows"][0]["superseded_per_s"] = 6_250.0.into();
        assert!(table("1a", &report).contains("100 % of the sampled values; 6,250 updates/s superseded by design"));
    }

    #[test]
    fn numbers_are_grouped_and_rounded_for_people() {
        let text = |value: f64| number(&value.into()).unwrap();
        assert_eq!(
            [text(1_234_567.8), text(12.34), text(1.23456), text(100.0), text(0.0), text(-1_000.0)],
            ["1,234,568", "12.3", "1.235", "100", "0", "-1,000"]
        );
        assert_eq!(number(&Value::Null), None);
    }
}
