//! Guests as Proxmox VE shows them.

use gpve_api::pve2::answer::{GuestEntry, GuestNow, VmResource};
use gpve_core::control::{GuestEntry as Known, GuestObject};
use gpve_core::ports::Guest;
use gpve_core::types::{Ballooning, DiskSource, GuestPhase, GuestUsage, Timestamp, VmSpec};

/// `running` or `stopped`: whether there is a process.
pub(super) fn status(guest: &GuestObject) -> &'static str {
    if guest.object.status.pid.is_some() { "running" } else { "stopped" }
}

/// QEMU's word for what the process does.
pub(super) fn qmp_status(guest: &GuestObject) -> &'static str {
    match (guest.object.status.pid, guest.phase()) {
        (None, _) => "stopped",
        (Some(_), GuestPhase::Paused) => "paused",
        (Some(_), GuestPhase::Starting) => "prelaunch",
        (Some(_), GuestPhase::Failed) => "io-error",
        (Some(_), _) => "running",
    }
}

/// The name that lists show: PVE's own for a guest without one.
pub(super) fn name(guest: &GuestObject) -> String {
    guest.name.as_ref().map_or_else(|| format!("VM {}", guest.id()), ToString::to_string)
}

/// Tags joined as PVE stores them; none is left out.
pub(super) fn tags(spec: &VmSpec) -> Option<String> {
    let tags: Vec<&str> = spec.tags.iter().map(|t| t.as_str()).collect();
    (!tags.is_empty()).then(|| tags.join(";"))
}

/// Size of the disk that is booted, as lists show it.
fn max_disk(spec: &VmSpec) -> u64 {
    let first = spec.disks.values().find(|d| d.name.bus().is_drive() && !d.is_cdrom());
    match first.map(|d| &d.source) {
        Some(DiskSource::Volume { size: Some(size), .. }) => size.bytes(),
        _ => 0,
    }
}

fn uptime(guest: &GuestObject, now: Timestamp) -> u64 {
    guest.object.status.start_time.filter(|_| guest.object.status.pid.is_some()).map_or(0, |t| now.since(t).as_secs())
}

fn cpus(spec: &VmSpec) -> u32 {
    u32::from(spec.cpu.vcpus.unwrap_or(spec.cpu.total()))
}

/// Share of the guest's processors in use.
fn cpu(spec: &VmSpec, usage: &GuestUsage) -> f64 {
    usage.cpu_cores / f64::from(cpus(spec).max(1))
}

fn memory(guest: &GuestObject, usage: &GuestUsage) -> u64 {
    let max = guest.spec().memory.size.bytes().bytes();
    if guest.object.status.pid.is_some() { usage.memory.bytes().min(max) } else { 0 }
}

/// A guest in a node's list; the basis of its current status.
pub(super) fn entry(known: &Known, now: Timestamp, full: bool) -> GuestEntry {
    let (guest, usage) = (known.guest.as_ref(), &known.usage);
    let spec = guest.spec();
    let pid = guest.object.status.pid;
    GuestEntry {
        vmid: guest.id().get(),
        name: name(guest),
        status: status(guest),
        tags: tags(spec),
        template: spec.template.then_some(1),
        lock: guest.lock.clone(),
        cpus: cpus(spec),
        cpu: cpu(spec, usage),
        maxmem: spec.memory.size.bytes().bytes(),
        mem: memory(guest, usage),
        memhost: if pid.is_some() { usage.memory.bytes() } else { 0 },
        maxdisk: max_disk(spec),
        disk: 0,
        netin: usage.net_in.bytes(),
        netout: usage.net_out.bytes(),
        uptime: uptime(guest, now),
        serial: (!spec.serials.is_empty()).then_some(1),
        balloon_min: match spec.memory.ballooning {
            Ballooning::Min(min) => Some(min.bytes().bytes()),
            Ballooning::On | Ballooning::Off => None,
        },
        shares: spec.memory.shares,
        qmpstatus: full.then(|| qmp_status(guest).to_owned()),
        running: pid.map(|pid| GuestNow { pid, ..GuestNow::default() }),
    }
}

/// A guest among the cluster's resources.
pub(super) fn resource(known: &Known, now: Timestamp) -> VmResource {
    let (guest, usage) = (known.guest.as_ref(), &known.usage);
    let spec = guest.spec();
    VmResource {
        id: format!("qemu/{}", guest.id()),
        kind: "qemu",
        vmid: guest.id().get(),
        name: name(guest),
        node: guest.node().to_string(),
        status: status(guest),
        template: u8::from(spec.template),
        tags: tags(spec),
        lock: guest.lock.clone(),
        pool: None,
        cpu: cpu(spec, usage),
        maxcpu: cpus(spec),
        mem: memory(guest, usage),
        memhost: if guest.object.status.pid.is_some() { usage.memory.bytes() } else { 0 },
        maxmem: spec.memory.size.bytes().bytes(),
        disk: 0,
        maxdisk: max_disk(spec),
        diskread: usage.disk_read.bytes(),
        diskwrite: usage.disk_write.bytes(),
        netin: usage.net_in.bytes(),
        netout: usage.net_out.bytes(),
        uptime: uptime(guest, now),
    }
}
