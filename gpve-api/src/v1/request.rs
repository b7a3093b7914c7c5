//! Bodies of requests that are no objects.

use gpve_core::control::CloneGuest;
use gpve_core::ports::SnapshotReport;
use gpve_core::types::{DiskFormat, DiskSlot, GuestName, SnapName, StorageId, Vmid};
use serde::{Deserialize, Serialize};

use super::Rfc3339;

/// A copy to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CloneRequest {
    /// Name of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<GuestName>,
    /// Number of the copy; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    /// Free text of the copy; absent: that of the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Copy all blocks; absent: only if the original is no template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
    /// State at this snapshot instead of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapName>,
    /// Put full copies on this storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    /// Layout of full copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
}

impl CloneRequest {
    /// The clone of `source` that is asked for.
    pub fn of(self, source: Vmid) -> CloneGuest {
        CloneGuest {
            target: self.vmid,
            name: self.name,
            description: self.description,
            full: self.full,
            snapshot: self.snapshot,
            storage: self.storage,
            format: self.format,
            ..CloneGuest::of(source)
        }
    }
}

/// A disk to be grown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeRequest {
    /// The disk's slot.
    pub disk: DiskSlot,
    /// Its new size (`20Gi`), or what is added (`+5Gi`).
    pub size: String,
}

/// A snapshot to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotRequest {
    /// Its name.
    pub name: SnapName,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Save memory too.
    #[serde(default)]
    pub memory: bool,
}

/// What is changed of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotPatch {
    /// Its new free text.
    pub description: String,
}

/// A snapshot as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Name.
    pub name: SnapName,
    /// Free text.
    pub description: String,
    /// When it was taken.
    pub time: Rfc3339,
    /// The snapshot it was taken on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapName>,
    /// Whether it holds memory.
    pub memory: bool,
}

impl From<&SnapshotReport> for SnapshotView {
    fn from(s: &SnapshotReport) -> Self {
        Self { name: s.name.clone(), description: s.description.clone(), time: s.time.into(), parent: s.parent.clone(), memory: s.vmstate }
    }
}
