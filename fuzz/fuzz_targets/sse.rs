//! libFuzzer target: see [`lockgate_fuzz::sse`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::sse(data));
