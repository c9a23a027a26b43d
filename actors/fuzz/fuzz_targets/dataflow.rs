//! libFuzzer's entry to `fuzz::dataflow`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::dataflow::run(input));
