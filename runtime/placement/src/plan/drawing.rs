//! A plan as a drawing: a card for each physical core, its processors in it, and what sits on each as a coloured bar.

use std::fmt::{self, Write as _};

use telemetry::ActorKind;

use super::Plan;
use super::lines::{self, CpuLines, What, bytes_text, wrap};
use crate::profile::LaneKind;

const WIDTH: usize = 1_120;
const MARGIN: usize = 24;
const GAP: usize = 16;
const COLUMNS: usize = 4;
const CARD_WIDTH: usize = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
const LINE_HEIGHT: usize = 18;
const BAR_HEIGHT: usize = 24;
/// Characters of a line of text over the whole width, and within a card, in the fonts below.
const LINE_CHARACTERS: usize = 150;
const CARD_CHARACTERS: usize = 34;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1d2733}\
.title{font-size:22px;font-weight:600}.dim{fill:#5b6875}.small{font-size:11.5px}.alarm{fill:#9a4a00;font-weight:600}\
.bar{fill:#ffffff;font-size:12px;font-weight:600}\
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
            self.paragraph("alarm", folded)?;
        }
        self.paragraph("dim", &lines::machine(&plan.facts))?;
        self.y += GAP;
        self.cards(&lines::cpus(plan))?;
        self.memory(plan)?;
        for (name, value) in lines::limits(plan) {
            self.paragraph("small", &format!("{name}: {value}"))?;
        }
        self.y += 8;
        for warning in &plan.warnings {
            self.paragraph("alarm", &warning.to_string())?;
        }
        Ok(())
    }

    /// One card for each physical core, four in a row; a row is as high as its highest card.
    fn cards(&mut self, cpus: &[CpuLines]) -> fmt::Result {
        let mut cores: Vec<Vec<&CpuLines>> = Vec::new();
        for cpu in cpus {
            match cores.iter_mut().find(|core| core[0].core_leader == cpu.core_leader) {
                Some(core) => core.push(cpu),
                None => cores.push(vec![cpu]),
            }
        }
        for row in cores.chunks(COLUMNS) {
            let height = row.iter().map(|core| card_height(core)).max().unwrap_or(0);
            let top = self.y;
            for (column, core) in row.iter().enumerate() {
                self.y = top;
                self.card(MARGIN + column * (CARD_WIDTH + GAP), height, core)?;
            }
            self.y = top + height + GAP;
        }
        Ok(())
    }

    fn card(&mut self, x: usize, height: usize, core: &[&CpuLines]) -> fmt::Result {
        let y = self.y;
        writeln!(
            self.body,
            "<rect class=\"card\" x=\"{x}\" y=\"{y}\" width=\"{CARD_WIDTH}\" height=\"{height}\" rx=\"8\"/>"
        )?;
        self.y += LINE_HEIGHT + 4;
        self.text(x + 12, "dim small", &format!("physical core {}, {}", core[0].core_leader, core[0].class.name()))?;
        for cpu in core {
            for line in heading(cpu) {
                self.y += LINE_HEIGHT;
                self.text(x + 12, if cpu.items.is_empty() { "dim" } else { "" }, &line)?;
            }
            self.y += 6;
            for item in &cpu.items {
                let (bar_y, width) = (self.y, CARD_WIDTH - 24);
                writeln!(
                    self.body,
                    "<rect x=\"{}\" y=\"{bar_y}\" width=\"{width}\" height=\"{}\" rx=\"4\" fill=\"{}\"/>",
                    x + 12,
                    BAR_HEIGHT - 4,
                    colour(item.what)
                )?;
                self.y += 14;
                self.text(x + 20, "bar", &item.text)?;
                self.y += BAR_HEIGHT - 14;
            }
        }
        Ok(())
    }

    /// The sum of all limits against the ceiling.
    fn memory(&mut self, plan: &Plan) -> fmt::Result {
        let (total, ceiling) = (plan.memory.total_bytes(), plan.memory.ceiling_bytes);
        self.y += LINE_HEIGHT;
        let text = format!("all limits together {} of {}", bytes_text(total), bytes_text(ceiling));
        self.text(MARGIN, if plan.memory.fits() { "" } else { "alarm" }, &text)?;
        self.y += 8;
        let full = WIDTH - 2 * MARGIN;
        let share = u64::try_from(full).unwrap_or(0).saturating_mul(total.min(ceiling)) / ceiling.max(1);
        let (y, colour) = (self.y, if plan.memory.fits() { "#2f6f4f" } else { "#b3541e" });
        writeln!(
            self.body,
            "<rect class=\"track\" x=\"{MARGIN}\" y=\"{y}\" width=\"{full}\" height=\"10\" rx=\"5\"/>"
        )?;
        writeln!(
            self.body,
            "<rect x=\"{MARGIN}\" y=\"{y}\" width=\"{share}\" height=\"10\" rx=\"5\" fill=\"{colour}\"/>"
        )?;
        self.y += 10 + GAP;
        Ok(())
    }

    fn paragraph(&mut self, class: &str, text: &str) -> fmt::Result {
        for line in wrap(text, LINE_CHARACTERS) {
            self.y += LINE_HEIGHT;
            self.text(MARGIN, class, &line)?;
        }
        Ok(())
    }

    /// One line of text on the base line that has been reached.
    fn text(&mut self, x: usize, class: &str, text: &str) -> fmt::Result {
        writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>", self.y, escape(text))
    }
}

fn card_height(core: &[&CpuLines]) -> usize {
    let of_cpu = |cpu: &&CpuLines| heading(cpu).len() * LINE_HEIGHT + 6 + cpu.items.len() * BAR_HEIGHT;
    LINE_HEIGHT + 4 + core.iter().map(of_cpu).sum::<usize>() + 8
}

fn heading(cpu: &CpuLines) -> Vec<String> {
    let what = if cpu.cores.is_empty() { "left to the system" } else { &cpu.cores };
    wrap(&format!("cpu {}: {what}", cpu.number), CARD_CHARACTERS)
}

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
