//! libFuzzer target: see [`lockgate_fuzz::openapi::call`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::openapi::call(data));
