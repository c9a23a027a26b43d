//! The harness: starts everything as processes of their own, measures, and ends them.

pub mod calibration;
mod conversation;
pub mod interrupt;
pub mod kernel;
pub mod process;
pub mod profile;
pub mod project;
pub(crate) mod run;
mod site;
pub(crate) mod snapshot;
pub(crate) mod window;

pub(crate) use site::{HUB, LOCAL_KEY, LOCAL_KEY_NAME};
