//! The report as one HTML page: no script, no network, light and dark.

use std::fmt::Write as _;

use serde_json::Value;

use super::plot::Plot;
use super::table::{details, rows};
use crate::harness::window::Second;
use crate::reader::CurvePoint;

/// The style of every page: light and dark, readable on a small screen.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--paper:#fff;--grid:#dde2ea;--line:#0a62c4;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e3e7ee;--paper:#14181f;--grid:#333b48;--line:#6fb1ff;--bad:#ff8a80}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:68rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem}table{border-collapse:collapse;width:100%;margin:1rem 0}\
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-bottom:1px solid var(--grid)}\
svg{width:100%;height:auto;margin:.7rem 0}.bad{color:var(--bad)}dt{font-weight:600}dd{margin:0 0 .5rem}\
.scroll{overflow-x:auto}";

/// What is drawn of one run.
pub(crate) struct Drawn<'a> {
    /// Each second of the window.
    pub(crate) series: &'a [Second],
    /// Cumulative distribution of the latency.
    pub(crate) curve: &'a [CurvePoint],
}

/// The page of `report`, with plots of one run, and what a person must know first.
///
/// # Errors
/// If a plot fails.
pub(crate) fn page(title: &str, report: &Value, drawn: &Drawn<'_>, warnings: &[String]) -> anyhow::Result<String> {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
        escaped(title)
    );
    for warning in warnings {
        let _ = writeln!(html, "<p class=\"bad\">{}</p>", escaped(warning));
    }
    html.push_str(
        "<div class=\"scroll\"><table><tr><th></th><th>Azure IoT Operations (published, not measured)</th>\
         <th>ours</th><th>why not comparable</th></tr>\n",
    );
    for row in rows(report) {
        let cells = [row.name, &row.published, &row.ours, row.why].map(escaped);
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            cells[0], cells[1], cells[2], cells[3]
        );
    }
    html.push_str("</table></div>\n");
    for plot in plots(drawn) {
        html.push_str(&plot.svg()?);
        html.push('\n');
    }
    html.push_str("<dl>\n");
    for (name, value) in details(report) {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(&value));
    }
    html.push_str("</dl>\n</body></html>\n");
    Ok(html)
}

fn plots<'a>(drawn: &Drawn<'_>) -> [Plot<'a>; 4] {
    let over_time = |title, y_label, value: fn(&Second) -> f64| Plot {
        title,
        x_label: "seconds of the window",
        y_label,
        points: drawn.series.iter().map(|second| (second.at_s, value(second))).collect(),
        y_max: None,
    };
    [
        Plot {
            title: "Latency: source timestamp to accepted by the hub, every data point",
            x_label: "milliseconds",
            y_label: "% that took no longer",
            points: drawn.curve.iter().map(|point| (point.ms, point.part * 100.0)).collect(),
            y_max: Some(100.0),
        },
        over_time("Throughput at the reader", "data points/s", |second| second.points_per_s),
        over_time("CPU of the pipeline", "millicores", |second| second.cpu_millicores),
        over_time("Memory of the pipeline (PSS)", "MiB", |second| second.memory_mib),
    ]
}

/// Text as it may stand in HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_no_other_file_and_no_network() {
        let (_, _, outcome) = super::super::tests::run();
        let report = serde_json::to_value(super::super::tests::report()).unwrap();
        let drawn = Drawn { series: &outcome.measured.series, curve: &outcome.result.curve };
        let html = page("1b <lossless>", &report, &drawn, &["3 points & more are missing".to_owned()]).unwrap();
        for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "//"] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert_eq!(html.matches("<svg").count(), 4);
        assert!(html.matches("<polyline").count() >= 4);
        for word in
            ["1b &lt;lossless&gt;", "3 points &amp; more", "prefers-color-scheme:dark", "published, not measured"]
        {
            assert!(html.contains(word), "{word}");
        }
    }
}
