//! The program `bench-scenario`: all of it is the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_scenario::main()
}
