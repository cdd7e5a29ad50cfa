//! libFuzzer target: see [`lockgate_fuzz::audit::witness`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::audit::witness(data));
