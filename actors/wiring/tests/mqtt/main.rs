//! The standard, statement by statement, at a broker in memory.
//!
//! A comment `// proves 5.0: ...` or `// proves 3.1.1: ...` above a test names the statements that it proves, by the ids of
//! `actors/mqtt/statements/`; `actors/mqtt/STATEMENTS.md` is made of them.

#![expect(clippy::unwrap_used, reason = "what is not there fails its test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "what is not awaited fails its test")]

mod acknowledging;
mod authenticating;
mod closing;
mod connecting;
mod explaining;
mod formats;
mod harness;
mod publishing;
mod retaining;
mod sessions;
mod sharing;
mod subscribing;
mod topics;
