//! The crate's integration tests, in one binary.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests make their own QEMUs and look at the clock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod agent;
mod argv;
mod client;
mod host_driver;
mod host_firmware;
mod host_guest;
mod host_hardware;
mod host_probe;
mod host_qemu;
mod host_tpm;
mod link;
mod pool;
mod real;
