//! Out of descriptors. A test binary of its own, because the limit holds for the whole process.

#[expect(dead_code, reason = "one test needs part of it")]
mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;

use contract::CoreIndex;
use harness::{Behaviour, Harness};
use mqtt_listener::FrontendConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn accepting_pauses_while_descriptors_are_out_and_goes_on_afterwards() {
    let harness = Harness::start(&FrontendConfig::new(CoreIndex(0)), &Behaviour::Echo);
    let mut first = echoed(harness.connect());
    let before = getrlimit(Resource::Nofile);
    // One more descriptor: enough for the peer's end and not for ours.
    let highest = rustix::io::fcntl_dupfd_cloexec(&first, 3).unwrap();
    let limit = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&highest)).unwrap() + 1;
    drop(highest);
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
    let waiting = harness.connect();
    harness.wait_until(|log| log.counts.exhausted_pauses >= 2);
    setrlimit(Resource::Nofile, before).unwrap();
    let waiting = echoed(waiting);
    first.write_all(b"y").unwrap();
    drop((first, waiting));
    harness.wait_until(|log| log.closed_count == 2);
    harness.stop();
}

fn echoed(mut peer: TcpStream) -> TcpStream {
    peer.write_all(b"x").expect("the connection stands");
    peer.read_exact(&mut [0]).expect("the connection is served");
    peer
}
