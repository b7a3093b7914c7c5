//! What QEMU says about its own commands.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gpve_qmp::fuzz::schema(data));
