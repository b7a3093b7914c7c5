//! The `StoragePlugin` port: places that hold volumes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cx::{Ensured, OpCx, Removed};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{ByteSize, DiskFormat, SnapName, StorageId, Timestamp, Vmid, VolumeId, VolumeName};

/// What a volume is for, in PVE's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentKind {
    /// Disks of machines.
    Images,
    /// CD-ROM images.
    Iso,
    /// Backups.
    Backup,
    /// Small files for cloud-init and hooks.
    Snippets,
    /// Container roots.
    Rootdir,
    /// Container templates.
    Vztmpl,
    /// Disk images to import from.
    Import,
}

impl ContentKind {
    /// Every kind.
    pub const ALL: [ContentKind; 7] = [Self::Images, Self::Iso, Self::Backup, Self::Snippets, Self::Rootdir, Self::Vztmpl, Self::Import];

    /// What a volume that a drive holds is, by its name.
    pub fn of_drive(name: &VolumeName) -> Self {
        match name.as_ref().split_once('/') {
            Some(("iso", _)) => Self::Iso,
            Some(("import", _)) => Self::Import,
            _ => Self::Images,
        }
    }

    /// PVE's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Iso => "iso",
            Self::Backup => "backup",
            Self::Snippets => "snippets",
            Self::Rootdir => "rootdir",
            Self::Vztmpl => "vztmpl",
            Self::Import => "import",
        }
    }
}

impl std::fmt::Display for ContentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ContentKind {
    type Err = crate::types::TextError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|k| k.as_str() == s)
            .ok_or_else(|| crate::types::TextError::new(s, "content type", "one of images, iso, backup, snippets, rootdir, vztmpl, import"))
    }
}

/// What a storage can hold. What it can *do* shows in its facets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageCapabilities {
    /// Contents it is configured for.
    pub contents: BTreeSet<ContentKind>,
    /// Formats of disks it can make, the default first.
    pub formats: Vec<DiskFormat>,
    /// Every node sees the same volumes.
    pub shared: bool,
}

impl StorageCapabilities {
    /// Proves that a volume of `name` may be used from a storage with these contents; `storage` is its name.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`]: the storage is not configured for it.
    pub fn allow_use(&self, storage: &StorageId, name: &VolumeName) -> Result<()> {
        let content = ContentKind::of_drive(name);
        if self.contents.contains(&content) {
            return Ok(());
        }
        let message = format!("storage '{storage}' does not support content-type '{content}'");
        Err(Error::new(ErrorKind::FailedPrecondition, "volume.attach", message))
    }
}

/// Space of a storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// All space.
    pub total: ByteSize,
    /// Space in use, by anybody.
    pub used: ByteSize,
    /// Space that can still be used.
    pub available: ByteSize,
    /// It answers.
    pub active: bool,
}

/// A volume as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// What it is for.
    pub content: ContentKind,
    /// Layout of its bytes; for other contents than images the file's kind (`iso`, `snippet`) is told by `content`
    /// and this is raw.
    pub format: DiskFormat,
    /// Virtual size.
    pub size: ByteSize,
    /// Space it takes.
    pub used: ByteSize,
    /// The guest it belongs to.
    pub owner: Option<Vmid>,
    /// The volume it was linked-cloned from.
    pub parent: Option<VolumeId>,
    /// When it was made, if the storage knows.
    pub created: Option<Timestamp>,
}

/// Which volumes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFilter {
    /// Only this content.
    pub content: Option<ContentKind>,
    /// Only this guest's.
    pub owner: Option<Vmid>,
}

/// A disk to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Its name, as [`StoragePlugin::free_name`] gave it.
    pub name: VolumeName,
    /// The guest it belongs to.
    pub owner: Vmid,
    /// Layout.
    pub format: DiskFormat,
    /// Virtual size; rounded up to what the storage can do.
    pub size: ByteSize,
}

