//! libFuzzer target: see [`lockgate_fuzz::envelope`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::envelope(data));
