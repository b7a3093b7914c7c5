//! Where volumes are: what QEMU and its tools are told of a volume of each of Proxmox VE's storage types.
//!
//! Pure: a [`Definition`] is an entry of `storage.cfg`, and [`Definition::locate`] a function of it and a volume's name. Nothing is asked of a
//! storage; what only the storage knows (the unit of an iSCSI target) is an argument.

mod definition;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use gpve_core::types::{DiskFormat, IscsiUnit, RbdImage, SnapName, StorageTraits};

pub use definition::{CephPool, Definition};

/// Where an image is and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Where it is.
    pub place: ImagePlace,
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// Its state at this snapshot, which is inside the image; a snapshot that is a volume of its own is in `place`.
    pub snapshot: Option<SnapName>,
    /// What is known of its storage.
    pub traits: StorageTraits,
    /// Copies go past the host's cache: it would only be in the way of the storage's own (ZFS).
    pub is_uncached: bool,
}

/// What has the bytes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePlace {
    /// A file.
    File(PathBuf),
    /// A block device.
    Device(PathBuf),
    /// An image of a Ceph cluster.
    Rbd(RbdImage),
    /// A unit of an iSCSI target.
    Iscsi(IscsiUnit),
}

impl Location {
    /// An image of this format, all of whose storage is ordinary.
    pub fn new(place: ImagePlace, format: DiskFormat) -> Self {
        Self { place, format, snapshot: None, traits: StorageTraits::default(), is_uncached: false }
    }

    /// A file or device of the host, of no storage: its name's ending says the format, any other is raw.
    pub fn of_host(path: &Path) -> Self {
        let format = path.extension().and_then(|ending| ending.to_str()).and_then(|ending| ending.parse().ok());
        let place = if path.starts_with("/dev") { ImagePlace::Device(path.into()) } else { ImagePlace::File(path.into()) };
        Self::new(place, format.unwrap_or(DiskFormat::Raw))
    }
}
