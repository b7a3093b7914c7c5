//! Where the control plane's state is in the store.

use crate::error::{Error, Result};
use crate::ports::Key;
use crate::types::{Namespace, NodeName, Vmid};

/// Everything of this control plane; the cache watches it.
pub(super) const ROOT: &str = "/gpve/v1/";
/// Guests by number.
pub(super) const GUESTS: &str = "/gpve/v1/guests/";
/// Numbers given out by `next_vmid`, each bound to a lease.
pub(super) const VMID_LEASES: &str = "/gpve/v1/vmid-leases/";
/// Nodes' settings by name.
pub(super) const NODES: &str = "/gpve/v1/nodes/";
/// Results remembered under idempotency keys, each bound to a lease.
pub(super) const IDEMPOTENCY: &str = "/gpve/v1/idempotency/";
/// Audit entries by position.
pub(super) const AUDIT: &str = "/gpve/v1/audit/";

/// The key of a guest's object.
pub(super) fn guest(vmid: Vmid) -> Result<Key> {
    key(format!("{GUESTS}{vmid}"))
}

/// The key that makes an object's name unique in its namespace; its value is the guest's number.
pub(super) fn name(namespace: &Namespace, name: &str) -> Result<Key> {
    key(format!("{ROOT}names/{namespace}/{name}"))
}

/// The key that keeps a number from being given out again.
pub(super) fn vmid_lease(vmid: Vmid) -> Result<Key> {
    key(format!("{VMID_LEASES}{vmid}"))
}

/// The key of a node's settings.
pub(super) fn node(name: &NodeName) -> Result<Key> {
    key(format!("{NODES}{name}"))
}

/// The key of a remembered request; `digest` is hexadecimal.
pub(super) fn idempotency(digest: &str) -> Result<Key> {
    key(format!("{IDEMPOTENCY}{digest}"))
}

/// The key of an audit entry. Positions are padded so that key order is their order.
pub(super) fn audit(position: u64) -> Result<Key> {
    key(format!("{AUDIT}{position:020}"))
}

/// The key of the audit chain's end.
pub(super) fn audit_head() -> Result<Key> {
    key(format!("{ROOT}audit-head"))
}

/// The guest that `key` belongs to, if it is a guest's key.
pub(super) fn vmid_of(key: &Key) -> Option<Vmid> {
    key.as_str().strip_prefix(GUESTS)?.parse().ok()
}

/// The number that `key` leases, if it is such a key.
pub(super) fn leased_vmid(key: &Key) -> Option<Vmid> {
    key.as_str().strip_prefix(VMID_LEASES)?.parse().ok()
}

/// The node whose settings `key` holds, if it is such a key.
pub(super) fn node_of(key: &Key) -> Option<NodeName> {
    key.as_str().strip_prefix(NODES)?.parse().ok()
}

fn key(text: String) -> Result<Key> {
    text.parse().map_err(|e: crate::types::TextError| Error::internal("store.key", e.to_string()))
}
