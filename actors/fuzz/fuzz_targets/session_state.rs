//! libFuzzer's entry to `fuzz::session_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::session_state::run(input));
