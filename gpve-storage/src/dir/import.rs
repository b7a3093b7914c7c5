use std::fs::File;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{BackingFile, Ensured, ImportVolume, OpCx, Volume, VolumeAccess, VolumeImport};
use gpve_core::types::DiskFormat;
use rustix::fs::OFlags;

use super::parse::Place;
use super::plugin::DirStorage;
use crate::fault::Fault;
use crate::image::{Conversion, ImageFile, read_header};

const OP: &str = "volume.import";

#[async_trait]
impl VolumeImport for DirStorage {
    async fn import(&self, cx: &OpCx, request: &ImportVolume) -> Result<Ensured<Volume>> {
        let subject = self.subject(&request.name);
        let disk = self.new_disk(OP, &request.name, request.owner)?;
        if disk.file.disk_format() != Some(request.format) {
            let reason = format!("'{}' does not end in .{}", request.name, request.format);
            return Err(Error::field(OP, "format", reason).on(subject));
        }
        if let Some(volume) = self.present(cx, OP, &disk).await? {
            return Ok(Ensured::Already(volume));
        }
        let access = request.source.clone();
        let source = self.blocking(cx, OP, &subject, move |_| open_source(&access)).await?;
        if request.snapshot.is_some() && source.format() != DiskFormat::Qcow2 {
            return Err(Error::unsupported(OP, format!("a {} image has no snapshots", source.format())).on(subject));
        }
        let place = Place::Disk(disk);
        let draft = self.draft(cx, OP, &place).await?;
        let conversion = Conversion { source: &source, snapshot: request.snapshot.as_ref(), target: draft.file(), format: request.format };
        let copied = async {
            self.check_extents(&source).await.map_err(|fault| fault.boundary(OP, &subject))?;
            let copied = self.inner.images.convert(cx, &conversion).await;
            copied.map_err(|error| Fault::from(error).boundary(OP, &subject))
        };
        cx.run(OP, copied).await.map_err(|error| self.explain(error))?;
        Ok(Ensured::Made(self.publish(cx, OP, draft, place).await?))
    }
}

impl DirStorage {
    /// The vmdk format has more ways to name other files than its header reader knows by heart: QEMU has the last word.
    async fn check_extents(&self, source: &ImageFile) -> Result<(), Fault> {
        if source.format() != DiskFormat::Vmdk {
            return Ok(());
        }
        let info = self.inner.images.info(source).await?;
        if let Some(backing) = &info.backing_filename {
            return Err(refuse("a backing file", backing).into());
        }
        match info.foreign_data(&source.path()).first() {
            Some(extent) => Err(refuse("an extent file", extent).into()),
            None => Ok(()),
        }
    }
}

/// Opens what is to be copied. A reference to another file inside an image is followed nowhere: an image below is
/// opened when the plugin that the source comes from named it, otherwise the source is refused.
fn open_source(access: &VolumeAccess) -> Result<ImageFile, Fault> {
    let (path, format, backing): (&Path, DiskFormat, &[BackingFile]) = match access {
        VolumeAccess::File { path, format, backing, .. } => (path, *format, backing),
        VolumeAccess::Block { path, .. } => (path, DiskFormat::Raw, &[]),
        VolumeAccess::Memory { .. } => return Err(Error::unsupported(OP, "the source is not on this host").into()),
    };
    let mut image = ImageFile::new(open_layer(path, format, !backing.is_empty())?, format);
    for (index, layer) in backing.iter().enumerate() {
        let has_backing = index + 1 < backing.len();
        image = image.over(open_layer(&layer.path, layer.format, has_backing)?, layer.format);
    }
    Ok(image)
}

fn open_layer(path: &Path, format: DiskFormat, has_backing: bool) -> Result<File, Fault> {
    if !path.is_absolute() {
        return Err(Error::field(OP, "source", format!("'{}' is not an absolute path", path.display())).into());
    }
    // Without NONBLOCK a FIFO would hang this thread.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).map_err(|_| Error::internal(OP, "open flags do not fit"))?;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| cannot_open(path, &error))?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Error::field(OP, "source", format!("'{}' is neither a file nor a block device", path.display())).into());
    }
    let header = read_header(&file, format)?;
    match header.references.first() {
        Some(_) if has_backing && header.references.len() == 1 && header.backing().is_some() => Ok(file),
        Some(reference) => Err(refuse(reference.kind.as_str(), &reference.target).into()),
        None if has_backing => Err(Error::precondition(OP, format!("{} has no backing file any more", path.display())).into()),
        None => Ok(file),
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::FailedPrecondition,
    };
    Error::new(kind, OP, format!("cannot open the source {}", path.display())).because(error)
}

fn refuse(kind: &str, target: &str) -> Error {
    let reason = format!("the image refers to {kind} '{}', which is not allowed: flatten it first", target.escape_default());
    Error::field(OP, "source", reason)
}
