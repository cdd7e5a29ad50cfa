//! libFuzzer target: see [`lockgate_fuzz::arguments::arguments`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::arguments::arguments(data));
