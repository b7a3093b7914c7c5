//! Changing a guest's spec: at once where the running machine can, otherwise at its next start.
//!
//! The record's `spec` is what was asked, its `running` what the process has; what is pending is their difference.

use async_trait::async_trait;

use super::cloud_init::{self, WriteCloudInit};
use super::guest_clone::random_mac;
use super::volumes::MakeVolumes;
use crate::control::config_digest;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Env, Memo, volumes, wiring};
use crate::patch::SpecPatch;
use crate::ports::{ConfigPatch, Hotplug, HotplugChange, OpCx, PortId};
use crate::saga::{Step, Steps};
use crate::types::{DiskSlot, DiskSource, DiskSpec, NicIndex, NicSpec, ResolvedDisk, ResolvedNic, VmSpec, VolumeId};

/// Most volumes that can hang on a guest unused, as in PVE.
const UNUSED: u8 = 255;

pub(super) fn steps(patch: &ConfigPatch) -> Steps<Env, Memo> {
    vec![
        Box::new(Plan(patch.clone())),
        Box::new(MakeVolumes),
        Box::new(WriteCloudInit(patch.clone())),
        Box::new(ApplyLive { refresh_cloud_init: patch.refresh_cloud_init }),
        Box::new(Record(patch.clone())),
        Box::new(DropVolumes),
    ]
}

/// Decides the new spec: names, addresses, what becomes unused, what goes.
struct Plan(ConfigPatch);

#[async_trait]
impl Step<Env, Memo> for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let record = env.record();
        if self.0.digest.as_ref().is_some_and(|d| *d != config_digest(record.name.as_ref(), &record.spec)) {
            let text = "the configuration was changed in the meantime (its digest is another one): read it again and retry";
            return Err(Error::new(ErrorKind::Conflict, "guest.update", text).on(env.vmid()));
        }
        let mut spec = record.spec.clone();
        if let Some(running) = &record.running {
            spec = SpecPatch::between(&spec, running)?.only(&self.0.revert).apply(&spec)?;
        }
        spec = self.0.spec.apply(&spec)?;
        memo.doomed = record.spec.unused.values().filter(|v| !mentions(&spec, v)).cloned().collect();
        memo.doomed.iter().try_for_each(|volume| super::snapshot::refuse_part(&record, "guest.update", volume))?;
        let owned: Vec<VolumeId> = record.spec.owned_volumes().cloned().collect();
        for id in owned.into_iter().filter(|v| !memo.doomed.contains(v)) {
            if !mentions(&spec, &id) {
                put_unused(&mut spec, id)?;
            }
        }
        // A volume that went from `unusedN` back into a slot is no longer unused.
        let in_slots: Vec<VolumeId> = spec.disks.values().filter_map(DiskSpec::volume).cloned().collect();
        spec.unused.retain(|_, v| !in_slots.contains(v));
        for nic in spec.networks.values_mut().filter(|n| n.mac_address.is_none()) {
            nic.mac_address = Some(random_mac());
        }
        let bad = spec.check();
        if !bad.is_empty() {
            return Err(Error::invalid("guest.update", bad).on(env.vmid()));
        }
        super::guest_create::check_given_volumes(env, cx, &spec).await?;
        if self.0.refresh_cloud_init && !spec.disks.values().any(DiskSpec::is_cloud_init) {
            return Err(Error::precondition("guest.update", format!("VM {} has no cloud-init drive", env.vmid())).on(env.vmid()));
        }
        memo.volumes = volumes::plan(env, cx, &mut spec).await?;
        let drive = record.spec.cloud_init_drive(env.vmid()).map(|(_, volume)| volume.clone());
        memo.doomed.extend(drive.filter(|volume| !mentions(&spec, volume)));
        // One that hung there unused may be in use again, by its name.
        let again = spec.cloud_init_drive(env.vmid()).map(|(_, volume)| volume.clone());
        spec.unused.retain(|_, volume| Some(&*volume) != again.as_ref());
        memo.spec = Some(Box::new(spec));
        Ok(())
    }
}

fn mentions(spec: &VmSpec, volume: &VolumeId) -> bool {
    spec.disks.values().any(|d| d.volume() == Some(volume)) || spec.unused.values().any(|v| v == volume)
}

/// Hangs a volume on the spec as unused.
pub(super) fn put_unused(spec: &mut VmSpec, volume: VolumeId) -> Result<()> {
    let free = (0..=UNUSED).find(|n| !spec.unused.contains_key(n));
    let full =
        || Error::new(crate::error::ErrorKind::ResourceExhausted, "guest.update", "no free 'unused' slot: delete unused disks first");
    spec.unused.insert(free.ok_or_else(full)?, volume);
    Ok(())
}

/// Changes the running machine, one path after the other. Undo changes back what was changed.
struct ApplyLive {
    refresh_cloud_init: bool,
}

