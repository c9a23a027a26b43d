//! JSON as Azure IoT Operations writes it, from the wire's bytes straight into the payload.
//!
//! | File | Its idea |
//! |---|---|
//! | `sink.rs` | where text goes |
//! | `text.rs` | strings, escaped and always UTF-8 |
//! | `timestamp.rs` | dates with seven digits |
//! | `value.rs` | a Variant as JSON |

pub(crate) mod sink;
pub(crate) mod text;
pub(crate) mod timestamp;
pub(crate) mod value;
