//! Asks the running process again and again, and shows what changed.

use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyModifiers};
use telemetry::NodeSnapshot;

use super::Rates;
use super::status::push;
use super::{draw, plain};
use crate::control_client::ControlClient;

/// How a view is shown and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Its heading.
    pub title: String,
    /// Ends after so long.
    pub duration: Option<Duration>,
    /// Plain lines also in a terminal.
    pub plain: bool,
    /// Set by a signal: the view ends.
    pub stop: Arc<AtomicBool>,
}

/// How often a screen asks, and plain lines are printed.
const SCREEN_INTERVAL: Duration = Duration::from_millis(500);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// How long a key is waited for before the stop flag is looked at.
const KEY_WAIT: Duration = Duration::from_millis(100);

impl View {
    fn ends(&self, started: Instant) -> bool {
        self.stop.load(Ordering::Relaxed) || self.duration.is_some_and(|duration| started.elapsed() >= duration)
    }
}

/// Shows the process until the view ends, and returns the last snapshot.
///
/// # Errors
/// The process went away, or the terminal failed; the terminal is put back first.
pub(crate) fn watch(client: &mut ControlClient, view: &View) -> anyhow::Result<NodeSnapshot> {
    if view.plain || !std::io::stdout().is_terminal() { watch_plain(client, view) } else { watch_screen(client, view) }
}

fn watch_plain(client: &mut ControlClient, view: &View) -> anyhow::Result<NodeSnapshot> {
    let started = Instant::now();
    let mut earlier = client.status()?;
    let mut text = format!("{}\n", view.title);
    loop {
        match std::io::stdout().write_all(text.as_bytes()) {
            // The reader has read enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(earlier),
            written => written?,
        }
        let next = Instant::now() + PLAIN_INTERVAL;
        while Instant::now() < next && !view.ends(started) {
            std::thread::sleep(KEY_WAIT);
        }
        let now = client.status()?;
        text.clear();
        if let Some(rates) = Rates::between(&earlier, &now) {
            push(&mut text, format_args!("{}", plain::line(&now, &rates)));
        }
        for notice in now.notices.iter().filter(|notice| !earlier.notices.contains(notice)) {
            push(&mut text, format_args!("        {notice}"));
        }
        if view.ends(started) {
            // Whether somebody still reads the last lines is not our concern.
            let _is_read = std::io::stdout().write_all(text.as_bytes());
            return Ok(now);
        }
        earlier = now;
    }
}

fn watch_screen(client: &mut ControlClient, view: &View) -> anyhow::Result<NodeSnapshot> {
    let mut terminal = ratatui::try_init()?;
    let watched = screen_loop(client, view, &mut terminal);
    ratatui::restore();
    watched
}

fn screen_loop(
    client: &mut ControlClient,
    view: &View,
    terminal: &mut ratatui::DefaultTerminal,
) -> anyhow::Result<NodeSnapshot> {
    let started = Instant::now();
    let mut earlier = client.status()?;
    let mut asked = Instant::now();
    loop {
        if leaves(KEY_WAIT)? || view.ends(started) {
            return client.status();
        }
        if asked.elapsed() < SCREEN_INTERVAL {
            continue;
        }
        asked = Instant::now();
        let now = client.status()?;
        if let Some(rates) = Rates::between(&earlier, &now) {
            terminal.draw(|frame| draw::draw(frame, &view.title, &now, &rates))?;
        }
        earlier = now;
    }
}

/// Whether a key to leave was pressed within `wait`.
fn leaves(wait: Duration) -> anyhow::Result<bool> {
    if !crossterm::event::poll(wait)? {
        return Ok(false);
    }
    let Event::Key(key) = crossterm::event::read()? else { return Ok(false) };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
