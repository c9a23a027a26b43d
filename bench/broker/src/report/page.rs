//! The report as one HTML page: no script, no network, light and dark.

use std::fmt::Write as _;

use bench_scenario::report::page::{STYLE, escaped};
use bench_scenario::report::plot::Plot;

use super::Heading;
use super::table::{COLUMNS, lines_of, notes, title};
use crate::rounds::Series;
use crate::scenario::Scenario;

/// The page.
///
/// # Errors
/// If a plot fails.
pub(crate) fn page(heading: &Heading, scenarios: &[Scenario], series: &[Series]) -> anyhow::Result<String> {
    let title = escaped(&title(heading));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<div class=\"scroll\"><table><tr>"
    );
    for column in COLUMNS {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr>\n");
    for line in lines_of(scenarios, series) {
        html.push_str("<tr>");
        for cell in line {
            let class = if cell.starts_with("VOID") { " class=\"bad\"" } else { "" };
            let _ = write!(html, "<td{class}>{}</td>", escaped(&cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n<ul>\n");
    for note in notes(heading, series) {
        let _ = writeln!(html, "<li>{}</li>", escaped(&note));
    }
    html.push_str("</ul>\n");
    for Series { row, curve, .. } in series.iter().filter(|series| !series.curve.is_empty()) {
        let plot = Plot {
            title: &format!("{}, {}: latency of every message", row.scenario, row.broker),
            x_label: "microseconds",
            y_label: "% that took no longer",
            points: curve.iter().map(|(us, part)| (*us, part * 100.0)).collect(),
            y_max: Some(100.0),
        };
        html.push_str(&plot.svg()?);
        html.push('\n');
    }
    html.push_str("</body></html>\n");
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{heading, series};
    use super::*;
    use crate::scenario::select;

    #[test]
    fn a_page_needs_no_other_file_and_no_network() {
        let scenarios = select(&["pair-qos1".to_owned()]).unwrap();
        let all = [series("millicore", "pair-qos1", 5e5, 2.0), series("a<b", "pair-qos1", 5e4, 20.0)];
        let html = page(&heading(), &scenarios, &all).unwrap();
        for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert_eq!(html.matches("<svg").count(), 2);
        assert!(html.contains("a&lt;b") && html.contains("10.00x messages/s") && html.contains("<polyline"));
    }
}
