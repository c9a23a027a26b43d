//! A broker in memory, on virtual time: bytes of clients in, bytes to clients out.
//!
//! The packets are written and read here apart from `actors/mqtt`, which is under test.

mod authenticator;
mod bytes;
mod client_packet;
mod server_packet;
mod world;

pub(crate) use client_packet::{
    Connect, Publish, Will, connect, disconnect, packet, publish, subscribe, unsubscribe, user,
};
pub(crate) use server_packet::{Delivered, Packet, Properties, Value, publishes};
pub(crate) use world::{Broker, Client, Setup, Shape};

/// Which version a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

pub(crate) use Version::{V5, V311};

/// Runs a test of one version on a broker of one core and on one of two.
pub(crate) fn on_each_shape(test: impl Fn(&mut Broker)) {
    for shape in [Shape::OneCore, Shape::TwoCores] {
        test(&mut Broker::new(shape, Setup::default()));
    }
}

/// Runs a test of both versions on a broker of one core and on one of two.
pub(crate) fn on_each_shape_and_version(test: impl Fn(&mut Broker, Version)) {
    for version in [V311, V5] {
        on_each_shape(|broker| test(broker, version));
    }
}
