//! A plan as a drawing: a card for each physical core, its processors in it, and what sits on each as a coloured bar.

use std::fmt::{self, Write as _};

use telemetry::ActorKind;

use super::Plan;
use super::lines::{self, CpuLines, Item, What, bytes_text, wrap};
use crate::profile::LaneKind;

const WIDTH: usize = 1_120;
const MARGIN: usize = 24;
const GAP: usize = 16;
const INNER_WIDTH: usize = WIDTH - 2 * MARGIN;
/// Cards in a row: as many as there are physical cores, within these bounds.
const COLUMNS_MIN: usize = 2;
const COLUMNS_MAX: usize = 4;
const CARD_PADDING: usize = 12;
const LINE_HEIGHT: usize = 18;
const BAR_LINE_HEIGHT: usize = 16;
const BAR_GAP: usize = 4;
/// Where the values of the limits begin.
const VALUE_X: usize = MARGIN + 132;
/// Width of a character of running text and on bars, and of bold running text, in wide fonts.
const CHARACTER_WIDTH: usize = 7;
const BOLD_CHARACTER_WIDTH: usize = 8;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1d2733}\
.title{font-size:22px;font-weight:600}.dim{fill:#5b6875}.small{font-size:11.5px}.alarm{fill:#9a4a00;font-weight:600}\
.bar{fill:#ffffff;font-size:11.5px;font-weight:600}\
.section{font-weight:600}\
.ground{fill:#f6f8fa}.card{fill:#ffffff;stroke:#c9d1d9}.track{fill:#dfe5ec}\
@media(prefers-color-scheme:dark){text{fill:#dbe3ec}.dim{fill:#93a1b0}.alarm{fill:#ffb266}.bar{fill:#ffffff}\
.ground{fill:#10161d}.card{fill:#18212b;stroke:#33404d}.track{fill:#2b3743}}";

/// The whole document.
pub(super) fn svg(plan: &Plan) -> String {
    let mut canvas = Canvas { body: String::new(), y: MARGIN };
    canvas.draw(plan).expect("writing to a String cannot fail");
    let height = canvas.y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n",
        title = escape(&format!("millicore plan, profile {}", plan.profile.name)),
        body = canvas.body,
    )
}

/// The elements so far, and how far down they reach.
struct Canvas {
    body: String,
    y: usize,
}

impl Canvas {
    fn draw(&mut self, plan: &Plan) -> fmt::Result {
        self.y += LINE_HEIGHT;
        self.text(MARGIN, "title", &format!("profile {}", plan.profile.name))?;
        self.y += 8;
        if let Some(folded) = &plan.folded {
            self.paragraph(MARGIN, "alarm", folded)?;
        }
        self.paragraph(MARGIN, "dim", &lines::machine(&plan.facts))?;
        self.y += GAP;
        self.cards(&lines::cpus(plan))?;
        self.memory(plan)?;
        self.section("Limits")?;
        for (name, value) in lines::limits(plan) {
            self.y += LINE_HEIGHT;
            self.text(MARGIN, "dim", name)?;
            self.y -= LINE_HEIGHT;
            self.paragraph(VALUE_X, "", &value)?;
        }
        if !plan.warnings.is_empty() {
            self.section("Warnings")?;
        }
        for warning in &plan.warnings {
            self.paragraph(MARGIN, "alarm", &warning.to_string())?;
        }
        Ok(())
    }

    fn section(&mut self, title: &str) -> fmt::Result {
        self.y += LINE_HEIGHT + GAP;
        self.text(MARGIN, "section", title)?;
        self.y += 2;
        Ok(())
    }

    /// One card for each physical core; a row is as high as its highest card.
    fn cards(&mut self, cpus: &[CpuLines]) -> fmt::Result {
        let mut cores: Vec<Vec<&CpuLines>> = Vec::new();
        for cpu in cpus {
            match cores.iter_mut().find(|core| core[0].core_leader == cpu.core_leader) {
                Some(core) => core.push(cpu),
                None => cores.push(vec![cpu]),
            }
        }
        let columns = cores.len().clamp(COLUMNS_MIN, COLUMNS_MAX);
        let width = (INNER_WIDTH - (columns - 1) * GAP) / columns;
        for row in cores.chunks(columns) {
            let height = row.iter().map(|core| card_height(core, width)).max().unwrap_or(0);
            let top = self.y;
            for (column, core) in row.iter().enumerate() {
                self.y = top;
                self.card(MARGIN + column * (width + GAP), width, height, core)?;
            }
            self.y = top + height + GAP;
        }
        Ok(())
    }

    fn card(&mut self, x: usize, width: usize, height: usize, core: &[&CpuLines]) -> fmt::Result {
        self.rectangle(x, width, height, 8, "class=\"card\"")?;
        self.y += LINE_HEIGHT + 4;
        let title = format!("physical core {}, {}", core[0].core_leader, core[0].class.name());
        self.text(x + CARD_PADDING, "dim small", &title)?;
        for cpu in core {
            for line in heading(cpu, width) {
                self.y += LINE_HEIGHT;
                self.text(x + CARD_PADDING, if cpu.items.is_empty() { "dim" } else { "" }, &line)?;
            }
            self.y += 6;
            for item in &cpu.items {
                let bottom = self.y + bar_height(item, width);
                let fill = format!("fill=\"{}\"", colour(item.what));
                self.rectangle(x + CARD_PADDING, width - 2 * CARD_PADDING, bottom - self.y, 4, &fill)?;
                self.y -= 2;
                for line in bar_lines(item, width) {
                    self.y += BAR_LINE_HEIGHT;
                    self.text(x + CARD_PADDING + 8, "bar", &line)?;
                }
                self.y = bottom + BAR_GAP;
            }
        }
        Ok(())
    }

    /// What takes memory, as parts of one bar that is as wide as the ceiling, or as their sum where that is more.
    fn memory(&mut self, plan: &Plan) -> fmt::Result {
        const BAR_HEIGHT: usize = 14;
        const PART_WIDTH: usize = INNER_WIDTH / 3;
        let (total, ceiling) = (plan.memory.total_bytes(), plan.memory.ceiling_bytes);
        self.y += LINE_HEIGHT;
        let text = format!(
            "Memory, if every limit were reached, for one server and one destination: {} of {}",
            bytes_text(total),
            bytes_text(ceiling)
        );
        self.text(MARGIN, if plan.memory.fits() { "section" } else { "alarm" }, &text)?;
        self.y += 8;
        let whole = total.max(ceiling).max(1);
        let width_of = |bytes: u64| {
            let width = u128::from(bytes) * INNER_WIDTH as u128 / u128::from(whole);
            usize::try_from(width).unwrap_or(INNER_WIDTH)
        };
        self.rectangle(MARGIN, INNER_WIDTH, BAR_HEIGHT, 4, "class=\"track\"")?;
        let mut before = 0_u64;
        for ((_, bytes), fill) in plan.memory.parts.iter().zip(PART_COLOURS) {
            let (start, end) = (width_of(before), width_of(before.saturating_add(*bytes)));
            before = before.saturating_add(*bytes);
            self.rectangle(MARGIN + start, end - start, BAR_HEIGHT, 0, &format!("fill=\"{fill}\""))?;
        }
        self.y += BAR_HEIGHT + 4;
        for row in plan.memory.parts.iter().zip(PART_COLOURS).collect::<Vec<_>>().chunks(3) {
            self.y += LINE_HEIGHT;
            for (column, ((name, bytes), fill)) in row.iter().enumerate() {
                let x = MARGIN + column * PART_WIDTH;
                self.y -= 9;
                self.rectangle(x, 9, 9, 2, &format!("fill=\"{fill}\""))?;
                self.y += 9;
                self.text(x + 15, "small", &format!("{name}: {}", bytes_text(*bytes)))?;
            }
        }
        Ok(())
    }

    /// A rectangle whose upper edge is at the height that has been reached.
    fn rectangle(&mut self, x: usize, width: usize, height: usize, radius: usize, attribute: &str) -> fmt::Result {
        let y = self.y;
        writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" {attribute}/>"
        )
    }

    fn paragraph(&mut self, x: usize, class: &str, text: &str) -> fmt::Result {
        let character_width = if class == "alarm" { BOLD_CHARACTER_WIDTH } else { CHARACTER_WIDTH };
        for line in wrap(text, (WIDTH - MARGIN - x) / character_width) {
            self.y += LINE_HEIGHT;
            self.text(x, class, &line)?;
        }
        Ok(())
    }

    /// One line of text on the base line that has been reached.
    fn text(&mut self, x: usize, class: &str, text: &str) -> fmt::Result {
        writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>", self.y, escape(text))
    }
}

fn card_height(core: &[&CpuLines], width: usize) -> usize {
    let of_items = |cpu: &CpuLines| cpu.items.iter().map(|item| bar_height(item, width) + BAR_GAP).sum::<usize>();
    let of_cpu = |cpu: &&CpuLines| heading(cpu, width).len() * LINE_HEIGHT + 6 + of_items(cpu);
    LINE_HEIGHT + 4 + core.iter().map(of_cpu).sum::<usize>() + 8
}

fn bar_height(item: &Item, width: usize) -> usize {
    bar_lines(item, width).len() * BAR_LINE_HEIGHT + 4
}

fn bar_lines(item: &Item, width: usize) -> Vec<String> {
    wrap(&item.text, (width - 2 * CARD_PADDING - 16) / CHARACTER_WIDTH)
}

fn heading(cpu: &CpuLines, width: usize) -> Vec<String> {
    let what = if cpu.cores.is_empty() { "left to the system" } else { &cpu.cores };
    wrap(&format!("cpu {}: {what}", cpu.number), (width - 2 * CARD_PADDING) / CHARACTER_WIDTH)
}

/// One for each part of the memory's bound, the parts in the colour of the actors that take them.
const PART_COLOURS: [&str; 7] = ["#5b6875", "#8a2f5b", "#6a3fa0", "#1f5fa8", "#8a5a00", "#2f6f4f", "#a3421d"];

/// Dark enough for white text on it.
const fn colour(what: What) -> &'static str {
    match what {
        What::Actor(ActorKind::OpcUaSubscription) => "#1f5fa8",
        What::Actor(ActorKind::MqttConnection) => "#6a3fa0",
        What::Actor(ActorKind::BrokerPartition) => "#8a2f5b",
        What::Actor(ActorKind::Dataflow) => "#2f6f4f",
        What::Actor(ActorKind::EgressBatcher) => "#8a5a00",
        What::Lane(LaneKind::Egress) => "#a3421d",
        What::Lane(LaneKind::Control) => "#4b5a68",
        What::Lane(LaneKind::Blocking) => "#5f4b3c",
    }
}

/// Text as XML; control characters, which XML does not know, become spaces.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b>&\"c\"\u{1}"), "a&lt;b&gt;&amp;&quot;c&quot; ");
    }
}
