//! Real executors on the processors this process may use: work, panics, stops, timers.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::Instant;
use executor::{
    BoxError, Clock, Core, CoreContext, CoreFactory, Decision, ExecutorSpec, Executors, Left, PanicReport, ShellLimit,
    StartError, StopReport, Supervisor, Turn, allowed_cpus,
};
use mailbox::{Receiver, channel};

const GRACE: Duration = Duration::from_secs(20);

#[test]
fn two_cores_play_ping_pong_over_mailboxes() {
    const ROUNDS: u32 = 1_000;
    let supervisor = restarting();
    let (first_spec, second_spec) = (spec("first", 0), spec("second", 1));
    let (to_second, mut from_first) = channel(8, &second_spec.doorbell);
    let (to_first, mut from_second) = channel(8, &first_spec.doorbell);
    let stop = supervisor.stop_handle();
    let counter = core(move |_| {
        to_second.try_send(0).expect("the channel is empty");
        move |_| {
            while let Some(round) = from_second.receive() {
                if round < ROUNDS {
                    to_second.try_send(round).expect("one message is under way");
                } else {
                    stop.stop(GRACE);
                }
            }
            Turn::default()
        }
    });
    let echo = core(move |_| {
        move |_| {
            while let Some(round) = from_first.receive() {
                to_first.try_send(round + 1).expect("one message is under way");
            }
            Turn::default()
        }
    });
    let executors = Executors::start(&supervisor, vec![(first_spec, counter), (second_spec, echo)]).unwrap();
    let stats = executors.stats().to_vec();
    assert_eq!(executors.join(), Ok(StopReport::default()));
    assert!(stats.iter().all(|stats| stats.turn_count() >= u64::from(ROUNDS) && stats.thread_id() > 0));
}

#[test]
fn an_actor_that_panics_is_restarted_and_the_messages_after_it_are_handled() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    let supervisor = Supervisor::new(GRACE, move |report: &PanicReport| {
        seen.lock().unwrap().push((report.executor.clone(), report.name.clone(), report.message.clone()));
        Decision::Restart
    });
    let spec = spec("core", 0);
    let (sender, receiver) = channel(8, &spec.doorbell);
    assert_eq!(sender.send_many(&mut VecDeque::from([1, 0, 2])), 3);
    let (handled, stop) = (Arc::new(Mutex::new(Vec::new())), supervisor.stop_handle());
    let core = faulty_core(receiver, Arc::clone(&handled), move |number| {
        if number == 2 {
            stop.stop(GRACE);
        }
    });
    let executors = Executors::start(&supervisor, vec![(spec, core)]).unwrap();
    let stats = Arc::clone(&executors.stats()[0]);
    assert_eq!(executors.join(), Ok(StopReport::default()));
    assert_eq!(*handled.lock().unwrap(), ["1", "restart", "2"]);
    let report = ("core".to_owned(), "divider".to_owned(), "attempt to divide by zero".to_owned());
    assert_eq!(*reports.lock().unwrap(), [report]);
    assert_eq!(stats.panic_count(), 1);
}

#[test]
fn the_third_panic_in_a_minute_ends_all_cores_and_names_the_actor() {
    let supervisor = restarting();
    let specs = [spec("faulty", 0), spec("other", 1)];
    let (sender, receiver) = channel(8, &specs[0].doorbell);
    assert_eq!(sender.send_many(&mut VecDeque::from([0, 0, 0, 5])), 4);
    let handled = Arc::new(Mutex::new(Vec::new()));
    let faulty = faulty_core(receiver, Arc::clone(&handled), |_| ());
    let [faulty_spec, other_spec] = specs;
    let cores = vec![(faulty_spec, faulty), (other_spec, core(|_| |_| Turn::default()))];
    let end = Executors::start(&supervisor, cores).unwrap().join().unwrap_err();
    assert_eq!((end.report.name.as_str(), end.too_many), ("divider", true));
    assert_eq!(*handled.lock().unwrap(), ["restart", "restart"], "no turn after the third");
}

