//! Snapshots of a guest's disks while it runs.

use async_trait::async_trait;

use super::host::State;
use super::live::MemLive;
use crate::error::{Error, Result};
use crate::ports::{Live, LiveSnapshots, OpCx, VolumeAccess};
use crate::types::{DiskFormat, DiskSlot, SnapName, VolumeId};

#[async_trait]
impl LiveSnapshots for MemLive {
    fn covers(&self, slots: &[DiskSlot]) -> bool {
        let state = self.host.state();
        let Some(process) = state.processes.get(&self.pid()) else { return false };
        slots.iter().all(|slot| {
            let access = process.volumes.get(slot).map(|v| &v.access);
            matches!(access, Some(VolumeAccess::Memory { format: DiskFormat::Qcow2, .. }))
        })
    }

    async fn take(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()> {
        self.on_volumes(cx, "guest.snapshot.take", slots, |state, volume| {
            state.volume("guest.snapshot.take", volume)?.take(name);
            Ok(())
        })
        .await
    }

    async fn delete(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()> {
        self.on_volumes(cx, "guest.snapshot.delete", slots, |state, volume| {
            state.volume("guest.snapshot.delete", volume)?.forget(name);
            Ok(())
        })
        .await
    }
}

impl MemLive {
    /// Does something to the volumes in `slots`, once all of them are known to be there.
    async fn on_volumes(
        &self,
        cx: &OpCx,
        op: &str,
        slots: &[DiskSlot],
        mut act: impl FnMut(&mut State, &VolumeId) -> Result<()> + Send,
    ) -> Result<()> {
        let pid = self.pid();
        self.host
            .effect(cx, op, format!("vm {}", self.record().vmid), |state| {
                let process = state.process(op, pid)?;
                let volumes = slots.iter().map(|slot| {
                    let found = process.volumes.get(slot).map(|v| v.volume.clone());
                    found.ok_or_else(|| Error::precondition(op, format!("{slot} has no volume")))
                });
                let volumes: Vec<VolumeId> = volumes.collect::<Result<_>>()?;
                for volume in &volumes {
                    state.volume(op, volume)?;
                }
                volumes.iter().try_for_each(|volume| act(state, volume))
            })
            .await
    }
}
