//! libFuzzer target: see [`lockgate_fuzz::discover::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::discover::config(data));
