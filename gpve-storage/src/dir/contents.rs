use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use async_trait::async_trait;
use bytes::Bytes;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{OpCx, VolumeContents};
use gpve_core::types::{DiskFormat, VolumeName};

use super::parse::Place;
use super::plugin::DirStorage;
use crate::image::{NewImage, Preallocation, write_with};

#[async_trait]
impl VolumeContents for DirStorage {
    async fn read(&self, cx: &OpCx, volume: &VolumeName, max: usize) -> Result<Bytes> {
        const OP: &str = "volume.read";
        let refuse = |reason: String| Error::field(OP, "volume", reason);
        let place = match Place::parse(volume.as_str()) {
            Ok(place @ Place::File(_)) => place,
            Ok(Place::Disk(_)) => return Err(refuse(format!("'{volume}' is a disk")).on(self.subject(volume))),
            Err(error) => return Err(refuse(error.to_string()).on(self.subject(volume))),
        };
        let too_large = refuse(format!("'{volume}' has more than {max} bytes"));
        self.blocking(cx, OP, self.subject(volume), move |inner| {
            let file = inner.tree.root()?.open(&place, false)?;
            let mut bytes = Vec::new();
            // One more than may be tells that it is too large, without a look at a size that changes.
            file.take(max as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() > max { Err(too_large.into()) } else { Ok(bytes.into()) }
        })
        .await
    }

    async fn write(&self, cx: &OpCx, volume: &VolumeName, bytes: Bytes) -> Result<()> {
        const OP: &str = "volume.write";
        let subject = self.subject(volume);
        let disk = self.disk(OP, volume)?;
        if disk.file.is_base() || disk.base.is_some() {
            return Err(Error::precondition(OP, format!("{volume} can only be read, or has its bytes from another")).on(subject));
        }
        let there = self.present(cx, OP, &disk).await?.ok_or_else(|| Error::not_found(OP, format!("volume '{subject}'")))?;
        let size = there.size;
        if bytes.len() as u64 > size.bytes() {
            let reason = format!("{} bytes do not fit on '{volume}', which has {}", bytes.len(), size.bytes());
            return Err(Error::field(OP, "volume", reason).on(subject));
        }
        let place = Place::Disk(disk);
        let draft = self.draft(cx, OP, &place).await?;
        self.blocking(cx, OP, subject, move |_| {
            match there.format {
                DiskFormat::Qcow2 => {
                    write_with(draft.file(), &NewImage { size, preallocation: Preallocation::Off, backing: None }, &bytes)?;
                }
                DiskFormat::Raw => {
                    draft.file().set_len(size.bytes())?;
                    draft.file().write_all_at(&bytes, 0)?;
                }
                DiskFormat::Vmdk => return Err(Error::unsupported(OP, "vmdk images are not written").into()),
            }
            Ok(draft.replace()?)
        })
        .await
    }
}
