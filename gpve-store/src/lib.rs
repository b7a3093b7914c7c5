#![doc = include_str!("../README.md")]

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
