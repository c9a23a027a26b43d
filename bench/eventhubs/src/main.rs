//! bench-eventhubs: to be written.

fn main() {}
