//! The live view as one screen of a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use telemetry::NodeSnapshot;

use super::Rates;
use super::plain::{clients, mebibytes};

/// Draws one screen: header, cores and actors, hops, cursors, the last messages, what needs a look.
pub(super) fn draw(frame: &mut Frame<'_>, title: &str, now: &NodeSnapshot, rates: &Rates) {
    let cores_height = u16::try_from(now.cores.len() + now.lanes.len()).unwrap_or(u16::MAX).saturating_add(3);
    let areas = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(cores_height.min(14)),
        Constraint::Length(11),
        Constraint::Min(5),
        Constraint::Length(1),
    ])
    .split(frame.area());
    header(frame, areas[0], title, now, rates);
    let sides = Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).split(areas[1]);
    cores(frame, sides[0], rates);
    cursors(frame, sides[1], now);
    let sides = Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).split(areas[2]);
    hops(frame, sides[0], now);
    actors(frame, sides[1], rates);
    messages(frame, areas[3], now);
    let key = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new("q or Ctrl-C: leave").style(key), areas[4]);
}

fn header(frame: &mut Frame<'_>, area: Rect, title: &str, now: &NodeSnapshot, rates: &Rates) {
    let folded = now.folded.as_deref().map_or_else(String::new, |text| format!("   FOLDED: {text}"));
    let first = format!(
        "{:.0} points/s in   {:.0} points/s settled   {:.0} messages/s   {:.0} events/s",
        rates.points_received_per_s, rates.points_settled_per_s, rates.accepted_per_s, rates.events_settled_per_s
    );
    let second = format!(
        "{:.1} millicores   {:.1} MiB   up {} s   profile {}   {}   {}{folded}",
        rates.millicores,
        mebibytes(now.process.resident_kib),
        now.uptime_ms / 1_000,
        now.profile,
        now.durability,
        clients(now),
    );
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let lines = vec![Line::styled(first, bold), Line::raw(second)];
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title.to_owned())), area);
}

fn cores(frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
    let core_rows = rates.cores.iter().map(|core| {
        Row::new([
            core.name.clone(),
            core.cpu.to_string(),
            format!("{:.1}", core.millicores),
            format!("{:.0}", core.parks_per_s),
        ])
    });
    let lane_rows = rates.lanes.iter().map(|(name, millicores)| {
        Row::new([format!("lane {name}"), "-".to_owned(), format!("{millicores:.1}"), "-".to_owned()])
    });
    let widths = [Constraint::Min(20), Constraint::Length(4), Constraint::Length(10), Constraint::Length(9)];
    let table = Table::new(core_rows.chain(lane_rows), widths)
        .header(heading(["core", "cpu", "millicores", "wakes/s"]))
        .block(Block::bordered().title("cores and lanes"));
    frame.render_widget(table, area);
}

fn actors(frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
    let rows = telemetry::ActorKind::ALL.into_iter().map(|kind| {
        let used = rates.cores.iter().filter_map(|core| core.kinds.get(kind.name()));
        let (messages, millicores) = used.fold((0.0, 0.0), |sum, used| (sum.0 + used.0, sum.1 + used.1));
        Row::new([kind.name().to_owned(), format!("{messages:.0}"), format!("{millicores:.2}")])
    });
    let widths = [Constraint::Min(18), Constraint::Length(11), Constraint::Length(10)];
    let table = Table::new(rows, widths)
        .header(heading(["actor", "messages/s", "millicores"]))
        .block(Block::bordered().title("actors"));
    frame.render_widget(table, area);
}

fn hops(frame: &mut Frame<'_>, area: Rect, now: &NodeSnapshot) {
    let milliseconds = |latency_us: u64| format!("{}.{:03}", latency_us / 1_000, latency_us % 1_000);
    let rows = now.hops().summaries().into_iter().map(|hop| {
        Row::new([
            hop.hop,
            hop.count.to_string(),
            milliseconds(hop.p50_us),
            milliseconds(hop.p99_us),
            milliseconds(hop.max_us),
        ])
    });
    let widths = [
        Constraint::Min(22),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let table = Table::new(rows, widths)
        .header(heading(["hop", "points", "p50 ms", "p99 ms", "max ms"]))
        .block(Block::bordered().title("latency by hop, since the start"));
    frame.render_widget(table, area);
}

fn cursors(frame: &mut Frame<'_>, area: Rect, now: &NodeSnapshot) {
    let ledgers = now.cores.iter().flat_map(|core| &core.actors).flat_map(|actor| &actor.ledgers);
    let rows = ledgers.map(|ledger| {
        let colour = if ledger.balances { Color::Reset } else { Color::Red };
        let dropped: u64 = ledger.dropped.values().sum();
        Row::new([
            ledger.cursor.clone(),
            ledger.accepted.to_string(),
            ledger.delivered.to_string(),
            ledger.queued.to_string(),
            dropped.to_string(),
        ])
        .style(Style::new().fg(colour))
    });
    let widths = [
        Constraint::Min(10),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(7),
    ];
    let table = Table::new(rows, widths)
        .header(heading(["cursor", "accepted", "delivered", "queued", "dropped"]))
        .block(Block::bordered().title("conservation, in records"));
    frame.render_widget(table, area);
}

fn messages(frame: &mut Frame<'_>, area: Rect, now: &NodeSnapshot) {
    let notices = now.notices.iter().rev().take(3).map(|notice| Line::styled(notice.clone(), Color::Yellow));
    let recent = now.cores.iter().flat_map(|core| core.recent.iter().rev());
    let recent = recent.map(|message| {
        Line::raw(format!("{} ({} bytes)  {}", message.topic_name, message.payload_bytes, message.text))
    });
    let lines: Vec<Line<'_>> = notices.chain(recent).take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("notices and last messages")), area);
}

fn heading<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names.map(Cell::from)).style(Style::new().add_modifier(Modifier::BOLD))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::rates::tests::{later, start};
    use super::*;

    #[test]
    fn the_screen_shows_rates_cores_and_the_last_message() {
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        let rates = Rates::between(&start(), &later()).unwrap();
        terminal.draw(|frame| draw(frame, "demo", &later(), &rates)).unwrap();
        let shown: String = terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
        for part in ["12500 points/s in", "opcua-subscription", "core-a", "plant/data/asset000", "25.0 millicores"] {
            assert!(shown.contains(part), "{part} is not on the screen");
        }
    }

    #[test]
    fn a_tiny_terminal_does_no_harm() {
        let mut terminal = Terminal::new(TestBackend::new(3, 2)).unwrap();
        let rates = Rates::between(&start(), &later()).unwrap();
        terminal.draw(|frame| draw(frame, "demo", &later(), &rates)).unwrap();
    }
}
