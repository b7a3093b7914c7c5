//! Steps that make and delete volumes.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::node::{Env, Memo, PlannedVolume, VolumeOrigin, volumes};
use crate::ports::OpCx;
use crate::saga::{Step, Steps};
use crate::types::{ByteSize, DiskFormat, DiskSource, StorageId, VolumeId, VolumeName};

/// Makes the volumes of the memo. Undo deletes those that did not exist before.
pub(super) struct MakeVolumes;

#[async_trait]
impl Step<Env, Memo> for MakeVolumes {
    fn name(&self) -> &'static str {
        "volumes"
    }

    fn leaves_nothing(&self, memo: &Memo) -> bool {
        memo.volumes.is_empty()
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        for planned in memo.volumes.clone() {
            if cx.cancel().is_cancelled() {
                return Err(Error::new(crate::error::ErrorKind::Cancelled, "volumes", "the task was cancelled"));
            }
            let made = volumes::make(env, cx, memo.owner.unwrap_or(env.vmid()), &planned).await?;
            if let (Some(slot), Some(spec)) = (planned.slot, &mut memo.spec)
                && let Some(disk) = spec.disks.get_mut(&slot)
            {
                let size = (!disk.is_cloud_init()).then_some(made.size);
                disk.source = DiskSource::Volume { volume: made.id, size };
            }
        }
        Ok(())
    }

    async fn undo(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        for planned in &memo.volumes {
            volumes::release_source(env, cx, planned).await?;
        }
        volumes::delete(env, cx, ours(memo)).await
    }
}

/// Volumes of the memo that this saga may delete.
pub(super) fn ours(memo: &Memo) -> Vec<VolumeId> {
    memo.volumes.iter().filter(|p| p.ours).map(|p| p.id.clone()).collect()
}

/// Makes a volume that no slot uses yet.
pub(super) fn allocate(storage: &StorageId, name: Option<&VolumeName>, format: Option<DiskFormat>, size: ByteSize) -> Steps<Env, Memo> {
    let plan = PlanVolume { storage: storage.clone(), name: name.cloned(), format, size };
    vec![Box::new(plan), Box::new(MakeVolumes)]
}

struct PlanVolume {
    storage: StorageId,
    name: Option<VolumeName>,
    format: Option<DiskFormat>,
    size: ByteSize,
}

#[async_trait]
impl Step<Env, Memo> for PlanVolume {
    fn name(&self) -> &'static str {
        "plan"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let plugin = env.storage(&self.storage)?;
        let format = self.format.or(plugin.capabilities().formats.first().copied()).unwrap_or(DiskFormat::Raw);
        let id = match &self.name {
            None => volumes::free_volume(env, cx, env.vmid(), &self.storage, format, &[]).await?,
            Some(name) if plugin.get(cx, name).await?.is_some() => {
                return Err(Error::already_exists("volume.allocate", format!("disk image '{}:{name}'", self.storage)));
            }
            Some(name) => VolumeId::new(self.storage.clone(), name.clone()),
        };
        let from = VolumeOrigin::Empty { size: self.size, format };
        memo.volumes = vec![PlannedVolume { slot: None, id, from, ours: true }];
        Ok(())
    }
}

/// Deletes a volume that no slot and no snapshot of the guest names.
pub(super) fn destroy(volume: &VolumeId) -> Steps<Env, Memo> {
    vec![Box::new(DestroyVolume(volume.clone()))]
}

struct DestroyVolume(VolumeId);

#[async_trait]
impl Step<Env, Memo> for DestroyVolume {
    fn name(&self) -> &'static str {
        "delete"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let record = env.record();
        let used = |s: &crate::types::VmSpec| s.disks.values().any(|d| d.volume() == Some(&self.0));
        if used(&record.spec) || record.running.as_deref().is_some_and(used) {
            let text = format!("volume '{}' is used by VM {}: take it out of its slot first", self.0, env.vmid());
            return Err(Error::precondition("volume.destroy", text).on(&self.0));
        }
        super::snapshot::refuse_part(&record, "volume.destroy", &self.0)?;
        volumes::delete(env, cx, [self.0.clone()]).await?;
        if record.spec.unused.values().any(|v| *v == self.0) {
            env.update(|r| {
                r.spec.unused.retain(|_, v| *v != self.0);
                r.generation += 1;
            })
            .await?;
        }
        Ok(())
    }
}
