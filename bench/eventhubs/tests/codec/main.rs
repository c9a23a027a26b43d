//! The codec: golden bytes in both directions, and properties.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod properties;