#[async_trait]
impl Step<Env, Memo> for ApplyLive {
    fn name(&self) -> &'static str {
        "hotplug"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let (Some(live), Some(old)) = (env.live(), env.record().running) else { return Ok(()) };
        let Some(new) = memo.spec.clone() else { return Ok(()) };
        let changes = SpecPatch::between(&old, &new)?;
        for path in changes.paths().map(str::to_owned).collect::<Vec<_>>() {
            if memo.applied.contains(&path) {
                continue;
            }
            if is_inert(&path) || cloud_init::is_idle(env, &path, &old, &new) {
                memo.applied.push(path);
                continue;
            }
            if let Some(hotplug) = live.hotplug()
                && plug(env, cx, hotplug, &path, &old, &new).await?
            {
                cx.log(format!("{path}: changed in the running VM"));
                memo.applied.push(path);
            } else {
                cx.log(format!("{path}: will change at the next start"));
            }
        }
        if let Some(hotplug) = live.hotplug()
            && let Some(slot) = cloud_init::to_refresh(env, &old, &new, self.refresh_cloud_init)
        {
            cloud_init::insert(env, cx, hotplug, slot, &new).await?;
            memo.applied.extend(changes.paths().filter(|p| cloud_init::is_setting(p)).map(str::to_owned));
        }
        Ok(())
    }

    async fn undo(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let (Some(live), Some(old)) = (env.live(), env.record().running) else { return Ok(()) };
        let Some(new) = memo.spec.clone() else { return Ok(()) };
        let Some(hotplug) = live.hotplug() else { return Ok(()) };
        // Every path, not only those noted as applied: a crash may have come between doing and noting.
        for path in SpecPatch::between(&old, &new)?.paths().filter(|p| !is_inert(p)) {
            plug(env, cx, hotplug, path, &new, &old).await?;
        }
        memo.applied.clear();
        let ports: Vec<PortId> =
            new.networks.keys().filter(|n| !old.networks.contains_key(n)).map(|nic| PortId { vmid: env.vmid(), nic: *nic }).collect();
        wiring::detach_ports(env, cx, &ports).await?;
        let volumes = memo.volumes.iter().map(|p| p.id.clone()).collect::<Vec<_>>();
        wiring::detach_volumes(env, cx, volumes).await
    }
}

/// Paths that no process knows of: they are in force as soon as they are written down.
fn is_inert(path: &str) -> bool {
    const INERT: [&str; 15] = [
        "description", "tags", "onBoot", "startup", "autostart", "protection", "template", "memory.shares", "reboot", "hookScript",
        "hotplug", "lock", "migration", "stateStorage", "origin",
    ];
    INERT.contains(&path) || path.starts_with("unused.") || path.starts_with("other.")
}

/// Changes one path from `old` to `new` in the running machine; `false` if it cannot.
async fn plug(env: &Env, cx: &OpCx, hotplug: &dyn Hotplug, path: &str, old: &VmSpec, new: &VmSpec) -> Result<bool> {
    match path.split_once('.') {
        Some(("disks", slot)) => match slot.parse() {
            Ok(slot) => plug_disk(env, cx, hotplug, slot, old.disks.get(&slot), new.disks.get(&slot)).await,
            Err(_) => Ok(false),
        },
        Some(("networks", index)) => match index.parse() {
            Ok(index) => plug_nic(env, cx, hotplug, index, old.networks.get(&index), new.networks.get(&index)).await,
            Err(_) => Ok(false),
        },
        Some(("cpu", "limit" | "units")) => {
            apply_if_can(cx, hotplug, HotplugChange::CpuLimits { limit: new.cpu.limit, units: new.cpu.units }).await
        }
        _ => Ok(false),
    }
}

async fn apply_if_can(cx: &OpCx, hotplug: &dyn Hotplug, change: HotplugChange) -> Result<bool> {
    if !hotplug.can(&change) {
        return Ok(false);
    }
    hotplug.apply(cx, change).await.map(|()| true)
}

async fn plug_disk(
    env: &Env,
    cx: &OpCx,
    hotplug: &dyn Hotplug,
    slot: DiskSlot,
    old: Option<&DiskSpec>,
    new: Option<&DiskSpec>,
) -> Result<bool> {
    // Drives of the host are opened by the driver at a start, not through a storage.
    if [old, new].into_iter().flatten().any(|disk| disk.host_path().is_some()) {
        return Ok(matches!((old, new), (Some(a), Some(b)) if same_hardware(a, b)));
    }
    match (old, new) {
        (None, Some(disk)) => {
            let resolved = ResolvedDisk::of(disk);
            let Some(volume) = wiring::attach_volume(env, cx, &resolved).await? else { return Ok(false) };
            let plugged = apply_if_can(cx, hotplug, HotplugChange::AddDisk { slot, disk: Box::new(resolved), volume }).await?;
            if !plugged {
                wiring::detach_volumes(env, cx, disk.volume().cloned()).await?;
            }
            Ok(plugged)
        }
        (Some(disk), None) => {
            let gone = apply_if_can(cx, hotplug, HotplugChange::RemoveDisk { slot }).await?;
            if gone {
                wiring::detach_volumes(env, cx, disk.volume().cloned()).await?;
            }
            Ok(gone)
        }
        (Some(a), Some(b)) if a.is_cdrom() && b.is_cdrom() => {
            let medium = wiring::attach_volume(env, cx, &ResolvedDisk::of(b)).await?;
            let changed = apply_if_can(cx, hotplug, HotplugChange::ChangeMedium { slot, medium }).await?;
            if changed && a.volume() != b.volume() {
                wiring::detach_volumes(env, cx, a.volume().cloned()).await?;
            }
            Ok(changed)
        }
        (Some(a), Some(b)) => Ok(same_hardware(a, b)),
        (None, None) => Ok(false),
    }
}

