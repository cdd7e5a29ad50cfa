//! libFuzzer target: see [`lockgate_fuzz::authority::http2`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::authority::http2(data));
