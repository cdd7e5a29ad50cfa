//! libFuzzer target: see [`lockgate_fuzz::audit::checkpoint`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::audit::checkpoint(data));
