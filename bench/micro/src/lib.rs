//! What the benches of hot paths lean on: actors in the state in which they work, and inputs for them.
//!
//! | Bench | Hot path |
//! |---|---|
//! | `opcua_visitor` | a PublishResponse is walked over; of ten values of a tag, the newest is kept |
//! | `message_writer` | the same, and every value is written as JSON into a publication |
//! | `publication` | a record is built in place, and shared |
//! | `egress_batch` | events fill a batch, it closes, and it settles |
//!
//! `cargo bench -p bench-micro` measures; with `-- --test` each runs once, with tiny inputs, which CI does.

pub mod batcher;
pub mod record;
pub mod session;
