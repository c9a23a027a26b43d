//! The live view of a running process: a screen in a terminal, plain lines elsewhere.

mod draw;
mod plain;
mod rates;
mod status;
mod watch;

pub(crate) use plain::summary;
pub(crate) use rates::{Rates, Totals};
pub(crate) use status::status;
pub(crate) use watch::{View, watch};
