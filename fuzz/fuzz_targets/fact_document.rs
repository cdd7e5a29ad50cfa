//! libFuzzer target: see [`lockgate_fuzz::facts::document`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::facts::document(data));
