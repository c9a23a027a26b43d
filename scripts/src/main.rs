//! scripts: to be written.

fn main() {}
