use async_trait::async_trait;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{OpCx, VolumeResize};
use gpve_core::types::{ByteSize, DiskFormat, VolumeName};

use super::parse::DiskPlace;
use super::plugin::DirStorage;
use crate::fault::Fault;
use crate::image::read_header;

const OP: &str = "volume.grow";

#[async_trait]
impl VolumeResize for DirStorage {
    async fn grow(&self, cx: &OpCx, volume: &VolumeName, size: ByteSize) -> Result<ByteSize> {
        let subject = self.subject(volume);
        let disk = self.writable_disk(OP, volume)?;
        let size = size.round_up(512);
        let (image, old) = self
            .blocking(cx, OP, &subject, move |inner| {
                let (image, _) = inner.open_chain(&inner.tree.root()?, &disk, true)?;
                let header = read_header(image.file(), image.format())?;
                Ok((image, header.virtual_size))
            })
            .await?;
        if size == old {
            return Ok(old);
        }
        if size < old {
            let reason = format!("{} is smaller than the disk, which has {}; disks are not shrunk", size.pve(), old.pve());
            return Err(Error::field(OP, "size", reason).on(subject));
        }
        match image.format() {
            DiskFormat::Raw => self.blocking(cx, OP, &subject, move |_| Ok(image.file().set_len(size.bytes())?)).await?,
            DiskFormat::Qcow2 => {
                let resized = async {
                    let resized = self.inner.images.resize(&image, size).await;
                    resized.map_err(|error| Fault::from(error).boundary(OP, &subject))
                };
                cx.run(OP, resized).await.map_err(|error| self.explain(error))?;
            }
            DiskFormat::Vmdk => return Err(Error::unsupported(OP, "vmdk images are only read").on(subject)),
        }
        Ok(size)
    }
}

impl DirStorage {
    /// The disk that a client named, unless it is a template's.
    pub(super) fn writable_disk(&self, op: &str, name: &VolumeName) -> Result<DiskPlace> {
        let disk = self.disk(op, name)?;
        if disk.file.is_base() {
            return Err(Error::precondition(op, format!("{name} is a template's disk and can only be read")).on(self.subject(name)));
        }
        Ok(disk)
    }
}
