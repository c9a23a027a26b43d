//! libFuzzer's entry to `fuzz::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::record::run(input));
