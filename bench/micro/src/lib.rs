//! bench-micro: to be written.
