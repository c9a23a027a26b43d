//! mqtt: to be written.
