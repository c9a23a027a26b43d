//! One connection on exact virtual time: bytes and messages in, effects out.

mod connecting;
#[expect(dead_code, reason = "each file of tests uses a part")]
mod support;
