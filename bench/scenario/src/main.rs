//! bench-scenario: to be written.

fn main() {}
