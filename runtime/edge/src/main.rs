//! millicore: to be written.

fn main() {}
