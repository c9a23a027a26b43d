//! A whole mqtt-connection actor between a client, a shell, a home and partitions that the input drives.
//!
//! The input's first bytes choose the limits; then each step is one byte for its kind, and what that kind asks for. Shell,
//! home and partitions keep to their contracts (`message.rs` of the actor), the client keeps to nothing. Partitions answer late,
//! in any order, or refuse; time passes between. At the end the socket closes, and all that is owed is answered. What the
//! session left is given to another connection of the same client, which goes on with the rest of the input.

mod client;
mod mirror;
mod partitions;
mod world;

use std::sync::Arc;
use std::time::Duration;

use mqtt_connection::{Authentication, ConnectionConfig};

use crate::choices::Choices;
use world::World;

/// Steps of one input at most; the rest of it is not looked at.
const STEPS_MAX: usize = 400;

/// Durations that may pass, in milliseconds: below and above every limit of time.
const PAUSES_MS: [u64; 6] = [1, 100, 1_000, 6_000, 31_000, 4_000_000];

/// Connections of one client, one after the other.
const CONNECTIONS_MAX: usize = 4;

/// Drives connections from their first byte to their end.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = Arc::new(config(&mut choices));
    let mut left = None;
    for _ in 0..CONNECTIONS_MAX {
        let mut world = World::new(&config, left);
        if choices.flag() {
            world.receive(&client::connect(&mut choices), false);
            world.authenticated(&mut choices);
            world.attached(&mut choices);
        }
        for _ in 0..STEPS_MAX {
            if choices.is_empty() || world.is_gone() || step(&mut choices, &mut world) == Goes::ToTheNext {
                break;
            }
        }
        left = world.end();
        if choices.is_empty() {
            return;
        }
    }
}

/// Whether the input goes on with this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    On,
    ToTheNext,
}

fn config(choices: &mut Choices<'_>) -> ConnectionConfig {
    ConnectionConfig {
        partitions_count: choices.pick(&[1, 3, 70]),
        packet_bytes_max: choices.pick(&[4_096, 200, 60_000]),
        receive_maximum: choices.pick(&[20, 1, 3]),
        topic_alias_maximum: choices.pick(&[4, 0, u16::MAX]),
        publishes_count_max: choices.pick(&[20, 1, 200]),
        publishes_bytes_max: choices.pick(&[1 << 20, 500]),
        deliveries_count_max: choices.pick(&[30, 1, 500]),
        deliveries_bytes_max: choices.pick(&[3_000, 1, 1 << 20]),
        output_bytes_max: choices.pick(&[400, 20, 60_000]),
        subscriptions_per_client_max: choices.pick(&[1_000, 1]),
        client_topic_alias_maximum: choices.pick(&[0, 2, 32]),
        session_expiry_max_s: choices.pick(&[3_600, 0, 10]),
        authentication: choices.pick(&[Authentication::AllowAnonymous, Authentication::Required]),
        ..ConnectionConfig::default()
    }
}

fn step(choices: &mut Choices<'_>, world: &mut World) -> Goes {
    let version = world.version();
    match choices.byte() % 20 {
        0..=4 => {
            let is_split = choices.flag();
            let packets = client::packets(choices, version);
            world.receive(&packets, is_split);
        }
        5 => world.receive(choices.counted(), false),
        6 => world.attached(choices),
        7 | 8 => world.answer_publish(choices),
        9 => world.answer_subscribe(choices),
        10 | 11 => world.deliver(choices),
        12 => world.written(choices),
        13 | 14 => world.acknowledge(choices),
        15 => world.advance(Duration::from_millis(choices.pick(&PAUSES_MS))),
        16 => world.authenticated(choices),
        17 => world.suspended(choices),
        _ => match choices.byte() % 16 {
            0 => world.take_over(),
            1 => world.stop(),
            2 => world.close(),
            3 => world.access_changed(choices.flag()),
            4 => return Goes::ToTheNext,
            _ => world.drain(),
        },
    }
    Goes::On
}
