//! What qemu-img prints.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gpve_storage::fuzz::qemu_img_output(data));
