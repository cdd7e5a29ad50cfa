//! libFuzzer target: see [`lockgate_fuzz::headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::headers(data));
