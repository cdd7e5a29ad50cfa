//! libFuzzer target: see [`lockgate_fuzz::privacy::text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::privacy::text(data));
