use async_trait::async_trait;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{CloneVolume, Ensured, OpCx, Volume, VolumeClones};
use gpve_core::types::{ByteSize, DiskFormat, VolumeId, VolumeName};

use super::catalog::disk_format;
use super::parse::{DiskPlace, Place, backing_reference};
use super::plugin::DirStorage;
use crate::image::{NewImage, Preallocation, read_header};

#[async_trait]
impl VolumeClones for DirStorage {
    /// The clone is a qcow2 image, whatever its base is.
    fn supports_linked(&self, _format: DiskFormat) -> bool {
        true
    }

    /// The clone is a qcow2 image: a name with another ending gets that one. Its id names the base, as PVE's does
    /// (`100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2`).
    async fn linked(&self, cx: &OpCx, request: &CloneVolume) -> Result<Ensured<Volume>> {
        const OP: &str = "volume.clone";
        let subject = self.subject(&request.name);
        let base = self.disk(OP, &request.source)?;
        if !base.file.is_base() {
            return Err(Error::precondition(OP, format!("{} is no template's disk: make it one first", request.source)).on(subject));
        }
        if let Some(snapshot) = &request.snapshot {
            return Err(Error::unsupported(OP, format!("a linked clone cannot start at snapshot {snapshot}; a full one can")).on(subject));
        }
        let mut clone = self.new_disk(OP, &request.name, request.owner)?;
        clone.file = clone.file.with_format(DiskFormat::Qcow2);

        let _chains = self.inner.chains.lock().await;
        if let Some(volume) = self.present(cx, OP, &clone).await? {
            let parent = volume.parent.as_ref().map(VolumeId::name);
            let is_same =
                parent.is_some_and(|name| Place::parse(name.as_str()) == Ok(Place::Disk(DiskPlace::new(base.vmid, base.file.clone()))));
            return if is_same { Ok(Ensured::Already(volume)) } else { Err(Error::already_exists(OP, subject)) };
        }
        let size = self.size_of(cx, &base).await?;
        let place = Place::Disk(clone);
        let draft = self.draft(cx, OP, &place).await?;
        let reference = backing_reference(base.vmid, &base.file);
        let format = disk_format(&base).map_err(|fault| fault.boundary(OP, &subject))?;
        let image = NewImage { size, preallocation: Preallocation::Off, backing: Some((reference, format)) };
        let draft = self.make_qcow2(cx, OP, &subject, draft, image).await?;
        Ok(Ensured::Made(self.publish(cx, OP, draft, place).await?))
    }

    async fn make_base(&self, cx: &OpCx, volume: &VolumeName) -> Result<VolumeId> {
        const OP: &str = "volume.make-base";
        let disk = self.disk(OP, volume)?;
        let _chains = self.inner.chains.lock().await;
        self.blocking(cx, OP, self.subject(volume), move |inner| {
            let root = inner.tree.root()?;
            let (from, base) = (Place::Disk(disk.clone()), Place::Disk(DiskPlace { file: disk.file.to_base(), ..disk }));
            // A repeated call finds the new name only.
            if inner.look_at(&root, from.clone())?.is_some() && from != base {
                root.rename_to_base(&from, &base)?;
            }
            let gone = || Error::not_found(OP, format!("{}:{}", inner.config.id, from.name()));
            Ok(inner.look_at(&root, base)?.ok_or_else(gone)?.id)
        })
        .await
    }
}

impl DirStorage {
    async fn size_of(&self, cx: &OpCx, disk: &DiskPlace) -> Result<ByteSize> {
        let (disk, subject) = (disk.clone(), format!("{}:{}", self.inner.config.id, Place::Disk(disk.clone()).name()));
        self.blocking(cx, "volume.clone", subject, move |inner| {
            let (image, _) = inner.open_chain(&inner.tree.root()?, &disk, false)?;
            Ok(read_header(image.file(), image.format())?.virtual_size)
        })
        .await
    }
}
