//! Golden bytes of `vectors/`, both directions.

mod from_client;
mod support;
mod to_client;
