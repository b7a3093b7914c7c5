//! Disk images from outside.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gpve_storage::fuzz::image_header(data));
