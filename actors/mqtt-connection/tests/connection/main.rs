//! One connection on exact virtual time: bytes and messages in, effects out.

mod connecting;
mod delivering;
mod ending;
mod model;
mod publishing;
mod reading;
mod subscribing;
mod support;
