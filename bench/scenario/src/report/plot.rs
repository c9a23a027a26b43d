//! Plots as SVG text whose colours are the page's, so that they are readable light and dark.

use anyhow::anyhow;
use plotters::prelude::*;

/// Size of a plot in units of its own; the page scales it.
const SIZE: (u32, u32) = (760, 260);
/// Colours that stand for variables of the page's style.
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
const LINE: RGBColor = RGBColor(7, 8, 9);
/// What each of them becomes.
const VARIABLES: [(&str, &str); 3] = [("#010203", "--ink"), ("#040506", "--grid"), ("#070809", "--line")];

/// One line over an axis.
pub struct Plot<'a> {
    /// What is drawn.
    pub title: &'a str,
    /// Of the horizontal axis, with its unit.
    pub x_label: &'a str,
    /// Of the vertical axis, with its unit.
    pub y_label: &'a str,
    /// From left to right; points that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
    /// Top of the vertical axis; `None`: a little above the highest point.
    pub y_max: Option<f64>,
}

impl Plot<'_> {
    /// Draws it. Fewer than two points give an empty plot.
    ///
    /// # Errors
    /// If the crate fails.
    pub fn svg(&self) -> anyhow::Result<String> {
        let points: Vec<(f64, f64)> =
            self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let x_max = points.iter().map(|point| point.0).fold(0.0, f64::max).max(1e-3);
        let y_max =
            self.y_max.unwrap_or_else(|| points.iter().map(|point| point.1).fold(0.0, f64::max).max(1e-3) * 1.15);
        let mut svg = String::new();
        self.draw(&mut svg, points, x_max, y_max).map_err(|error| anyhow!("the plot {:?}: {error}", self.title))?;
        Ok(with_page_colours(&svg))
    }

    fn draw(
        &self,
        svg: &mut String,
        points: Vec<(f64, f64)>,
        x_max: f64,
        y_max: f64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, text(17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(66)
            .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .axis_desc_style(text(13))
            .label_style(text(12))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.draw_series(LineSeries::new(points, LINE.stroke_width(2)))?;
        root.present()?;
        Ok(())
    }
}

/// Puts variables in the place of colours, and leaves out what only a file of its own needs.
fn with_page_colours(svg: &str) -> String {
    let mut svg = svg.replace(r#" xmlns="http://www.w3.org/2000/svg""#, "");
    for (colour, variable) in VARIABLES {
        for property in ["fill", "stroke"] {
            svg = svg.replace(&format!(r#"{property}="{colour}""#), &format!(r#"style="{property}:var({variable})""#));
        }
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> String {
        Plot { title: "CPU", x_label: "s", y_label: "millicores", points, y_max: None }.svg().unwrap()
    }

    #[test]
    fn a_plot_has_a_line_and_the_pages_colours() {
        let svg = plot(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]);
        assert!(svg.contains("<polyline") && svg.contains("var(--line)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains('#') && !svg.contains("http") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_no_failure() {
        assert!(plot(Vec::new()).contains("<svg"));
        assert!(plot(vec![(0.0, 0.0)]).contains("<svg"));
    }
}
