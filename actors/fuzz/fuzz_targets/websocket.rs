//! libFuzzer's entry to `fuzz::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::websocket::run(input));
