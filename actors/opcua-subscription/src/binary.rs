//! The binary encoding of Part 6 §5.2, walked in place: nothing is built, nothing is copied, no input panics.
//!
//! | File | Its idea |
//! |---|---|
//! | `reader.rs` | fields of fixed and variable length, off a slice |
//! | `variant.rs` | how long a Variant is, and what it holds |
//! | `data_value.rs` | a DataValue's parts |
//! | `notification.rs` | PublishResponse, NotificationMessage and the notifications in it |

pub(crate) mod data_value;
pub(crate) mod notification;
pub(crate) mod reader;
pub(crate) mod variant;

pub use reader::DecodeError;
