//! libFuzzer target: see [`lockgate_fuzz::policies::role_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::policies::role_file(data));
