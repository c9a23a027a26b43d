//! libFuzzer's entry to `fuzz::notifications`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::notifications::run(input));
