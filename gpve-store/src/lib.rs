#![doc = include_str!("../README.md")]
//!
//! ## Map
//!
//! - `request`: the port's limits, checked before anything else happens.
//! - `apply`: what a transaction means, for every store that keeps its own table.
//! - `watch`: who is told about a commit, and how a watcher that is behind catches up.
//! - `lease`: who is alive until when.
//! - `mem`, `embedded`: the stores.
//!
//! Invariants: revisions have no gaps; nothing is visible before it is durable; no answer before it is durable; the
//! writer waits for the disk and for nothing else.

mod apply;
mod embedded;
mod lease;
mod mem;
mod request;
mod watch;

pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use mem::MemStore;
pub use request::{MAX_LEASES, MAX_TTL, MIN_TTL};
pub use watch::MAX_WATCHES;

/// Revisions of history that a store keeps unless told otherwise: minutes of a busy cluster, so that a client that was
/// away for a moment resumes its watch instead of listing again.
pub const HISTORY_REVISIONS: u64 = 20_000;
