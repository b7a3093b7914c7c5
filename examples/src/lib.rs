//! Programs that use the gpve crates as a third party would; each is a file in `examples/`.
//!
//! - `no_daemon`: a virtual machine on a qcow2 disk, from nothing to power-off, without any daemon.
