//! bench-plc: to be written.

fn main() {}
