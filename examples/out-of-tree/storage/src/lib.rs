//! A storage plugin written outside gpve's tree: raw disks as files in one flat directory, named `vm-100-disk-0.raw`.
//!
//! It depends on `gpve-core` alone. It can make, list, grow and delete disks; it has no snapshots, clones or imports, and
//! so it simply does not have those facets. `tests/conformance.rs` proves it with gpve's own suite.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gpve_core::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{
    ContentKind, CreateVolume, Ensured, OpCx, Removed, StorageCapabilities, StoragePlugin, StorageStatus, Volume, VolumeAccess,
    VolumeFilter, VolumeMode, VolumeResize,
};
use gpve_core::types::{ByteSize, DiskFormat, StorageId, Vmid, VolumeId, VolumeName};

/// Raw disks in one directory.
pub struct FlatStorage {
    id: StorageId,
    directory: PathBuf,
    capabilities: StorageCapabilities,
}

impl FlatStorage {
    /// A storage `id` in `directory`, which must exist.
    pub fn new(id: StorageId, directory: impl Into<PathBuf>) -> Self {
        let capabilities = StorageCapabilities { contents: [ContentKind::Images].into(), formats: vec![DiskFormat::Raw], shared: false };
        Self { id, directory: directory.into(), capabilities }
    }

    /// Where a volume is; only names of our own form have a place, so that no name leads out of the directory.
    fn path(&self, name: &VolumeName) -> Option<(PathBuf, Vmid)> {
        Some((self.directory.join(name.as_str()), owner(name.as_str())?))
    }

    fn known(&self, op: &str, name: &VolumeName) -> Result<(PathBuf, Vmid)> {
        self.path(name).filter(|(path, _)| path.is_file()).ok_or_else(|| self.missing(op, name))
    }

    fn make(&self, request: &CreateVolume) -> Result<Ensured<Volume>> {
        let refuse = |field: &str, reason: &str| Error::field("volume.create", field, reason);
        if request.format != DiskFormat::Raw {
            return Err(refuse("format", "this storage makes raw disks only"));
        }
        let (path, owner) = self.path(&request.name).ok_or_else(|| refuse("name", "must be vm-VMID-disk-N.raw"))?;
        if owner != request.owner {
            return Err(refuse("name", "is another guest's"));
        }
        if path.is_file() {
            let there = self.volume(&request.name, &path, owner)?;
            if there.size < request.size {
                return Err(Error::already_exists("volume.create", format!("volume '{}', smaller than asked,", there.id)));
            }
            return Ok(Ensured::Already(there));
        }
        // Made whole under another name first: a crash leaves no half disk under the real one.
        let making = path.with_extension("making");
        let made = fs::File::create(&making).and_then(|f| f.set_len(request.size.bytes())).and_then(|()| fs::rename(&making, &path));
        if let Err(e) = made {
            let _ = fs::remove_file(&making);
            return Err(failed("volume.create", &e));
        }
        self.volume(&request.name, &path, owner).map(Ensured::Made)
    }

    fn missing(&self, op: &str, name: &VolumeName) -> Error {
        Error::not_found(op, format!("volume '{}:{name}'", self.id))
    }

    fn volume(&self, name: &VolumeName, path: &Path, owner: Vmid) -> Result<Volume> {
        let file = fs::metadata(path).map_err(|e| failed("volume.get", &e))?;
        Ok(Volume {
            id: VolumeId::new(self.id.clone(), name.clone()),
            content: ContentKind::Images,
            format: DiskFormat::Raw,
            size: ByteSize::from_bytes(file.len()),
            used: ByteSize::from_bytes(std::os::unix::fs::MetadataExt::blocks(&file) * 512),
            owner: Some(owner),
            parent: None,
            created: None,
        })
    }
}

/// `vm-VMID-disk-N.raw` belongs to guest VMID.
fn owner(name: &str) -> Option<Vmid> {
    let (vmid, index) = name.strip_prefix("vm-")?.strip_suffix(".raw")?.split_once("-disk-")?;
    index.parse::<u32>().ok()?;
    vmid.parse().ok()
}

