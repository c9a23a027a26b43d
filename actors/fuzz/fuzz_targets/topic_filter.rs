//! libFuzzer's entry to `fuzz::topic_filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::topic_filter::run(input));
