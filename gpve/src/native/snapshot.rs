//! Snapshots of a guest.

use gpve_api::v1::{List, SnapshotPatch, SnapshotRequest, SnapshotView};
use gpve_core::error::{Error, Result};

use super::{Answered, Asked, document};

pub(super) fn list(cx: &Asked) -> Result<Answered> {
    let guest = cx.guest()?;
    let items = guest.snapshots.iter().map(SnapshotView::from).collect();
    Ok(document(200, &List::new("Snapshot", guest.revision, items)))
}

pub(super) async fn create(cx: &Asked) -> Result<Answered> {
    let SnapshotRequest { name, description, memory } = cx.document()?;
    if memory {
        return Err(Error::unsupported("snapshot.create", "snapshots with memory are not possible yet: leave 'memory' out"));
    }
    cx.task(cx.plane.snapshot(&cx.call, cx.vmid()?, name, description).await?).await
}

pub(super) async fn describe(cx: &Asked) -> Result<Answered> {
    let SnapshotPatch { description } = cx.document()?;
    cx.task(cx.plane.describe_snapshot(&cx.call, cx.vmid()?, cx.params.parse("snapshot")?, description).await?).await
}

pub(super) async fn delete(cx: &Asked) -> Result<Answered> {
    cx.task(cx.plane.delete_snapshot(&cx.call, cx.vmid()?, cx.params.parse("snapshot")?, false).await?).await
}

pub(super) async fn rollback(cx: &Asked) -> Result<Answered> {
    cx.task(cx.plane.rollback(&cx.call, cx.vmid()?, cx.params.parse("snapshot")?, false).await?).await
}