#[test]
fn a_stop_drains_what_is_queued_and_waits_for_shells() {
    const MESSAGES: u32 = 1_000;
    let supervisor = restarting();
    let spec = spec("core", 0);
    let (sender, mut receiver) = channel(1_024, &spec.doorbell);
    let handled = Arc::new(Mutex::new(0));
    let (total, stop) = (Arc::clone(&handled), supervisor.stop_handle());
    let core: CoreFactory = Box::new(move |context: CoreContext| {
        Box::pin(async move {
            for _ in 0..3 {
                let token = context.stop_token();
                context.spawn_shell("listener", async move { token.stopped().await })?;
            }
            // Everything is queued when the stop begins; three messages a turn are handled.
            assert_eq!(sender.send_many(&mut (0..MESSAGES).collect()), MESSAGES as usize);
            stop.stop(GRACE);
            let mut inbox = VecDeque::new();
            let drained = Rc::new(Cell::new(false));
            let now_drained = Rc::clone(&drained);
            let turn = move |_| {
                *total.lock().unwrap() += receiver.receive_many(&mut inbox, 3);
                now_drained.set(receiver.is_empty());
                Turn { next_timeout: None, more: !receiver.is_empty(), ..Turn::default() }
            };
            Ok(Box::new(Scripted { step: turn, drained }) as Box<dyn Core>)
        })
    });
    let executors = Executors::start(&supervisor, vec![(spec, core)]).unwrap();
    let stats = Arc::clone(&executors.stats()[0]);
    assert_eq!(executors.join(), Ok(StopReport::default()));
    assert_eq!(*handled.lock().unwrap(), MESSAGES as usize);
    assert_eq!(stats.shell_count(), 0);
}

#[test]
fn what_does_not_end_in_time_is_reported_not_awaited() {
    let supervisor = restarting();
    let core: CoreFactory = Box::new(|context: CoreContext| {
        Box::pin(async move {
            context.spawn_shell("stubborn", std::future::pending())?;
            context.spawn_shell("stubborn", std::future::pending())?;
            let step = |_| Turn::default();
            Ok(Box::new(Scripted { step, drained: Rc::new(Cell::new(false)) }) as Box<dyn Core>)
        })
    });
    let executors = Executors::start(&supervisor, vec![(spec("core", 0), core)]).unwrap();
    supervisor.stop_handle().stop(Duration::from_millis(20));
    let left = |what, count| Left { executor: "core".to_owned(), what, count };
    assert_eq!(executors.join(), Ok(StopReport { left: vec![left("actors", 1), left("stubborn", 2)] }));
}

#[test]
fn timeouts_come_soon_after_they_are_due() {
    const TIMEOUTS: usize = 40;
    let supervisor = restarting();
    let lateness = Arc::new(Mutex::new(Vec::new()));
    let (late, stop) = (Arc::clone(&lateness), supervisor.stop_handle());
    let core = core(move |_| {
        let mut due: Option<Instant> = None;
        move |now| {
            if let Some(at) = due.filter(|at| *at <= now) {
                late.lock().unwrap().push(now - at);
                due = None;
            }
            if late.lock().unwrap().len() == TIMEOUTS {
                stop.stop(GRACE);
                return Turn::default();
            }
            Turn {
                next_timeout: Some(*due.get_or_insert(now + Duration::from_millis(3))),
                more: false,
                ..Turn::default()
            }
        }
    });
    let executors = Executors::start(&supervisor, vec![(spec("core", 0), core)]).unwrap();
    assert_eq!(executors.join(), Ok(StopReport::default()));
    let mut lateness = lateness.lock().unwrap().clone();
    lateness.sort_unstable();
    let median = lateness[TIMEOUTS / 2];
    assert!(median < Duration::from_millis(20), "median lateness {median:?} of a timer with 1 ms granularity");
}

