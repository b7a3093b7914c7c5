//! Programs that use the gpve crates as a third party would; each is a file in `examples/` that shows what it prints.
//!
//! - `no_daemon`: a virtual machine on a qcow2 disk, from nothing to power-off, without any daemon.
//! - `cloud_image`: from a disk image to a machine that runs it.
//! - `live_status`: the embedded engine, and a watch that tells every change.
//! - `storage_manager`: storage alone: create, snapshot, clone.
//! - `plugin`: an engine with a storage plugin of one's own.
//! - `client`: a client against a server: create, wait, console, delete.
//!
//! `out-of-tree/` is a workspace of its own: plugins as others would write and test them.

/// The Rust blocks of `docs/rust.md`, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
pub struct RustPage;
