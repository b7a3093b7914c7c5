//! Changing a guest's hardware while it runs.

use async_trait::async_trait;

use super::host::State;
use super::live::MemLive;
use super::process::Process;
use crate::error::{Error, Result};
use crate::ports::{Hotplug, HotplugChange, OpCx};
use crate::types::{DiskBus, DiskSlot, MachineKind, ResolvedDisk};

const OP: &str = "guest.hotplug";

#[async_trait]
impl Hotplug for MemLive {
    fn can(&self, change: &HotplugChange) -> bool {
        self.host.state().processes.get(&self.pid()).is_some_and(|p| can(p, change))
    }

    async fn apply(&self, cx: &OpCx, change: HotplugChange) -> Result<()> {
        let pid = self.pid();
        self.host
            .effect(cx, OP, format!("vm {}", self.record_vmid()), |state| {
                if !can(state.process(OP, pid)?, &change) {
                    return Err(Error::unsupported(OP, "the machine cannot do this without a restart"));
                }
                apply(state, pid, change)
            })
            .await
    }
}

impl MemLive {
    fn record_vmid(&self) -> crate::types::Vmid {
        crate::ports::Live::record(self).vmid
    }
}

fn can(process: &Process, change: &HotplugChange) -> bool {
    let pluggable = |slot: &DiskSlot| matches!(slot.bus(), DiskBus::Scsi | DiskBus::Virtio | DiskBus::Nvme);
    let board = process.vm.machine.kind != MachineKind::Microvm;
    let disk = |slot: &DiskSlot| process.vm.disks.get(slot);
    match change {
        HotplugChange::AddDisk { slot, .. } | HotplugChange::RemoveDisk { slot } => board && pluggable(slot),
        HotplugChange::ChangeMedium { slot, .. } => disk(slot).is_some_and(|d| d.cdrom),
        HotplugChange::ResizeDisk { slot, .. } => disk(slot).is_some_and(|d| !d.cdrom),
        HotplugChange::AddNic { .. } | HotplugChange::RemoveNic { .. } => board,
        HotplugChange::SetLink { index, .. } => process.ports.contains_key(index),
        HotplugChange::Balloon { target } => process.vm.balloon && *target <= process.vm.memory,
        HotplugChange::CpuLimits { .. } => true,
    }
}

fn apply(state: &mut State, pid: u32, change: HotplugChange) -> Result<()> {
    match change {
        HotplugChange::ResizeDisk { slot, size } => {
            let volume = state.process(OP, pid)?.volumes.get(&slot).map(|v| v.volume.clone());
            let volume = volume.ok_or_else(|| Error::precondition(OP, format!("{slot} has no volume")))?;
            let found = state.volume(OP, &volume)?;
            found.size = found.size.max(size);
        }
        HotplugChange::AddDisk { slot, disk, volume } => {
            let process = state.process(OP, pid)?;
            process.vm.disks.insert(slot, *disk);
            process.volumes.insert(slot, volume);
        }
        HotplugChange::RemoveDisk { slot } => {
            let process = state.process(OP, pid)?;
            process.vm.disks.remove(&slot);
            process.volumes.remove(&slot);
        }
        HotplugChange::ChangeMedium { slot, medium } => {
            let process = state.process(OP, pid)?;
            if let Some(drive) = process.vm.disks.get_mut(&slot) {
                *drive = ResolvedDisk { volume: medium.as_ref().map(|m| m.volume.clone()), host: None, ..drive.clone() };
            }
            process.volumes.remove(&slot);
            process.volumes.extend(medium.map(|m| (slot, m)));
        }
        HotplugChange::AddNic { index, nic, port } => {
            let process = state.process(OP, pid)?;
            process.vm.networks.insert(index, nic);
            process.ports.insert(index, port);
        }
        HotplugChange::RemoveNic { index } => {
            let process = state.process(OP, pid)?;
            process.vm.networks.remove(&index);
            process.ports.remove(&index);
        }
        HotplugChange::SetLink { index, up } => {
            let process = state.process(OP, pid)?;
            if up {
                process.unplugged.remove(&index)
            } else {
                process.unplugged.insert(index)
            };
        }
        HotplugChange::Balloon { target } => state.process(OP, pid)?.balloon = target,
        HotplugChange::CpuLimits { limit, units } => {
            let limits = &mut state.process(OP, pid)?.limits;
            (limits.cpu_milli, limits.cpu_units) = (limit.map(|l| l.get().get()), units);
        }
    }
    Ok(())
}
