//! libFuzzer target: see [`lockgate_fuzz::audit::index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::audit::index(data));
