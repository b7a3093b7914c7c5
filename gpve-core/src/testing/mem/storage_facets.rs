//! What the fake storage can do besides.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::host::State;
use super::image::Image;
use super::storage::{MemStorage, refuse_open};
use super::volume::MemVolume;
use crate::error::{Error, Result};
use crate::ports::{
    CloneVolume, ContentKind, Ensured, ImportVolume, OpCx, Removed, Volume, VolumeAccess, VolumeClones, VolumeContents, VolumeImport,
    VolumeResize, VolumeSnapshots, VolumeUpload,
};
use crate::types::{ByteSize, DiskFormat, SnapName, VolumeId, VolumeName};

/// A volume whose snapshots may be worked on.
fn snapshotable<'s>(state: &'s mut State, op: &str, id: &VolumeId) -> Result<&'s mut MemVolume> {
    refuse_open(op, state, id)?;
    let volume = state.volume(op, id)?;
    match volume.format {
        DiskFormat::Qcow2 => Ok(volume),
        DiskFormat::Raw | DiskFormat::Vmdk => Err(Error::unsupported(op, format!("{} disks have no snapshots here", volume.format))),
    }
}

#[async_trait]
impl VolumeSnapshots for MemStorage {
    fn supports(&self, format: DiskFormat) -> bool {
        format == DiskFormat::Qcow2
    }

