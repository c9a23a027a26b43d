//! What an executor costs when it has little to do: idle, woken by its timer, woken by another thread.
//!
//! `cargo run --release -p executor --example idle [SECONDS]` (5 by default for each case). One
//! executor on the last processor that the process may use; processor time of its thread only.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use contract::Instant;
use executor::{
    Clock, Core, CoreFactory, Decision, ExecutorSpec, ExecutorStats, Executors, Supervisor, Turn, allowed_cpus,
    preflight,
};
use mailbox::{Receiver, channel};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let duration = Duration::from_secs(seconds);
    println!("{:34} {:>8} {:>8} {:>14} {:>10}", "case", "turns/s", "wakes/s", "millicores", "us/turn");
    for (name, period, heartbeat_ms) in [
        ("idle, heartbeat 100 ms", None, 100),
        ("idle, heartbeat 1 s", None, 1_000),
        ("timer, 10/s", Some(Duration::from_millis(100)), 100),
        ("timer, 30/s", Some(Duration::from_micros(33_333)), 100),
        ("timer, 100/s", Some(Duration::from_millis(10)), 100),
    ] {
        measure(name, duration, heartbeat_ms, period, None)?;
    }
    for (name, period) in [("mailbox, 30/s", 33_333), ("mailbox, 100/s", 10_000), ("mailbox, 1000/s", 1_000)] {
        measure(name, duration, 100, None, Some(Duration::from_micros(period)))?;
    }
    Ok(())
}

/// Runs one executor for `duration`, with a timer of its own and a thread that sends to it, each if given.
fn measure(
    name: &str,
    duration: Duration,
    heartbeat_ms: u64,
    timer: Option<Duration>,
    sender_period: Option<Duration>,
) -> Result<(), Box<dyn Error>> {
    let heartbeat = Duration::from_millis(heartbeat_ms);
    let spec = ExecutorSpec { heartbeat, ..ExecutorSpec::new("idle", allowed_cpus()?.pop()) };
    preflight(std::slice::from_ref(&spec))?;
    let supervisor = Supervisor::new(Duration::from_secs(1), |_| Decision::EndProcess);
    let (sender, receiver) = channel(64, &spec.doorbell);
    let factory: CoreFactory = Box::new(move |context| {
        let next = timer.map(|period| context.clock().now() + period);
        Box::pin(async move { Ok(Box::new(Idle { timer, next, receiver }) as Box<dyn Core>) })
    });
    let executors = Executors::start(&supervisor, vec![(spec, factory)])?;
    let stats = Arc::clone(&executors.stats()[0]);
    let (clock, token) = (Clock::new(), supervisor.stop_token());
    let (start, before) = (clock.now(), Figures::of(&stats)?);
    match sender_period {
        None => std::thread::sleep(duration),
        Some(period) => {
            while clock.now() - start < duration {
                sender.try_send(0)?;
                token.wait_timeout(period);
            }
        }
    }
    Figures::of(&stats)?.print_since(&before, name, clock.now() - start);
    supervisor.stop_handle().stop(Duration::from_secs(1));
    executors.join()?;
    Ok(())
}

struct Figures {
    turns: u64,
    wakes: u64,
    cpu_nanos: u64,
}

impl Figures {
    /// The kernel's own account of the thread (nanoseconds on a processor), read from outside.
    fn of(stats: &ExecutorStats) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", stats.thread_id()))?;
        let cpu_nanos = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
        Ok(Self { turns: stats.turn_count(), wakes: stats.wake_count(), cpu_nanos })
    }

    fn print_since(&self, before: &Self, name: &str, elapsed: Duration) {
        let rate = |count: u64| per(count, elapsed.as_millis(), 1_000);
        let (turns, wakes) = (self.turns - before.turns, self.wakes - before.wakes);
        let cpu = self.cpu_nanos - before.cpu_nanos;
        let millicores = per(cpu, elapsed.as_nanos(), 1_000);
        let per_turn = per(cpu, u128::from(turns.max(1)) * 1_000, 1);
        println!("{name:34} {:>8.1} {:>8.1} {millicores:>14.2} {per_turn:>10.1}", rate(turns), rate(wakes));
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn per(count: u64, of: u128, scale: u32) -> f64 {
    count as f64 * f64::from(scale) / of as f64
}

/// Takes its messages and asks for a timeout every period.
struct Idle {
    timer: Option<Duration>,
    next: Option<Instant>,
    receiver: Receiver<u64>,
}

impl Core for Idle {
    fn turn(&mut self, now: Instant) -> Turn {
        while self.receiver.receive().is_some() {}
        if let (Some(next), Some(period)) = (self.next, self.timer)
            && next <= now
        {
            self.next = Some(next + period);
        }
        Turn { next_timeout: self.next, more: false, ..Turn::default() }
    }

    fn stop(&mut self, _now: Instant) {}

    fn stopped(&self) -> bool {
        true
    }

    fn stall_culprit(&self) -> &'static str {
        "idle"
    }

    fn panic_culprit(&self) -> &'static str {
        "idle"
    }

    fn restart(&mut self, _now: Instant) {}
}
