//! What sagas do to make a guest launchable, and to take that down again.

use std::collections::BTreeMap;

use super::env::Env;
use crate::error::Result;
use crate::ports::{AttachedPort, AttachedVolume, OpCx, PortId, PortRequest, VolumeMode};
use crate::types::{DiskSlot, NicIndex, ResolvedDisk, ResolvedNic, ResolvedVm, VolumeId};

/// Makes every volume of the machine usable on this host.
pub(crate) async fn attach_volumes(env: &Env, cx: &OpCx, vm: &ResolvedVm) -> Result<BTreeMap<DiskSlot, AttachedVolume>> {
    let mut attached = BTreeMap::new();
    for (slot, disk) in &vm.disks {
        if let Some(volume) = attach_volume(env, cx, disk).await? {
            attached.insert(*slot, volume);
        }
    }
    Ok(attached)
}

/// Makes the volume of one disk usable; `None` for an empty drive.
pub(crate) async fn attach_volume(env: &Env, cx: &OpCx, disk: &ResolvedDisk) -> Result<Option<AttachedVolume>> {
    let Some(volume) = &disk.volume else { return Ok(None) };
    let mode = if disk.cdrom || disk.options.ro == Some(true) { VolumeMode::Read } else { VolumeMode::Write };
    let storage = env.storage(volume.storage())?;
    storage.capabilities().allow_use(volume.storage(), volume.name())?;
    let access = storage.attach(cx, volume.name(), mode).await?;
    Ok(Some(AttachedVolume { volume: volume.clone(), access }))
}

/// Undoes [`attach_volumes`]. Volumes that are gone are no error.
pub(crate) async fn detach_volumes(env: &Env, cx: &OpCx, volumes: impl IntoIterator<Item = VolumeId>) -> Result<()> {
    for volume in volumes {
        env.storage(volume.storage())?.detach(cx, volume.name()).await?;
    }
    Ok(())
}

/// Makes the port of a card, its link down.
pub(crate) async fn attach_port(env: &Env, cx: &OpCx, index: NicIndex, nic: &ResolvedNic) -> Result<AttachedPort> {
    let request = PortRequest {
        id: PortId { vmid: env.vmid(), nic: index },
        bridge: nic.spec.bridge.clone(),
        mac: nic.mac,
        vlan: nic.spec.vlan,
        trunks: nic.spec.trunks.clone(),
        mtu: nic.spec.mtu,
        queues: nic.spec.queues.unwrap_or(0),
    };
    let port = env.node.ports.network.attach(cx, &request).await?.into_inner();
    Ok(AttachedPort { port })
}

/// Takes the link of a card's port up, unless its cable is unplugged.
pub(crate) async fn link(env: &Env, cx: &OpCx, index: NicIndex, nic: &ResolvedNic) -> Result<()> {
    let up = nic.spec.link_down != Some(true);
    env.node.ports.network.set_link(cx, PortId { vmid: env.vmid(), nic: index }, up).await
}

/// Removes ports.
pub(crate) async fn detach_ports(env: &Env, cx: &OpCx, ports: &[PortId]) -> Result<()> {
    for port in ports {
        env.node.ports.network.detach(cx, *port).await?;
    }
    Ok(())
}

/// Launches the guest's process, halted.
pub(crate) async fn launch(env: &Env, cx: &OpCx, guest: crate::ports::Wired) -> Result<Box<dyn crate::ports::Live>> {
    env.node.ports.driver.launch(cx, guest).await
}

/// Removes what the driver left of a dead process.
pub(crate) async fn clean(env: &Env, cx: &OpCx) -> Result<()> {
    env.node.ports.driver.clean(cx, env.vmid()).await
}

/// Removes everything that a process that is gone left on the host, and stages that it is gone. Repeating it is harmless.
pub(crate) async fn tear_down(env: &Env, cx: &OpCx) -> Result<()> {
    let record = env.record();
    let cards = record.running.iter().flat_map(|s| s.networks.keys().copied());
    let mut ports: Vec<PortId> = cards.map(|nic| PortId { vmid: env.vmid(), nic }).collect();
    ports.extend(record.run.iter().flat_map(|r| r.ports.iter().copied()));
    ports.sort_unstable();
    ports.dedup();
    detach_ports(env, cx, &ports).await?;
    let volumes = record.running.iter().flat_map(|s| s.disks.values().filter_map(|d| d.volume().cloned()));
    detach_volumes(env, cx, volumes.collect::<Vec<_>>()).await?;
    clean(env, cx).await?;
    env.set_live(None);
    if record.run.is_some() || record.running.is_some() {
        env.stage(|r| {
            r.run = None;
            r.running = None;
        });
    }
    Ok(())
}
