//! Lines of QMP, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gpve_qmp::fuzz::codec(data));
