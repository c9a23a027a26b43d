//! wiring: to be written.
