//! Snapshots.

use serde::Serialize;

/// A snapshot in a list. The last entry, `current`, is the present state.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SnapshotEntry {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The snapshot it was taken on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was taken, in Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaptime: Option<u64>,
    /// 1 if it holds memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmstate: Option<u8>,
    /// Of `current`: 1 if the guest runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u8>,
    /// Of `current`: digest of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl SnapshotEntry {
    /// The entry for the present state, which descends from `parent`.
    pub fn current(parent: Option<String>, running: bool, digest: String) -> Self {
        Self {
            name: "current".into(),
            description: "You are here!".into(),
            parent,
            running: Some(super::flag(running)),
            digest: Some(digest),
            ..Self::default()
        }
    }
}
