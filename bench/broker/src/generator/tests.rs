//! The generator against a wire that behaves, and one that does not: every fault is noticed, and nothing else.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::account::Faults;
use super::engine::Engine;
use super::guests::{Crowd, Guests, Nobody};
use super::load::{Counts, Load};
use super::packet::{QoS, Version};
use super::plan::{LoadPlan, Pace, Shape};
use crate::wire::{Mischief, serve};

/// A wire on a thread of its own, until it is dropped.
struct Served {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<anyhow::Result<()>>>,
}

impl Served {
    fn start(mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stops = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&listener, mischief, &stops));
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

fn plan(shape: Shape, qos: QoS, pace: Pace) -> LoadPlan {
    LoadPlan { shape, qos, payload_bytes: 100, pace, window: 64, outstanding_max: 1_000 }
}

fn run(plan: LoadPlan, mischief: Mischief, version: Version, guests: Box<dyn Guests>) -> (Counts, Faults, Load) {
    let served = Served::start(mischief);
    let mut engine = Engine::new(served.address, version).unwrap();
    let mut load = Load::new(plan, version, guests);
    load.connect(&mut engine).unwrap();
    load.begin(&engine);
    load.run_for(&mut engine, Duration::from_millis(150)).unwrap();
    load.drain(&mut engine).unwrap();
    (load.counts(), load.faults(), load)
}

const SHAPES: [Shape; 3] =
    [Shape::FanIn { publishers: 3 }, Shape::Pairs { pairs: 4 }, Shape::FanOut { subscribers: 5 }];

#[test]
fn a_wire_that_behaves_delivers_every_message_once_and_in_order() {
    for version in [Version::V311, Version::V5] {
        for shape in SHAPES {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                let plan = plan(shape, qos, Pace::Unlimited);
                let (counts, faults, load) = run(plan, Mischief::default(), version, Box::new(Nobody));
                assert!(faults.is_none(), "{version:?} {shape:?} {qos:?}: {faults:?}");
                assert!(counts.published > 500, "{shape:?} {qos:?}: {counts:?}");
                assert_eq!(counts.delivered, counts.published * plan.copies());
                assert!(load.oddities().iter().all(|(_, count)| *count == 0), "{:?}", load.oddities());
                assert!(load.latency().quantiles_us().p99.is_some());
            }
        }
    }
}

#[test]
fn a_lost_message_is_noticed_by_each_that_should_have_it() {
    let lose = Mischief { lose: Some(100), ..Mischief::default() };
    for (shape, lost) in SHAPES.into_iter().zip([1, 1, 5]) {
        let (_, faults, _) = run(plan(shape, QoS::AtMostOnce, Pace::Unlimited), lose, Version::V311, Box::new(Nobody));
        assert_eq!(faults, Faults { gaps: lost, ..Faults::default() }, "{shape:?}");
        let (_, faults, _) = run(plan(shape, QoS::AtLeastOnce, Pace::Unlimited), lose, Version::V5, Box::new(Nobody));
        assert_eq!(faults, Faults { gaps: lost, undelivered: lost, ..Faults::default() }, "{shape:?}");
    }
}

#[test]
fn a_doubled_and_a_swapped_message_are_noticed() {
    let plan = plan(Shape::Pairs { pairs: 1 }, QoS::AtLeastOnce, Pace::Unlimited);
    let double = Mischief { double: Some(100), ..Mischief::default() };
    let (counts, faults, _) = run(plan, double, Version::V311, Box::new(Nobody));
    assert_eq!(faults, Faults { duplicated: 1, ..Faults::default() });
    assert_eq!(counts.delivered, counts.published + 1);
    let swap = Mischief { swap: Some(100), ..Mischief::default() };
    let (counts, faults, _) = run(plan, swap, Version::V311, Box::new(Nobody));
    assert_eq!(faults, Faults { out_of_order: 1, ..Faults::default() });
    assert_eq!(counts.delivered, counts.published);
}

#[test]
fn a_pace_is_kept() {
    let plan = plan(Shape::FanIn { publishers: 2 }, QoS::AtLeastOnce, Pace::PerSecond(1_000));
    let (counts, faults, _) = run(plan, Mischief::default(), Version::V311, Box::new(Nobody));
    assert!(faults.is_none());
    assert_eq!(counts.held_back, 0);
    // The window of 150 ms may be longer on a busy machine, and publications are due all the same.
    assert!((150..5_000).contains(&counts.published), "{counts:?}");
}

#[test]
fn a_crowd_connects_and_subscribes_beside_a_load() {
    let served = Served::start(Mischief::default());
    let mut engine = Engine::new(served.address, Version::V311).unwrap();
    let nobody = plan(Shape::Nobody, QoS::AtMostOnce, Pace::Unlimited);
    let mut load = Load::new(nobody, Version::V311, Box::new(Crowd::new(Version::V311, 120, 100)));
    for stage in 0..2 {
        let mut turns = 0;
        while !load.guests().is_settled() {
            load.run_for(&mut engine, Duration::from_millis(10)).unwrap();
            turns += 1;
            assert!(turns < 2_000, "stage {stage}: {:?}", load.guests().counts());
        }
        assert_eq!(load.guests().begin_stage(), stage == 0);
    }
    assert_eq!(load.guests().counts(), [("idle connections", 120), ("topic filters", 12_000)]);
}

#[test]
fn more_clients_connect_than_may_be_on_their_way_at_once() {
    // 50 may be, so waiting begins with the fiftieth, at any pace of the answers.
    let served = Served::start(Mischief::default());
    for subscribers in [48, 49, 50, 51, 120] {
        let mut engine = Engine::new(served.address, Version::V311).unwrap();
        let plan = plan(Shape::FanOut { subscribers }, QoS::AtMostOnce, Pace::Unlimited);
        Load::new(plan, Version::V311, Box::new(Nobody)).connect(&mut engine).unwrap();
    }
}

#[test]
fn a_broker_that_hangs_up_is_told_with_the_client() {
    let served = Served::start(Mischief::default());
    let address = served.address;
    let mut engine = Engine::new(address, Version::V311).unwrap();
    let mut load =
        Load::new(plan(Shape::Pairs { pairs: 1 }, QoS::AtMostOnce, Pace::Unlimited), Version::V311, Box::new(Nobody));
    load.connect(&mut engine).unwrap();
    load.begin(&engine);
    drop(served);
    let error = load.run_for(&mut engine, Duration::from_secs(20)).unwrap_err();
    assert!(error.to_string().contains("closed the connection of"), "{error}");
}