#[test]
fn an_idle_core_has_a_heartbeat() {
    let supervisor = restarting();
    let stop = supervisor.stop_handle();
    let core = core(move |context: &CoreContext| {
        let stats = Arc::clone(context.stats());
        move |_| {
            if stats.heartbeat_count() >= 3 {
                stop.stop(GRACE);
            }
            Turn::default()
        }
    });
    let spec = ExecutorSpec { heartbeat: Duration::from_millis(5), ..spec("core", 0) };
    let executors = Executors::start(&supervisor, vec![(spec, core)]).unwrap();
    let stats = Arc::clone(&executors.stats()[0]);
    assert_eq!(executors.join(), Ok(StopReport::default()));
    assert!(stats.wake_count() >= 3);
}

#[test]
fn a_shell_that_panics_ends_alone_and_is_named() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let supervisor = Supervisor::new(GRACE, move |report: &PanicReport| {
        seen.lock().unwrap().push(report.name.clone());
        Decision::Restart
    });
    let stop = supervisor.stop_handle();
    let core = core(move |context: &CoreContext| {
        let (panicked, bell) = (context.local_bell(), context.local_bell());
        let guard = RingOnDrop(panicked);
        context
            .spawn_shell("reader", async move {
                let _guard = guard;
                panic!("bad frame");
            })
            .expect("below the limit");
        let healthy = Rc::new(Cell::new(false));
        let done = Rc::clone(&healthy);
        context
            .spawn_shell("writer", async move {
                glommio::timer::Timer::new(Duration::from_millis(5)).await;
                done.set(true);
                bell.ring();
            })
            .expect("below the limit");
        move |_| {
            if healthy.get() {
                stop.stop(GRACE);
            }
            Turn::default()
        }
    });
    let executors = Executors::start(&supervisor, vec![(spec("core", 0), core)]).unwrap();
    let stats = Arc::clone(&executors.stats()[0]);
    assert_eq!(executors.join(), Ok(StopReport::default()));
    assert_eq!(*names.lock().unwrap(), ["reader"]);
    assert_eq!((stats.panic_count(), stats.shell_count()), (1, 0));
}

#[test]
fn stalls_of_actors_and_shells_are_counted_with_their_names() {
    let supervisor = restarting();
    let stop = supervisor.stop_handle();
    let core = core(move |context: &CoreContext| {
        let clock = context.clock();
        let bell = context.local_bell();
        let slow = async move {
            spin(clock, Duration::from_millis(12));
            bell.ring();
        };
        context.spawn_shell("slow-shell", slow).expect("below the limit");
        let stats = Arc::clone(context.stats());
        move |_| {
            if stats.stalls().iter().any(|stall| stall.name == "slow-shell") {
                spin(clock, Duration::from_millis(12));
                stop.stop(GRACE);
            }
            Turn::default()
        }
    });
    let executors = Executors::start(&supervisor, vec![(spec("core", 0), core)]).unwrap();
    let stats = Arc::clone(&executors.stats()[0]);
    assert_eq!(executors.join(), Ok(StopReport::default()));
    let stalls = stats.stalls();
    let named = |name| stalls.iter().any(|stall| stall.name == name && stall.longest >= Duration::from_millis(12));
    assert!(named("slow-shell") && named("scripted"), "{stalls:?}");
    assert!(stats.busy() >= Duration::from_millis(24));
}

#[test]
fn a_core_takes_no_more_shells_than_its_limit() {
    let supervisor = restarting();
    let stop = supervisor.stop_handle();
    let core = core(move |context: &CoreContext| {
        let shell = |token: executor::StopToken| async move { token.stopped().await };
        assert_eq!(context.spawn_shell("a", shell(context.stop_token())), Ok(()));
        assert_eq!(context.spawn_shell("b", shell(context.stop_token())), Ok(()));
        assert_eq!(context.spawn_shell("c", shell(context.stop_token())), Err(ShellLimit { count_max: 2 }));
        stop.stop(GRACE);
        |_| Turn::default()
    });
    let spec = ExecutorSpec { shells_max: 2, ..spec("core", 0) };
    assert_eq!(Executors::start(&supervisor, vec![(spec, core)]).unwrap().join(), Ok(StopReport::default()));
}

#[test]
fn a_processor_that_the_process_may_not_use_is_refused_before_any_thread() {
    let spec = ExecutorSpec::new("far", Some(5_000));
    let error = Executors::start(&restarting(), vec![(spec, core(|_| |_| Turn::default()))]).unwrap_err();
    assert!(matches!(error, StartError::CpuNotAllowed { cpu: 5_000, .. }), "{error}");
}

