//! The fake storage.

use async_trait::async_trait;

use super::host::{MemHost, State};
use super::volume::MemVolume;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    ContentKind, CreateVolume, Ensured, OpCx, Removed, StorageCapabilities, StoragePlugin, StorageStatus, Volume, VolumeAccess,
    VolumeClones, VolumeContents, VolumeFilter, VolumeImport, VolumeMode, VolumeResize, VolumeSnapshots, VolumeUpload,
};
use crate::types::{ByteSize, DiskFormat, StorageId, Vmid, VolumeId, VolumeName};

/// A storage in memory, shaped like PVE's `dir`: names such as `100/vm-100-disk-0.qcow2`, snapshots and linked clones
/// of qcow2 disks. Holds nothing: a new one over the same host sees the same volumes.
#[derive(Debug, Clone)]
pub struct MemStorage {
    pub(super) host: MemHost,
    pub(super) id: StorageId,
    capabilities: StorageCapabilities,
    capacity: ByteSize,
}

impl MemStorage {
    /// Sizes are rounded up to this many bytes.
    pub const GRAIN: u64 = 4096;
    /// Room for 5,000 guests of 200 GiB; a disk's whole size counts.
    const CAPACITY: ByteSize = ByteSize::from_gib(1024 * 1024);

    /// A storage of all contents, with qcow2 and raw disks.
    pub fn new(host: MemHost, id: StorageId) -> Self {
        let capabilities =
            StorageCapabilities { contents: ContentKind::ALL.into(), formats: vec![DiskFormat::Qcow2, DiskFormat::Raw], shared: false };
        host.state().storages.entry(id.clone()).or_default();
        Self { host, id, capabilities, capacity: Self::CAPACITY }
    }

    /// The same storage with room for `capacity`.
    #[must_use]
    pub fn with_capacity(mut self, capacity: ByteSize) -> Self {
        self.capacity = capacity;
        self
    }

    /// The same storage holding only `contents`.
    #[must_use]
    pub fn with_contents(mut self, contents: impl IntoIterator<Item = ContentKind>) -> Self {
        self.capabilities.contents = contents.into_iter().collect();
        self
    }

    /// The same storage making only disks of `formats`, the default first.
    #[must_use]
    pub fn with_formats(mut self, formats: Vec<DiskFormat>) -> Self {
        self.capabilities.formats = formats;
        self
    }

    pub(super) fn volume_id(&self, name: &VolumeName) -> VolumeId {
        VolumeId::new(self.id.clone(), name.clone())
    }

    /// One effect on one volume.
    pub(super) async fn effect<T>(
        &self,
        cx: &OpCx,
        op: &str,
        name: &VolumeName,
        act: impl FnOnce(&mut State, &VolumeId) -> Result<T> + Send,
    ) -> Result<T> {
        let id = self.volume_id(name);
        self.host.effect(cx, op, &id, |state| act(state, &id)).await
    }

    pub(super) fn needs(&self, op: &str, content: ContentKind) -> Result<()> {
        if self.capabilities.contents.contains(&content) {
            return Ok(());
        }
        let held: Vec<&str> = self.capabilities.contents.iter().map(|c| c.as_str()).collect();
        let message = format!("storage {} is not configured for {content}, only for {}", self.id, held.join(", "));
        Err(Error::unsupported(op, message).on(&self.id))
    }

    /// Refuses a disk that this storage cannot make.
    pub(super) fn check_disk(&self, op: &str, name: &VolumeName, owner: Vmid, format: DiskFormat) -> Result<()> {
        self.needs(op, ContentKind::Images)?;
        if !self.capabilities.formats.contains(&format) {
            return Err(Error::unsupported(op, format!("storage {} makes no {format} disks", self.id)).on(&self.id));
        }
        let is_cloud_init = name.as_str() == format!("{owner}/vm-{owner}-cloudinit.{format}");
        if !is_cloud_init && disk_number(name, owner, format).is_none() {
            let like = format!("a disk of vm {owner} is named like {owner}/vm-{owner}-disk-0.{format}");
            return Err(Error::field(op, "name", like).on(name));
        }
        Ok(())
    }

