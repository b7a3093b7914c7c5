//! Volumes as they are asked for and shown.

use gpve_core::ports::{ContentKind, Volume};
use gpve_core::types::{ByteSize, DiskFormat, NodeName, Vmid, VolumeId, VolumeName};
use serde::{Deserialize, Serialize};

use super::Rfc3339;

/// A volume to be made, which no slot uses yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeRequest {
    /// The guest it is for, which need not exist.
    pub vmid: Vmid,
    /// Its virtual size.
    pub size: ByteSize,
    /// Its name on the storage (`100/vm-100-disk-7.qcow2`); absent: the first free one, which the task's log tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<VolumeName>,
    /// Its layout; absent: the storage's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
}

/// A volume as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeView {
    /// `STORAGE:NAME`, as a disk's source has it.
    pub id: VolumeId,
    /// The node that was asked.
    pub node: NodeName,
    /// What it is for.
    pub content: ContentKind,
    /// Layout of its bytes; raw for everything that is no disk.
    pub format: DiskFormat,
    /// Virtual size.
    pub size: ByteSize,
    /// Space it takes.
    pub used: ByteSize,
    /// The guest it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    /// The volume that it is a linked copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<VolumeId>,
    /// When it was made, if the storage knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Rfc3339>,
}

impl VolumeView {
    /// A volume that `node` has told of.
    pub fn of(node: NodeName, volume: Volume) -> Self {
        let Volume { id, content, format, size, used, owner, parent, created } = volume;
        Self { id, node, content, format, size, used, vmid: owner, parent, created: created.map(Rfc3339) }
    }
}
