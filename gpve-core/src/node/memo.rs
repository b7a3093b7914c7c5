//! What a node's sagas know: decided before it is done, and in the log before it is on the host.

use serde::{Deserialize, Serialize};

use crate::types::{DiskSlot, VmSpec, VolumeId};

/// Memory of one saga. Every field is empty until a step decides it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memo {
    /// The spec that is being made true, with names decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<Box<VmSpec>>,
    /// Volumes that this saga makes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<PlannedVolume>,
    /// The guest that the volumes are for, if it is not the one that the saga works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<crate::types::Vmid>,
    /// Volumes that go when the saga is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) doomed: Vec<VolumeId>,
    /// The guest was running when the saga began.
    pub(crate) was_running: bool,
    /// Paths of the spec that took effect in the running guest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) applied: Vec<String>,
}

/// A volume with its name decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedVolume {
    /// The slot it is for.
    pub(crate) slot: Option<DiskSlot>,
    /// Its id.
    pub(crate) id: VolumeId,
    /// Where its bytes come from.
    pub(crate) from: VolumeOrigin,
    /// It did not exist when it was planned; only then an undo may delete it.
    pub(crate) ours: bool,
}

/// Where the bytes of a planned volume come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VolumeOrigin {
    /// Nowhere: it is empty.
    Empty {
        /// Virtual size.
        size: crate::types::ByteSize,
        /// Layout.
        format: crate::types::DiskFormat,
    },
    /// An image.
    Image {
        /// Which.
        from: crate::types::ImportSource,
        /// Layout of the image.
        source_format: crate::types::DiskFormat,
        /// State of the image at this snapshot.
        snapshot: Option<crate::types::SnapName>,
        /// Layout of the volume.
        format: crate::types::DiskFormat,
    },
    /// Shared blocks with another volume of the same storage.
    Linked {
        /// Which.
        source: VolumeId,
        /// Its state at this snapshot.
        snapshot: Option<crate::types::SnapName>,
    },
}
