//! libFuzzer target: see [`lockgate_fuzz::tokens::jwk_set`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::tokens::jwk_set(data));