#[test]
fn a_factory_that_fails_or_panics_is_the_error_of_the_start() {
    let failing: CoreFactory = Box::new(|_| Box::pin(async { Err(BoxError::from("no such log")) }));
    let supervisor = restarting();
    let cores = vec![(spec("good", 0), core(|_| |_| Turn::default())), (spec("bad", 1), failing)];
    let error = Executors::start(&supervisor, cores).unwrap_err();
    assert_eq!(error.to_string(), "bad: cannot build the core: no such log");
    assert!(supervisor.stop_token().is_stopping());

    let panicking: CoreFactory = Box::new(|_| Box::pin(async { panic!("no such actor") }));
    let error = Executors::start(&restarting(), vec![(spec("bad", 0), panicking)]).unwrap_err();
    assert_eq!(error.to_string(), "bad: panicked at the start: no such actor");
}

// --- what the tests lean on ---

fn restarting() -> Supervisor {
    Supervisor::new(GRACE, |_| Decision::Restart)
}

/// A spec on the `index`-th processor that this process may use, counted round.
fn spec(name: &str, index: usize) -> ExecutorSpec {
    let cpus = allowed_cpus().expect("the kernel answers");
    ExecutorSpec::new(name, Some(cpus[index % cpus.len()]))
}

/// Takes processor time, as an actor does that computes too long.
fn spin(clock: Clock, duration: Duration) {
    let end = clock.now() + duration;
    while clock.now() < end {
        std::hint::spin_loop();
    }
}

/// A core whose turn is a closure; always drained.
fn core<S>(build: impl FnOnce(&CoreContext) -> S + Send + 'static) -> CoreFactory
where
    S: FnMut(Instant) -> Turn + 'static,
{
    Box::new(move |context| {
        Box::pin(async move {
            let step = build(&context);
            Ok(Box::new(Scripted { step, drained: Rc::new(Cell::new(true)) }) as Box<dyn Core>)
        })
    })
}

struct Scripted<S> {
    step: S,
    drained: Rc<Cell<bool>>,
}

impl<S: FnMut(Instant) -> Turn + 'static> Core for Scripted<S> {
    fn turn(&mut self, now: Instant) -> Turn {
        (self.step)(now)
    }

    fn stop(&mut self, _now: Instant) {}

    fn stopped(&self) -> bool {
        self.drained.get()
    }

    fn stall_culprit(&self) -> &'static str {
        "scripted"
    }

    fn panic_culprit(&self) -> &'static str {
        "scripted"
    }

    fn restart(&mut self, _now: Instant) {}
}

/// Divides by each number it receives.
struct Faulty<H> {
    receiver: Receiver<u32>,
    handled: Arc<Mutex<Vec<String>>>,
    after: H,
}

fn faulty_core(
    receiver: Receiver<u32>,
    handled: Arc<Mutex<Vec<String>>>,
    after: impl FnMut(u32) + Send + 'static,
) -> CoreFactory {
    Box::new(move |_| Box::pin(async move { Ok(Box::new(Faulty { receiver, handled, after }) as Box<dyn Core>) }))
}

impl<H: FnMut(u32) + 'static> Core for Faulty<H> {
    fn turn(&mut self, _now: Instant) -> Turn {
        while let Some(number) = self.receiver.receive() {
            assert!(1_000 / number > 0);
            self.handled.lock().expect("no holder panics").push(number.to_string());
            (self.after)(number);
        }
        Turn::default()
    }

    fn stop(&mut self, _now: Instant) {}

    fn stopped(&self) -> bool {
        true
    }

    fn stall_culprit(&self) -> &'static str {
        "divider"
    }

    fn panic_culprit(&self) -> &'static str {
        "divider"
    }

    fn restart(&mut self, _now: Instant) {
        self.handled.lock().expect("no holder panics").push("restart".to_owned());
    }
}

struct RingOnDrop(executor::LocalBell);

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        self.0.ring();
    }
}
