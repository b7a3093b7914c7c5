//! Where a node keeps what in its own store.

use crate::error::{Error, Result};
use crate::ports::Key;
use crate::types::{OperationId, Vmid};

/// Guests' records.
pub(super) const GUESTS: &str = "/node/guests/";
/// Tasks, by serial number.
pub(super) const TASKS: &str = "/node/tasks/";

fn key(text: String) -> Result<Key> {
    text.parse().map_err(|e: crate::types::TextError| Error::internal("node.key", e.to_string()))
}

/// A guest's record.
pub(super) fn guest(vmid: Vmid) -> Result<Key> {
    key(format!("{GUESTS}{vmid}"))
}

/// A task's record. Serial numbers sort as text.
pub(super) fn task(serial: u64) -> Result<Key> {
    key(format!("{TASKS}{serial:016x}"))
}

/// Which task an operation became.
pub(super) fn operation(id: &OperationId) -> Result<Key> {
    key(format!("/node/operations/{id}"))
}

/// Prefix of a task's log.
pub(super) fn log_prefix(serial: u64) -> String {
    format!("/node/logs/{serial:016x}/")
}

/// A chunk of a task's log.
pub(super) fn log_chunk(serial: u64, chunk: u32) -> Result<Key> {
    key(format!("{}{chunk:08x}", log_prefix(serial)))
}
