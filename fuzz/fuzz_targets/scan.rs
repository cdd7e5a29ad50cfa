//! libFuzzer target: see [`lockgate_fuzz::detect::scan`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::detect::scan(data));