    /// Refuses what does not fit any more.
    pub(super) fn check_room(&self, op: &str, state: &mut State, more: ByteSize) -> Result<()> {
        let used: ByteSize = state.storage(op, &self.id)?.values().map(|v| v.size).sum();
        if (used + more).bytes() <= self.capacity.bytes() {
            return Ok(());
        }
        let message = format!("storage {} is full: {} of {} are used, {more} asked", self.id, used, self.capacity);
        Err(Error::new(ErrorKind::ResourceExhausted, op, message).on(&self.id))
    }

    /// Makes a disk, or finds that it was made.
    pub(super) fn put(&self, op: &str, state: &mut State, id: &VolumeId, volume: MemVolume) -> Result<Ensured<Volume>> {
        if let Some(there) = state.storage(op, &self.id)?.get(id.name()) {
            let same = there.format == volume.format && there.size >= volume.size && there.parent == volume.parent;
            return if same {
                Ok(Ensured::Already(there.show(id.clone())))
            } else {
                Err(Error::already_exists(op, format!("volume {id}")))
            };
        }
        self.check_room(op, state, volume.size)?;
        let shown = volume.show(id.clone());
        state.storage(op, &self.id)?.insert(id.name().clone(), volume);
        Ok(Ensured::Made(shown))
    }
}

/// The number in a disk's name; `None` if it is not named like a disk of `owner`.
fn disk_number(name: &VolumeName, owner: Vmid, format: DiskFormat) -> Option<u32> {
    let rest = name.as_str().strip_prefix(&format!("{owner}/"))?;
    let stem = rest.strip_suffix(&format!(".{format}"))?;
    let number = stem.strip_prefix(&format!("vm-{owner}-disk-")).or_else(|| stem.strip_prefix(&format!("base-{owner}-disk-")))?;
    number.parse().ok()
}

/// The error for work on a volume that a guest has open.
pub(super) fn refuse_open(op: &str, state: &State, id: &VolumeId) -> Result<()> {
    match state.user_of(id) {
        Some(vmid) => Err(Error::precondition(op, format!("volume {id} is in use by vm {vmid}")).on(id)),
        None => Ok(()),
    }
}

#[async_trait]
impl StoragePlugin for MemStorage {
    fn id(&self) -> &StorageId {
        &self.id
    }

    fn kind(&self) -> &str {
        "mem"
    }

    fn capabilities(&self) -> &StorageCapabilities {
        &self.capabilities
    }

    async fn status(&self, cx: &OpCx) -> Result<StorageStatus> {
        self.host
            .look(cx, "storage.status", |state| {
                let Ok(volumes) = state.storage("storage.status", &self.id) else { return Ok(StorageStatus::default()) };
                let used: ByteSize = volumes.values().map(|v| v.size).sum();
                let available = ByteSize::from_bytes(self.capacity.bytes().saturating_sub(used.bytes()));
                Ok(StorageStatus { total: self.capacity, used, available, active: true })
            })
            .await
    }

    async fn list(&self, cx: &OpCx, filter: &VolumeFilter) -> Result<Vec<Volume>> {
        self.host
            .look(cx, "volume.list", |state| {
                let volumes = state.storage("volume.list", &self.id)?.iter();
                let wanted = volumes
                    .filter(|(_, v)| filter.content.is_none_or(|c| c == v.content) && (filter.owner.is_none() || filter.owner == v.owner));
                Ok(wanted.map(|(name, v)| v.show(self.volume_id(name))).collect())
            })
            .await
    }

    async fn get(&self, cx: &OpCx, name: &VolumeName) -> Result<Option<Volume>> {
        let found = |state: &mut State| {
            let volume = state.storage("volume.get", &self.id)?.get(name);
            Ok(volume.map(|v| v.show(self.volume_id(name))))
        };
        self.host.look(cx, "volume.get", found).await
    }

