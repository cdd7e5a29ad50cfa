//! libFuzzer target: see [`lockgate_fuzz::probe::answer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::probe::answer(data));
