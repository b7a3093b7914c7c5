use async_trait::async_trait;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{Ensured, OpCx, Removed, VolumeSnapshots};
use gpve_core::types::{DiskFormat, SnapName, VolumeName};

use super::plugin::DirStorage;
use crate::fault::Fault;
use crate::image::{ImageFile, SnapshotAction, read_snapshots};

/// Internal snapshots of qcow2 images.
#[async_trait]
impl VolumeSnapshots for DirStorage {
    fn supports(&self, format: DiskFormat) -> bool {
        format == DiskFormat::Qcow2
    }

    async fn take(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Ensured<()>> {
        let (image, names) = self.open_for_snapshot(cx, SnapshotAction::Take, volume).await?;
        if names.contains(name) {
            return Ok(Ensured::Already(()));
        }
        self.act(volume, &image, SnapshotAction::Take, name).await?;
        Ok(Ensured::Made(()))
    }

    async fn rollback(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<()> {
        let (image, names) = self.open_for_snapshot(cx, SnapshotAction::Apply, volume).await?;
        if !names.contains(name) {
            return Err(Error::not_found(op_of(SnapshotAction::Apply), format!("snapshot {name} of {}", self.subject(volume))));
        }
        self.act(volume, &image, SnapshotAction::Apply, name).await
    }

    async fn delete(&self, cx: &OpCx, volume: &VolumeName, name: &SnapName) -> Result<Removed> {
        let (image, names) = self.open_for_snapshot(cx, SnapshotAction::Delete, volume).await?;
        if !names.contains(name) {
            return Ok(Removed::WasAbsent);
        }
        self.act(volume, &image, SnapshotAction::Delete, name).await?;
        Ok(Removed::Gone)
    }

    async fn list(&self, cx: &OpCx, volume: &VolumeName) -> Result<Vec<SnapName>> {
        const OP: &str = "snapshot.list";
        let disk = self.disk(OP, volume)?;
        self.blocking(cx, OP, self.subject(volume), move |inner| {
            let (image, _) = inner.open_chain(&inner.tree.root()?, &disk, false)?;
            names_of(&image)
        })
        .await
    }
}

impl DirStorage {
    async fn open_for_snapshot(&self, cx: &OpCx, action: SnapshotAction, volume: &VolumeName) -> Result<(ImageFile, Vec<SnapName>)> {
        let op = op_of(action);
        let disk = self.writable_disk(op, volume)?;
        if disk.file.disk_format() != Some(DiskFormat::Qcow2) {
            let text = format!("{} images have no snapshots on a directory storage; qcow2 images have", disk.file.format());
            return Err(Error::unsupported(op, text).on(self.subject(volume)));
        }
        self.blocking(cx, op, self.subject(volume), move |inner| {
            let (image, _) = inner.open_chain(&inner.tree.root()?, &disk, true)?;
            let names = names_of(&image)?;
            Ok((image, names))
        })
        .await
    }

    async fn act(&self, volume: &VolumeName, image: &ImageFile, action: SnapshotAction, name: &SnapName) -> Result<()> {
        let (op, subject) = (op_of(action), self.subject(volume));
        // Killed in between, qemu-img could leave clusters that nobody owns, so a cancellation of the task waits for its end.
        let done = self.inner.images.snapshot(image, action, name).await;
        done.map_err(|error| self.explain(Fault::from(error).boundary(op, &subject)))
    }
}

const fn op_of(action: SnapshotAction) -> &'static str {
    match action {
        SnapshotAction::Take => "snapshot.take",
        SnapshotAction::Apply => "snapshot.rollback",
        SnapshotAction::Delete => "snapshot.delete",
    }
}

/// Names of snapshots, oldest first; only qcow2 images have any. A name that gpve does not allow is not gpve's.
fn names_of(image: &ImageFile) -> Result<Vec<SnapName>, Fault> {
    if image.format() != DiskFormat::Qcow2 {
        return Ok(Vec::new());
    }
    let mut snapshots = read_snapshots(image.file())?;
    snapshots.sort_by_key(|snapshot| snapshot.taken);
    Ok(snapshots.into_iter().filter_map(|snapshot| snapshot.name.parse().ok()).collect())
}
