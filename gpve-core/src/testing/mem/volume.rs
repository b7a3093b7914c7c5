//! Volumes as a host holds them.

use super::image::Image;
use crate::error::{Error, Result};
use crate::ports::{ContentKind, Volume, VolumeMode};
use crate::types::{ByteSize, DiskFormat, SnapName, Timestamp, Vmid, VolumeId};

/// One volume.
#[derive(Debug, Clone)]
pub(super) struct MemVolume {
    pub(super) content: ContentKind,
    pub(super) format: DiskFormat,
    pub(super) size: ByteSize,
    pub(super) owner: Option<Vmid>,
    pub(super) parent: Option<VolumeId>,
    pub(super) created: Timestamp,
    /// A template's disk: never written again.
    pub(super) base: bool,
    pub(super) attached: Option<VolumeMode>,
    pub(super) image: Image,
    pub(super) snapshots: Vec<MemSnapshot>,
}

/// A volume's state at one moment.
#[derive(Debug, Clone)]
pub(super) struct MemSnapshot {
    pub(super) name: SnapName,
    pub(super) size: ByteSize,
    pub(super) image: Image,
}

impl MemVolume {
    /// An empty disk.
    pub(super) fn disk(owner: Vmid, format: DiskFormat, size: ByteSize, created: Timestamp) -> Self {
        Self {
            content: ContentKind::Images,
            format,
            size,
            owner: Some(owner),
            parent: None,
            created,
            base: false,
            attached: None,
            image: Image::default(),
            snapshots: Vec::new(),
        }
    }

    pub(super) fn show(&self, id: VolumeId) -> Volume {
        let kept = self.snapshots.iter().map(|s| s.image.used()).sum::<u64>();
        Volume {
            id,
            content: self.content,
            format: self.format,
            size: self.size,
            used: ByteSize::from_bytes(self.image.used() + kept),
            owner: self.owner,
            parent: self.parent.clone(),
            created: Some(self.created),
        }
    }

    pub(super) fn snapshot(&self, op: &str, name: &SnapName) -> Result<&MemSnapshot> {
        let found = self.snapshots.iter().find(|s| s.name == *name);
        found.ok_or_else(|| Error::not_found(op, format!("snapshot {name}")))
    }

    /// Takes a snapshot; false if there was one of that name.
    pub(super) fn take(&mut self, name: &SnapName) -> bool {
        if self.snapshots.iter().any(|s| s.name == *name) {
            return false;
        }
        self.snapshots.push(MemSnapshot { name: name.clone(), size: self.size, image: self.image.clone() });
        true
    }

    /// Deletes a snapshot; false if there was none.
    pub(super) fn forget(&mut self, name: &SnapName) -> bool {
        let before = self.snapshots.len();
        self.snapshots.retain(|s| s.name != *name);
        self.snapshots.len() != before
    }
}
