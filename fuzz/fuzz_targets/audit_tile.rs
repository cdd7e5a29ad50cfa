//! libFuzzer target: see [`lockgate_fuzz::audit::tile`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::audit::tile(data));
