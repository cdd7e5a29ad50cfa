//! libFuzzer target: see [`lockgate_fuzz::crypto::document`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::crypto::document(data));