/// How a volume is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeMode {
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// One image below a linked clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackingFile {
    /// Absolute path, made by the plugin.
    pub path: PathBuf,
    /// Layout of its bytes.
    pub format: DiskFormat,
}

/// How an attached volume is reached on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeAccess {
    /// A file.
    File {
        /// Absolute path, made by the plugin, never by a client.
        path: PathBuf,
        /// Layout of its bytes.
        format: DiskFormat,
        /// Opened read-only.
        read_only: bool,
        /// What it reads through where it has no data of its own, nearest first; empty for all but linked clones. A
        /// driver opens each read-only and names it to QEMU itself: the reference inside the image is not to be trusted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backing: Vec<BackingFile>,
    },
    /// A block device.
    Block {
        /// Absolute path.
        path: PathBuf,
        /// Opened read-only.
        read_only: bool,
    },
    /// Nothing on the host: a fake.
    Memory {
        /// Which volume, for fakes that read each other's.
        volume: VolumeId,
        /// Layout.
        format: DiskFormat,
    },
}

/// A storage. Third parties implement it with `gpve-core` alone and prove it with
/// [`testing::conformance::storage`](crate::testing::conformance::storage).
#[async_trait]
pub trait StoragePlugin: Send + Sync + 'static {
    /// Its name in the configuration.
    fn id(&self) -> &StorageId;

    /// Its type (`dir`).
    fn kind(&self) -> &str;

    /// What it can hold.
    fn capabilities(&self) -> &StorageCapabilities;

    /// Space. An unreachable storage answers `active: false`, no error.
    async fn status(&self, cx: &OpCx) -> Result<StorageStatus>;

    /// Volumes in name order.
    async fn list(&self, cx: &OpCx, filter: &VolumeFilter) -> Result<Vec<Volume>>;

    /// One volume; `None` if it is not there.
    async fn get(&self, cx: &OpCx, name: &VolumeName) -> Result<Option<Volume>>;

    /// The first free name for a disk of `owner` that is not in `taken` (`100/vm-100-disk-0.qcow2`). Reserves nothing.
    async fn free_name(&self, cx: &OpCx, owner: Vmid, format: DiskFormat, taken: &[VolumeName]) -> Result<VolumeName>;

    /// Makes a disk. `Already` if one of this name with at least this size is there (a repeated step). A failed create
    /// leaves nothing.
    async fn create(&self, cx: &OpCx, request: &CreateVolume) -> Result<Ensured<Volume>>;

    /// Deletes a volume with its snapshots. Refuses one that linked clones depend on.
    async fn delete(&self, cx: &OpCx, name: &VolumeName) -> Result<Removed>;

    /// Makes a volume usable on this host. Idempotent.
    async fn attach(&self, cx: &OpCx, name: &VolumeName, mode: VolumeMode) -> Result<VolumeAccess>;

    /// Undoes [`StoragePlugin::attach`]. Idempotent, also for a volume that is gone.
    async fn detach(&self, cx: &OpCx, name: &VolumeName) -> Result<()>;

    /// Snapshots.
    fn snapshots(&self) -> Option<&dyn VolumeSnapshots> {
        None
    }

    /// Linked and full clones.
    fn clones(&self) -> Option<&dyn VolumeClones> {
        None
    }

    /// Growing.
    fn resize(&self) -> Option<&dyn VolumeResize> {
        None
    }

    /// Making disks from images.
    fn import(&self) -> Option<&dyn VolumeImport> {
        None
    }

    /// Taking in files.
    fn upload(&self) -> Option<&dyn VolumeUpload> {
        None
    }

    /// Small volumes as bytes: snippets, and the drives that cloud-init reads.
    fn contents(&self) -> Option<&dyn VolumeContents> {
        None
    }
}

/// Snapshots of volumes that no process has open.
#[async_trait]
pub trait VolumeSnapshots: Send + Sync {
    /// True if volumes of this format have snapshots here.
    fn supports(&self, format: DiskFormat) -> bool;

