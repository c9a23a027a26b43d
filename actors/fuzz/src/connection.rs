//! A whole mqtt-connection actor between a client, a shell and partitions that the input drives.
//!
//! The input's first bytes choose the limits; then each step is one byte for its kind, and what that kind asks for. Shell
//! and partitions keep to their contracts (`message.rs` of the actor), the client keeps to nothing. Partitions answer late,
//! in any order, or refuse; time passes between. At the end the socket closes, and all that is owed is answered.

mod client;
mod mirror;
mod world;

use std::time::Duration;

use contract::QoS;
use mqtt_connection::ConnectionConfig;

use crate::choices::Choices;
use world::World;

/// Steps of one input at most; the rest of it is not looked at.
const STEPS_MAX: usize = 400;

/// Durations that may pass, in milliseconds: below and above every limit of time.
const PAUSES_MS: [u64; 6] = [1, 100, 1_000, 6_000, 31_000, 4_000_000];

/// Drives a connection from its first byte to its end.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut world = World::new(config(&mut choices));
    if choices.flag() {
        world.receive(&client::connect(&mut choices), false);
        world.attached(choices.flag());
    }
    for _ in 0..STEPS_MAX {
        if choices.is_empty() || world.is_gone() {
            break;
        }
        step(&mut choices, &mut world);
    }
    world.end();
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
        ..ConnectionConfig::default()
    }
}

fn step(choices: &mut Choices<'_>, world: &mut World) {
    let version = world.version();
    match choices.byte() % 16 {
        0..=4 => {
            let is_split = choices.flag();
            let packets = client::packets(choices, version);
            world.receive(&packets, is_split);
        }
        5 => world.receive(choices.counted(), false),
        6 => world.attached(choices.flag()),
        7 | 8 => world.answer_publish(choices),
        9 => world.answer_subscribe(choices),
        10 | 11 => {
            let qos = choices.pick(&[QoS::AtLeastOnce, QoS::AtMostOnce]);
            let count = 1 + choices.below(40);
            let payload_bytes = choices.pick(&[4, 0, 60, 20_000]);
            let message_expiry_s = choices.pick(&[None, Some(1), Some(0)]);
            world.deliver(choices, qos, count, payload_bytes, message_expiry_s);
        }
        12 => world.written(choices),
        13 => world.acknowledge(choices),
        14 => world.advance(Duration::from_millis(choices.pick(&PAUSES_MS))),
        _ => match choices.byte() % 16 {
            0 => world.take_over(),
            1 => world.stop(),
            2 => world.close(),
            _ => world.drain(),
        },
    }
}
