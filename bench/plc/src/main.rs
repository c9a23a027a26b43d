//! The simulated plant as a process.

fn main() {}
