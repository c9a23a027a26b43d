//! The simulated plant: OPC UA servers whose values say which change made them.
//!
//! | Module | Idea |
//! |---|---|
//! | [`value`] | a value carries tag and sequence number within the published size |
//! | [`names`] | what assets, tags and NodeIds are called |
//! | [`scenario`] | the `[plant]` table of a scenario file |
//! | [`truth`] | the lines in which the plant tells what it made |

pub mod names;
pub mod scenario;
pub mod truth;
pub mod value;