fn failed(op: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::ResourceExhausted,
        io::ErrorKind::NotFound => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, op, error.to_string())
}

#[async_trait]
impl StoragePlugin for FlatStorage {
    fn id(&self) -> &StorageId {
        &self.id
    }

    fn kind(&self) -> &str {
        "flat"
    }

    fn capabilities(&self) -> &StorageCapabilities {
        &self.capabilities
    }

    async fn status(&self, cx: &OpCx) -> Result<StorageStatus> {
        let volumes = self.list(cx, &VolumeFilter::default()).await;
        let used = volumes.as_ref().map(|v| v.iter().map(|v| v.used).sum()).unwrap_or_default();
        // Without a call for the file system's size, what is in use is all that is known.
        Ok(StorageStatus { total: used, used, available: ByteSize::ZERO, active: volumes.is_ok() })
    }

    async fn list(&self, _cx: &OpCx, filter: &VolumeFilter) -> Result<Vec<Volume>> {
        if filter.content.is_some_and(|c| c != ContentKind::Images) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|e| failed("volume.list", &e))? {
            let entry = entry.map_err(|e| failed("volume.list", &e))?;
            let Some(name) = entry.file_name().to_str().and_then(|n| n.parse::<VolumeName>().ok()) else { continue };
            if let Some((path, owner)) = self.path(&name)
                && filter.owner.is_none_or(|o| o == owner)
            {
                found.push(self.volume(&name, &path, owner)?);
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    async fn get(&self, _cx: &OpCx, name: &VolumeName) -> Result<Option<Volume>> {
        match self.path(name) {
            Some((path, owner)) if path.is_file() => self.volume(name, &path, owner).map(Some),
            _ => Ok(None),
        }
    }

    async fn free_name(&self, _cx: &OpCx, owner: Vmid, _format: DiskFormat, taken: &[VolumeName]) -> Result<VolumeName> {
        let names = (0..u32::MAX).filter_map(|n| format!("vm-{owner}-disk-{n}.raw").parse::<VolumeName>().ok());
        let mut free = names.filter(|n| !taken.contains(n) && !self.directory.join(n.as_str()).exists());
        free.next().ok_or_else(|| Error::new(ErrorKind::ResourceExhausted, "volume.free_name", "all names are taken"))
    }

    async fn create(&self, cx: &OpCx, request: &CreateVolume) -> Result<Ensured<Volume>> {
        // Nothing is begun for somebody who no longer wants it.
        cx.run("volume.create", async { self.make(request) }).await
    }

    async fn delete(&self, _cx: &OpCx, name: &VolumeName) -> Result<Removed> {
        let Some((path, _)) = self.path(name) else { return Ok(Removed::WasAbsent) };
        match fs::remove_file(path) {
            Ok(()) => Ok(Removed::Gone),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Removed::WasAbsent),
            Err(e) => Err(failed("volume.delete", &e)),
        }
    }

    async fn attach(&self, _cx: &OpCx, name: &VolumeName, mode: VolumeMode) -> Result<VolumeAccess> {
        let (path, _) = self.known("volume.attach", name)?;
        Ok(VolumeAccess::File { path, format: DiskFormat::Raw, read_only: mode == VolumeMode::Read, backing: Vec::new() })
    }

    async fn detach(&self, _cx: &OpCx, _name: &VolumeName) -> Result<()> {
        Ok(())
    }

    fn resize(&self) -> Option<&dyn VolumeResize> {
        Some(self)
    }
}

#[async_trait]
impl VolumeResize for FlatStorage {
    async fn grow(&self, _cx: &OpCx, volume: &VolumeName, size: ByteSize) -> Result<ByteSize> {
        let (path, owner) = self.known("volume.grow", volume)?;
        let now = self.volume(volume, &path, owner)?.size;
        if size < now {
            return Err(Error::field("volume.grow", "size", format!("shrinking is not possible: the disk has {now}")));
        }
        let grown = fs::OpenOptions::new().write(true).open(path).and_then(|f| f.set_len(size.bytes()));
        grown.map_err(|e| failed("volume.grow", &e))?;
        Ok(size)
    }
}
