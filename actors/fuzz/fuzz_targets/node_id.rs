//! libFuzzer's entry to `fuzz::node_id`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::node_id::run(input));
