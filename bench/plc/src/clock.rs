//! The system clock in the resolution of OPC UA.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day in units of 100 ns since 1970-01-01 UTC.
pub(crate) fn now_100ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos() / 100).unwrap_or(i64::MAX)
}