    async fn free_name(&self, cx: &OpCx, owner: Vmid, format: DiskFormat, taken: &[VolumeName]) -> Result<VolumeName> {
        self.host
            .look(cx, "volume.free_name", |state| {
                let there = state.storage("volume.free_name", &self.id)?;
                // A number counts as used whatever the format and whether or not it is a template's.
                let mut used = std::collections::BTreeSet::new();
                for name in there.keys().filter(|n| n.as_str().starts_with(&format!("{owner}/"))).chain(taken) {
                    used.extend(DiskFormat::ALL.iter().filter_map(|f| disk_number(name, owner, *f)));
                }
                let free = (0..).find(|n| !used.contains(n)).unwrap_or_default();
                format!("{owner}/vm-{owner}-disk-{free}.{format}")
                    .parse()
                    .map_err(|e: crate::types::TextError| Error::internal("volume.free_name", e.to_string()))
            })
            .await
    }

    async fn create(&self, cx: &OpCx, request: &CreateVolume) -> Result<Ensured<Volume>> {
        let now = self.host.now();
        self.effect(cx, "volume.create", &request.name, |state, id| {
            self.check_disk("volume.create", &request.name, request.owner, request.format)?;
            if request.size == ByteSize::ZERO {
                return Err(Error::field("volume.create", "size", "must be above 0"));
            }
            let size = request.size.round_up(Self::GRAIN);
            self.put("volume.create", state, id, MemVolume::disk(request.owner, request.format, size, now))
        })
        .await
    }

    async fn delete(&self, cx: &OpCx, name: &VolumeName) -> Result<Removed> {
        self.effect(cx, "volume.delete", name, |state, id| {
            refuse_open("volume.delete", state, id)?;
            let volumes = state.storage("volume.delete", &self.id)?;
            if let Some((child, _)) = volumes.iter().find(|(_, v)| v.parent.as_ref() == Some(id)) {
                return Err(Error::precondition("volume.delete", format!("volume {id} is the base of its linked clone {child}")));
            }
            Ok(if volumes.remove(name).is_some() { Removed::Gone } else { Removed::WasAbsent })
        })
        .await
    }

    async fn attach(&self, cx: &OpCx, name: &VolumeName, mode: VolumeMode) -> Result<VolumeAccess> {
        self.effect(cx, "volume.attach", name, |state, id| {
            let volume = state.volume("volume.attach", id)?;
            if volume.base && mode == VolumeMode::Write {
                return Err(Error::precondition("volume.attach", format!("volume {id} is a base: it is read-only")));
            }
            let stronger = volume.attached == Some(VolumeMode::Write);
            volume.attached = Some(if stronger { VolumeMode::Write } else { mode });
            Ok(VolumeAccess::Memory { volume: id.clone(), format: volume.format })
        })
        .await
    }

    async fn detach(&self, cx: &OpCx, name: &VolumeName) -> Result<()> {
        self.effect(cx, "volume.detach", name, |state, id| {
            refuse_open("volume.detach", state, id)?;
            if let Some(volume) = state.storage("volume.detach", &self.id)?.get_mut(name) {
                volume.attached = None;
            }
            Ok(())
        })
        .await
    }

    fn snapshots(&self) -> Option<&dyn VolumeSnapshots> {
        Some(self)
    }

    fn clones(&self) -> Option<&dyn VolumeClones> {
        Some(self)
    }

    fn resize(&self) -> Option<&dyn VolumeResize> {
        Some(self)
    }

    fn import(&self) -> Option<&dyn VolumeImport> {
        Some(self)
    }

    fn upload(&self) -> Option<&dyn VolumeUpload> {
        Some(self)
    }

    fn contents(&self) -> Option<&dyn VolumeContents> {
        Some(self)
    }
}
