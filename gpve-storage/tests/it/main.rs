//! Integration tests of gpve-storage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types, reason = "tests")]

mod arguments;
mod escape;
mod host_clone;
mod host_conformance;
mod host_crash;
mod host_full;
mod host_header;
mod host_import;
mod host_snapshot;
mod manager;
mod property;
mod pve_convert;
mod pve_tables;
mod support;
mod unfinished;
mod volumes;