    /// Takes one. Idempotent per name.
    async fn take(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Ensured<()>>;

    /// Sets the volume back to one; the snapshot stays.
    async fn rollback(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<()>;

    /// Deletes one.
    async fn delete(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Removed>;

    /// Names, oldest first.
    async fn list(&self, cx: &OpCx, volume: &VolumeName) -> Result<Vec<SnapName>>;
}

/// A clone to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneVolume {
    /// What is cloned.
    pub source: VolumeName,
    /// Its state at this snapshot instead of now.
    pub snapshot: Option<SnapName>,
    /// Name of the clone.
    pub name: VolumeName,
    /// Owner of the clone.
    pub owner: Vmid,
}

/// Clones.
#[async_trait]
pub trait VolumeClones: Send + Sync {
    /// True if a linked clone of a volume of this format can be made here.
    fn supports_linked(&self, format: DiskFormat) -> bool;

    /// A clone that shares blocks with its source, which must not be written any more. Idempotent per name.
    async fn linked(&self, cx: &OpCx, request: &CloneVolume) -> Result<Ensured<Volume>>;

    /// Makes a volume a template's base: read-only from now on, linked clones allowed. Idempotent. The volume's id may
    /// change (PVE renames `vm-100-disk-0` to `base-100-disk-0`).
    async fn make_base(&self, cx: &OpCx, volume: &VolumeName) -> Result<VolumeId>;
}

/// Growing volumes that no process has open.
#[async_trait]
pub trait VolumeResize: Send + Sync {
    /// Grows to at least `size`; shrinking is refused. Idempotent.
    async fn grow(&self, cx: &OpCx, volume: &VolumeName, size: ByteSize) -> Result<ByteSize>;
}

/// A disk to make from an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportVolume {
    /// Where the image is: another storage's attached volume, or a file that the administrator named.
    pub source: VolumeAccess,
    /// State of the source at this snapshot instead of now.
    pub snapshot: Option<SnapName>,
    /// Name of the new disk.
    pub name: VolumeName,
    /// Owner of the new disk.
    pub owner: Vmid,
    /// Layout of the new disk.
    pub format: DiskFormat,
}

/// Making disks from images; also what full clones use.
#[async_trait]
pub trait VolumeImport: Send + Sync {
    /// Copies and converts. Progress goes to the task's log. A failed import leaves nothing. Refuses sources that refer
    /// to other files (backing files, data files, extents) unless the source is a volume of a gpve storage.
    async fn import(&self, cx: &OpCx, request: &ImportVolume) -> Result<Ensured<Volume>>;
}

/// Small volumes as bytes, read and written whole.
#[async_trait]
pub trait VolumeContents: Send + Sync {
    /// The bytes of a file (a snippet, not a disk). Refuses one of more than `max` bytes.
    async fn read(&self, cx: &OpCx, volume: &VolumeName, max: usize) -> Result<Bytes>;

    /// Makes a disk, of whatever format, hold `bytes` from its beginning and zeros behind them; its size stays. Refuses more
    /// bytes than that, and a base. To be repeated after a crash. Who has the volume open meanwhile sees the bytes of before
    /// or the new ones once it opens it again.
    async fn write(&self, cx: &OpCx, volume: &VolumeName, bytes: Bytes) -> Result<()>;
}

/// Taking in files (ISO images, snippets, images to import).
#[async_trait]
pub trait VolumeUpload: Send + Sync {
    /// Writes a file whose bytes come from `chunks`; it appears under its name only when it is whole. Refuses a name
    /// that is taken.
    async fn upload(
        &self,
        cx: &OpCx,
        content: ContentKind,
        file_name: &str,
        chunks: &mut (dyn futures_util::Stream<Item = Result<Bytes>> + Send + Unpin),
    ) -> Result<Volume>;
}
