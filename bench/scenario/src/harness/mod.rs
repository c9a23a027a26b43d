//! The harness: starts everything as processes of their own, measures, and ends them.

pub(crate) mod calibration;
mod conversation;
pub(crate) mod interrupt;
pub(crate) mod kernel;
mod process;
pub(crate) mod profile;
pub(crate) mod run;
mod site;
pub(crate) mod snapshot;
pub(crate) mod window;

pub(crate) use site::{HUB, LOCAL_KEY, LOCAL_KEY_NAME};
