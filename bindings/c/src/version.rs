//! Which library this is.

use std::ffi::c_char;

/// The version of the interface that this header describes; give it to gpve_abi_check.
pub const GPVE_ABI_VERSION: u32 = 1;

/// The version of the library, such as "0.1.0". Belongs to the library. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn gpve_version() -> *const c_char {
    const { concat!(env!("CARGO_PKG_VERSION"), "\0") }.as_ptr().cast()
}

/// The version of the interface that the loaded library has: 65536 times its major part, plus its minor part. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn gpve_abi_version() -> u32 {
    GPVE_ABI_VERSION
}

/// Whether the loaded library serves a program that was compiled for `expected`, which is GPVE_ABI_VERSION: the major part must be
/// the same, and the library's minor part as high or higher; while the major part is 0, the same. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn gpve_abi_check(expected: u32) -> bool {
    serves(GPVE_ABI_VERSION, expected)
}

const fn serves(library: u32, program: u32) -> bool {
    if library >> 16 == 0 { library == program } else { library >> 16 == program >> 16 && library >= program }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_serves_older_programs_of_its_major_version() {
        assert!(gpve_abi_check(gpve_abi_version()));
        assert!(!serves(1, 2) && !serves(2, 1));
        assert!(serves(0x1_0005, 0x1_0002) && !serves(0x1_0002, 0x1_0005) && !serves(0x2_0000, 0x1_0000));
    }
}
