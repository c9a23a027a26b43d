//! libFuzzer's entry to `fuzz::mqtt_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::mqtt_stream::run(input));