    async fn take(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Ensured<()>> {
        self.effect(cx, "snapshot.take", volume, |state, id| {
            let made = snapshotable(state, "snapshot.take", id)?.take(name);
            Ok(if made { Ensured::Made(()) } else { Ensured::Already(()) })
        })
        .await
    }

    async fn rollback(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<()> {
        self.effect(cx, "snapshot.rollback", volume, |state, id| {
            let volume = snapshotable(state, "snapshot.rollback", id)?;
            let then = volume.snapshot("snapshot.rollback", name)?.clone();
            (volume.image, volume.size) = (then.image, then.size);
            Ok(())
        })
        .await
    }

    async fn delete(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Removed> {
        self.effect(cx, "snapshot.delete", volume, |state, id| {
            let there = snapshotable(state, "snapshot.delete", id)?.forget(name);
            Ok(if there { Removed::Gone } else { Removed::WasAbsent })
        })
        .await
    }

    async fn list(&self, cx: &OpCx, volume: &VolumeName) -> Result<Vec<SnapName>> {
        let id = self.volume_id(volume);
        self.host
            .look(cx, "snapshot.list", |state| Ok(state.volume("snapshot.list", &id)?.snapshots.iter().map(|s| s.name.clone()).collect()))
            .await
    }
}

#[async_trait]
impl VolumeClones for MemStorage {
    fn supports_linked(&self, format: DiskFormat) -> bool {
        format == DiskFormat::Qcow2
    }

    async fn linked(&self, cx: &OpCx, request: &CloneVolume) -> Result<Ensured<Volume>> {
        const OP: &str = "volume.linked_clone";
        let now = self.host.now();
        self.effect(cx, OP, &request.name, |state, id| {
            let parent = self.volume_id(&request.source);
            let source = state.volume(OP, &parent)?.clone();
            if !self.supports_linked(source.format) {
                return Err(Error::unsupported(OP, format!("{} disks have no linked clones here", source.format)));
            }
            self.check_disk(OP, &request.name, request.owner, source.format)?;
            let (image, size) = match &request.snapshot {
                Some(name) => source.snapshot(OP, name).map(|s| (s.image.clone(), s.size))?,
                None if source.base => (source.image, source.size),
                None => return Err(Error::precondition(OP, format!("volume {parent} is neither a base nor a snapshot"))),
            };
            let clone = MemVolume { image, parent: Some(parent), ..MemVolume::disk(request.owner, source.format, size, now) };
            self.put(OP, state, id, clone)
        })
        .await
    }

    async fn make_base(&self, cx: &OpCx, volume: &VolumeName) -> Result<VolumeId> {
        const OP: &str = "volume.make_base";
        self.effect(cx, OP, volume, |state, id| {
            refuse_open(OP, state, id)?;
            let base = base_name(volume)?;
            let volumes = state.storage(OP, &self.id)?;
            if volumes.get(&base).is_some_and(|v| v.base) {
                return Ok(self.volume_id(&base));
            }
            let mut found = volumes.remove(volume).ok_or_else(|| Error::not_found(OP, format!("volume {id}")))?;
            (found.base, found.attached) = (true, None);
            volumes.insert(base.clone(), found);
            Ok(self.volume_id(&base))
        })
        .await
    }
}

/// `100/vm-100-disk-0.qcow2` becomes `100/base-100-disk-0.qcow2`.
fn base_name(name: &VolumeName) -> Result<VolumeName> {
    name.as_str()
        .replacen("/vm-", "/base-", 1)
        .parse()
        .map_err(|e: crate::types::TextError| Error::internal("volume.make_base", e.to_string()))
}

#[async_trait]
impl VolumeResize for MemStorage {
    async fn grow(&self, cx: &OpCx, volume: &VolumeName, size: ByteSize) -> Result<ByteSize> {
        const OP: &str = "volume.grow";
        self.effect(cx, OP, volume, |state, id| {
            refuse_open(OP, state, id)?;
            let size = size.round_up(MemStorage::GRAIN);
            let (now, base) = state.volume(OP, id).map(|v| (v.size, v.base))?;
            if base {
                return Err(Error::precondition(OP, format!("volume {id} is a base: it is read-only")));
            }
            if size < now {
                return Err(Error::field(OP, "size", format!("the volume has {now}; volumes are never shrunk")));
            }
            self.check_room(OP, state, ByteSize::from_bytes(size.bytes() - now.bytes()))?;
            state.volume(OP, id)?.size = size;
            Ok(size)
        })
        .await
    }
}

#[async_trait]
impl VolumeImport for MemStorage {
    async fn import(&self, cx: &OpCx, request: &ImportVolume) -> Result<Ensured<Volume>> {
        const OP: &str = "volume.import";
        let now = self.host.now();
        let made = self
            .effect(cx, OP, &request.name, |state, id| {
                self.check_disk(OP, &request.name, request.owner, request.format)?;
                let (image, size) = source_of(state, request)?;
                let size = size.round_up(MemStorage::GRAIN);
                self.put(OP, state, id, MemVolume { image, ..MemVolume::disk(request.owner, request.format, size, now) })
            })
            .await?;
        cx.log("transferred 100 %");
        Ok(made)
    }
}

fn source_of(state: &mut State, request: &ImportVolume) -> Result<(Image, ByteSize)> {
    const OP: &str = "volume.import";
    match (&request.source, &request.snapshot) {
        (VolumeAccess::Memory { volume, .. }, None) => state.volume(OP, volume).map(|v| (v.image.clone(), v.size)),
        (VolumeAccess::Memory { volume, .. }, Some(name)) => {
            state.volume(OP, volume)?.snapshot(OP, name).map(|s| (s.image.clone(), s.size))
        }
        (VolumeAccess::File { path, .. } | VolumeAccess::Block { path, .. }, None) => {
            let found = state.files.get(path).cloned().zip(state.file_sizes.get(path).copied());
            let (image, size) = found.ok_or_else(|| Error::not_found(OP, format!("file {}", path.display())))?;
            Ok((image, ByteSize::from_bytes(size)))
        }
        (VolumeAccess::File { .. } | VolumeAccess::Block { .. }, Some(name)) => {
            Err(Error::unsupported(OP, format!("a file has no snapshot {name} here")))
        }
    }
}

#[async_trait]
impl VolumeUpload for MemStorage {
    async fn upload(
        &self,
        cx: &OpCx,
        content: ContentKind,
        file_name: &str,
        chunks: &mut (dyn Stream<Item = Result<Bytes>> + Send + Unpin),
    ) -> Result<Volume> {
        const OP: &str = "volume.upload";
        self.needs(OP, content)?;
        let name = upload_name(content, file_name)?;
        let bytes = cx.run(OP, collect(chunks)).await?;
        let now = self.host.now();
        let size = ByteSize::from_bytes(bytes.len() as u64);
        self.effect(cx, OP, &name, |state, id| {
            self.check_room(OP, state, size)?;
            let volumes = state.storage(OP, &self.id)?;
            if volumes.contains_key(id.name()) {
                return Err(Error::already_exists(OP, format!("volume {id}")));
            }
            let mut file = MemVolume::disk(crate::types::Vmid::MIN, DiskFormat::Raw, size, now);
            (file.content, file.owner, file.image) = (content, None, Image::of(&bytes));
            let shown = file.show(id.clone());
            volumes.insert(id.name().clone(), file);
            Ok(shown)
        })
        .await
    }
}

#[async_trait]
impl VolumeContents for MemStorage {
    async fn read(&self, cx: &OpCx, volume: &VolumeName, max: usize) -> Result<Bytes> {
        const OP: &str = "volume.read";
        self.effect(cx, OP, volume, |state, id| {
            let found = state.volume(OP, id)?;
            let len = usize::try_from(found.size.bytes()).unwrap_or(usize::MAX);
            match found.content {
                ContentKind::Images => Err(Error::field(OP, "volume", format!("'{volume}' is a disk"))),
                _ if len > max => Err(Error::field(OP, "volume", format!("'{volume}' has more than {max} bytes"))),
                _ => Ok(found.image.read(0, len).into()),
            }
        })
        .await
    }

    async fn write(&self, cx: &OpCx, volume: &VolumeName, bytes: Bytes) -> Result<()> {
        const OP: &str = "volume.write";
        self.effect(cx, OP, volume, |state, id| {
            let found = state.volume(OP, id)?;
            if found.base || found.content != ContentKind::Images {
                return Err(Error::precondition(OP, format!("volume {id} can only be read")));
            }
            if bytes.len() as u64 > found.size.bytes() {
                return Err(Error::field(OP, "volume", format!("{} bytes do not fit on '{volume}'", bytes.len())));
            }
            found.image = Image::of(&bytes);
            Ok(())
        })
        .await
    }
}

async fn collect(chunks: &mut (dyn Stream<Item = Result<Bytes>> + Send + Unpin)) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// `iso/NAME`; a name with a `/` would be another place.
fn upload_name(content: ContentKind, file_name: &str) -> Result<VolumeName> {
    let refused = |reason: String| Error::field("volume.upload", "filename", reason);
    let folder = match content {
        ContentKind::Iso | ContentKind::Snippets | ContentKind::Import => content.as_str(),
        ContentKind::Images | ContentKind::Backup | ContentKind::Rootdir | ContentKind::Vztmpl => {
            return Err(Error::unsupported("volume.upload", format!("{content} cannot be uploaded")));
        }
    };
    if file_name.contains('/') {
        return Err(refused("must be a plain name without '/'".to_owned()));
    }
    format!("{folder}/{file_name}").parse().map_err(|e: crate::types::TextError| refused(e.to_string()))
}
