//! Removing a guest: its volumes, then (by the guest's task, when the saga is done) its record.

use async_trait::async_trait;

use crate::error::Result;
use crate::node::{Env, Memo, volumes};
use crate::ports::{DeleteOptions, OpCx, VolumeFilter};
use crate::saga::{Step, Steps};
use crate::types::VolumeId;

pub(super) fn steps(options: DeleteOptions) -> Steps<Env, Memo> {
    vec![Box::new(DeleteVolumes(options))]
}

/// Deletes the guest's volumes. What cannot be deleted stays in the record, and deleting can be repeated.
struct DeleteVolumes(DeleteOptions);

#[async_trait]
impl Step<Env, Memo> for DeleteVolumes {
    fn name(&self) -> &'static str {
        "volumes"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let mut doomed: Vec<VolumeId> = Vec::new();
        for id in env.record().volumes() {
            if is_own(env, cx, &id).await? {
                doomed.push(id);
            } else {
                cx.log(format!("volume '{id}' belongs to another guest and stays"));
            }
        }
        if self.0.destroy_unreferenced {
            doomed.extend(unreferenced(env, cx, &doomed).await?);
        }
        volumes::delete(env, cx, doomed).await
    }
}

/// A guest's spec may name volumes of other guests; those are not deleted with it.
async fn is_own(env: &Env, cx: &OpCx, id: &VolumeId) -> Result<bool> {
    let found = env.storage(id.storage())?.get(cx, id.name()).await?;
    Ok(found.is_none_or(|v| v.owner == Some(env.vmid())))
}

async fn unreferenced(env: &Env, cx: &OpCx, known: &[VolumeId]) -> Result<Vec<VolumeId>> {
    let filter = VolumeFilter { content: Some(crate::ports::ContentKind::Images), owner: Some(env.vmid()) };
    let mut found = Vec::new();
    for storage in env.storages() {
        if storage.capabilities().contents.contains(&crate::ports::ContentKind::Images) {
            let volumes = storage.list(cx, &filter).await?;
            found.extend(volumes.into_iter().map(|v| v.id).filter(|id| !known.contains(id)));
        }
    }
    Ok(found)
}
