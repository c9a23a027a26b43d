//! Lanes beside a core: mailboxes both ways, panics, stops.

use std::collections::VecDeque;
use std::time::Duration;

use executor::{
    BoxError, Core, CoreContext, CoreFactory, Decision, ExecutorSpec, Executors, Lane, LaneError, LaneSpec, StartError,
    StopReport, Supervisor, Turn, allowed_cpus,
};
use mailbox::{Receiver, Sender, channel};

const GRACE: Duration = Duration::from_secs(20);
const MESSAGES: u32 = 500;

#[test]
fn a_core_and_a_lane_talk_over_mailboxes_and_the_lane_ends_after_the_core() {
    let supervisor = Supervisor::new(GRACE, |_| Decision::Restart);
    let cpu = allowed_cpus().unwrap().pop();
    let (core_spec, lane_spec) = (ExecutorSpec::new("core", cpu), LaneSpec::new("lane", cpu));
    let (to_lane, mut requests) = channel::<u32>(4, &lane_spec.doorbell);
    let (mut answers_out, answers) = channel::<u32>(4, &core_spec.doorbell);
    let lane = Lane::start(lane_spec, &supervisor, move |context| {
        Box::pin(async move {
            let mut outbox = VecDeque::new();
            loop {
                context.doorbell.wait().await;
                // The core outlives its senders' use of this lane: their end is the lane's.
                let ended = requests.is_disconnected();
                while let Some(number) = requests.receive() {
                    outbox.push_back(number * 2);
                }
                answers_out.send_many(&mut outbox);
                if ended {
                    return Ok(());
                }
                if !outbox.is_empty() {
                    answers_out.notify_when_space(&context.doorbell);
                }
            }
        })
    })
    .unwrap();
    assert!(lane.stats().thread_id() > 0);
    let stop = supervisor.stop_handle();
    let core: CoreFactory = Box::new(move |context: CoreContext| {
        let done = move || stop.stop(GRACE);
        let doorbell = context.doorbell().clone();
        let (outbox, sum) = ((0..MESSAGES).collect(), 0);
        Box::pin(async move {
            Ok(Box::new(Client { to_lane, answers, doorbell, outbox, answered: 0, sum, done }) as Box<dyn Core>)
        })
    });
    let executors = Executors::start(&supervisor, vec![(core_spec, core)]).unwrap();
    assert_eq!(executors.join(), Ok(StopReport::default()));
    lane.join().unwrap();
}

#[test]
fn a_lane_that_panics_is_reported_and_its_join_says_so() {
    let (report, reported) = std::sync::mpsc::channel();
    let supervisor = Supervisor::new(GRACE, move |panic| {
        report.send(panic.clone()).expect("the test waits for it");
        Decision::Restart
    });
    let lane = Lane::start(LaneSpec::new("sdk", None), &supervisor, |_| Box::pin(async { panic!("no link") })).unwrap();
    let error = lane.join().unwrap_err();
    assert_eq!(error.to_string(), "sdk panicked: no link");
    assert_eq!(reported.recv().unwrap().name, "sdk");
    assert!(!supervisor.stop_token().is_stopping());
}

#[test]
fn a_lane_that_fails_hands_its_error_to_join() {
    let supervisor = Supervisor::new(GRACE, |_| Decision::Restart);
    let failing = |_| Box::pin(async { Err(BoxError::from("unauthorised")) }) as executor::LocalFuture<_>;
    let error = Lane::start(LaneSpec::new("sdk", None), &supervisor, failing).unwrap().join().unwrap_err();
    assert_eq!(error.to_string(), "sdk: unauthorised");
}

#[test]
fn a_lane_sees_the_stop_and_one_that_ignores_it_is_left_behind() {
    let supervisor = Supervisor::new(GRACE, |_| Decision::Restart);
    let obedient = Lane::start(LaneSpec::new("obedient", None), &supervisor, |context| {
        Box::pin(async move {
            context.stop_token.stopped().await;
            Ok(())
        })
    })
    .unwrap();
    let stubborn =
        Lane::start(LaneSpec::new("stubborn", None), &supervisor, |_| Box::pin(std::future::pending())).unwrap();
    supervisor.stop_handle().stop(Duration::ZERO);
    obedient.join().unwrap();
    assert!(matches!(stubborn.join(), Err(LaneError::DidNotEnd { .. })));
}

#[test]
fn a_lane_is_refused_a_processor_that_the_process_may_not_use() {
    let supervisor = Supervisor::new(GRACE, |_| Decision::Restart);
    let lane = Lane::start(LaneSpec::new("far", Some(5_000)), &supervisor, |_| Box::pin(async { Ok(()) }));
    assert!(matches!(lane, Err(StartError::CpuNotAllowed { cpu: 5_000, .. })));
}

// --- what the tests lean on ---

/// Sends its outbox to the lane and adds up the answers.
struct Client<D> {
    to_lane: Sender<u32>,
    answers: Receiver<u32>,
    doorbell: mailbox::Doorbell,
    outbox: VecDeque<u32>,
    answered: u32,
    sum: u32,
    done: D,
}

impl<D: Fn() + 'static> Core for Client<D> {
    fn turn(&mut self, _now: contract::Instant) -> Turn {
        while let Some(answer) = self.answers.receive() {
            self.sum += answer;
            self.answered += 1;
        }
        self.to_lane.send_many(&mut self.outbox);
        if !self.outbox.is_empty() {
            self.to_lane.notify_when_space(&self.doorbell);
        }
        if self.answered == MESSAGES {
            assert_eq!(self.sum, (0..MESSAGES).map(|number| number * 2).sum::<u32>());
            (self.done)();
        }
        Turn::default()
    }

    fn stop(&mut self, _now: contract::Instant) {}

    fn stopped(&self) -> bool {
        self.answered == MESSAGES
    }

    fn stall_culprit(&self) -> &'static str {
        "client"
    }

    fn panic_culprit(&self) -> &'static str {
        "client"
    }

    fn restart(&mut self, _now: contract::Instant) {}
}
