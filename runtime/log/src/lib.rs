//! partition-log: to be written.
