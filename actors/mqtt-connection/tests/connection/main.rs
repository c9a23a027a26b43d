//! One connection on exact virtual time: bytes and messages in, effects out.

mod access_rules;
mod connecting;
mod delivering;
mod ending;
mod exactly_once;
mod lives;
mod model;
mod publishing;
mod reading;
mod sessions;
mod subscribing;
mod support;
