//! libFuzzer target: see [`lockgate_fuzz::report::lines`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::report::lines(data));