/// True if two disks differ only in what no process sees.
fn same_hardware(a: &DiskSpec, b: &DiskSpec) -> bool {
    let plain = |d: &DiskSpec| {
        let mut d = d.clone();
        (d.options.backup, d.options.replicate, d.options.format) = (None, None, None);
        if let DiskSource::Volume { size, .. } = &mut d.source {
            *size = None;
        }
        d
    };
    plain(a) == plain(b)
}

async fn plug_nic(
    env: &Env,
    cx: &OpCx,
    hotplug: &dyn Hotplug,
    index: NicIndex,
    old: Option<&NicSpec>,
    new: Option<&NicSpec>,
) -> Result<bool> {
    match (old, new) {
        (None, Some(nic)) => {
            let Some(mac) = nic.mac_address else { return Ok(false) };
            let resolved = ResolvedNic { mac, spec: nic.clone() };
            let port = wiring::attach_port(env, cx, index, &resolved).await?;
            wiring::link(env, cx, index, &resolved).await?;
            let plugged = apply_if_can(cx, hotplug, HotplugChange::AddNic { index, nic: resolved, port }).await?;
            if !plugged {
                wiring::detach_ports(env, cx, &[PortId { vmid: env.vmid(), nic: index }]).await?;
            }
            Ok(plugged)
        }
        (Some(_), None) => {
            let gone = apply_if_can(cx, hotplug, HotplugChange::RemoveNic { index }).await?;
            if gone {
                wiring::detach_ports(env, cx, &[PortId { vmid: env.vmid(), nic: index }]).await?;
            }
            Ok(gone)
        }
        (Some(a), Some(b)) if only_cable_differs(a, b) => {
            let up = b.link_down != Some(true);
            apply_if_can(cx, hotplug, HotplugChange::SetLink { index, up }).await
        }
        _ => Ok(false),
    }
}

fn only_cable_differs(a: &NicSpec, b: &NicSpec) -> bool {
    NicSpec { link_down: None, ..a.clone() } == NicSpec { link_down: None, ..b.clone() }
}

/// Writes down the new spec and what of it runs.
struct Record(ConfigPatch);

#[async_trait]
impl Step<Env, Memo> for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(mut spec) = memo.spec.clone() else { return Err(Error::internal("guest.update", "no spec was planned")) };
        for disk in spec.disks.values_mut() {
            super::guest_create::fill_in_size(env, cx, disk).await?;
        }
        let running = match env.record().running {
            Some(running) => Some(Box::new(SpecPatch::between(&running, &spec)?.only(&memo.applied).apply(&running)?)),
            None => None,
        };
        let name = self.0.name.clone();
        env.update(|r| {
            if r.spec != *spec || name.is_some() {
                r.generation += 1;
            }
            r.spec = *spec;
            r.running = running;
            if let Some(name) = name {
                r.name = name;
            }
        })
        .await
    }
}

/// Deletes volumes that were unused and are not mentioned any more. The spec is in force already: what cannot be deleted
/// is a warning.
struct DropVolumes;

#[async_trait]
impl Step<Env, Memo> for DropVolumes {
    fn name(&self) -> &'static str {
        "drop"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        for volume in &memo.doomed {
            // A cloud-init drive that the running machine does not let go of, or that cannot be deleted, hangs on the guest as
            // unused: it was in the spec until now.
            let is_cloud_init = volume.name().cloud_init_of() == Some(env.vmid());
            let is_held = is_cloud_init && env.record().running.is_some_and(|r| mentions(&r, volume));
            let gone = if is_held { Ok(()) } else { volumes::delete(env, cx, [volume.clone()]).await };
            if let Err(e) = &gone {
                cx.warn(format!("an unused volume stays on its storage: {}", e.report()));
            }
            if is_cloud_init && (is_held || gone.is_err()) && !mentions(&env.record().spec, volume) {
                let mut spec = env.record().spec;
                put_unused(&mut spec, volume.clone())?;
                env.update(|r| r.spec = spec).await?;
            }
        }
        Ok(())
    }
}
