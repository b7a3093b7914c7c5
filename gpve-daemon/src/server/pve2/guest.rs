//! Reading guests.

use std::sync::Arc;

use gpve_api::pve2::answer::{AgentFlag, GuestRunning, VmCurrent, index_of};
use gpve_api::pve2::config::{Definition, VmConfig, pending as pending_entries, typed};
use gpve_api::pve2::{Failure, Reply};
use gpve_core::control::GuestObject;
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::Guest;
use gpve_core::types::{DiskFormat, SnapName};

use super::{Answered, Ctx, cluster, show};

/// The guest in the path, on the node in the path.
pub(super) fn find(cx: &Ctx<'_>) -> Result<Arc<GuestObject>, Failure> {
    let (vmid, node) = (cx.vmid()?, cx.node()?);
    // Clients know this text and the status 500.
    let missing =
        || Failure::new(cx.app.missing_guest_status, &format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"));
    cx.app.plane.guest(vmid).filter(|g| *g.node() == node).ok_or_else(missing)
}

/// The same for operations where PVE says it otherwise.
pub(super) fn find_config(cx: &Ctx<'_>) -> Result<Arc<GuestObject>, Failure> {
    let (vmid, node) = (cx.vmid()?, cx.node()?);
    let missing = || {
        Failure::new(
            cx.app.missing_guest_status,
            &format!("unable to find configuration file for VM {vmid} on node '{node}': it does not exist"),
        )
    };
    cx.app.plane.guest(vmid).filter(|g| *g.node() == node).ok_or_else(missing)
}

pub(super) fn list(cx: &Ctx<'_>) -> Answered {
    let (node, full) = (cx.node()?, cx.params.flag("full"));
    let (guests, now) = (cx.app.plane.guests(), cx.app.clock.now());
    let here = guests.iter().filter(|g| *g.guest.node() == node && cluster::may_see(cx, g.guest.id()));
    Ok(Reply::data(&here.map(|g| show::entry(g, now, full)).collect::<Vec<_>>()))
}

pub(super) fn index(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    Ok(Reply::data(&index_of(cx.matched.route.operation)))
}

pub(super) fn config(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let (asked, running) = (Definition::from(guest.as_ref()), Definition::running(&guest));
    if cx.params.contains("snapshot") && cx.params.flag("current") {
        return Err(Failure::refused(gpve_api::route::Refused::one("snapshot", "cannot use 'snapshot' parameter with 'current'")));
    }
    let shown = match cx.params.parse_opt::<SnapName>("snapshot").map_err(|e| Failure::from(&e))? {
        Some(name) => return snapshot_config(&guest, &name),
        None if cx.params.flag("current") => running.unwrap_or_else(|| asked.clone()),
        None => asked.clone(),
    };
    let mut json = VmConfig::of(&shown).to_json();
    json.insert("digest".to_owned(), asked.digest().into());
    // A guest that was imported says itself where it comes from.
    json.entry("meta").or_insert_with(|| meta(&guest).into());
    if let Some(lock) = &guest.lock {
        json.insert("lock".to_owned(), lock.as_str().into());
    }
    if let Some(parent) = &guest.object.status.parent_snapshot {
        json.insert("parent".to_owned(), parent.as_str().into());
    }
    Ok(Reply::data(&json))
}

/// When the guest was made, as PVE keeps it in the configuration.
pub(super) fn meta(guest: &GuestObject) -> String {
    format!("ctime={}", guest.object.metadata.creation_timestamp.secs())
}

fn snapshot_config(guest: &GuestObject, name: &SnapName) -> Answered {
    let missing = || Failure::new(500, &format!("snapshot '{name}' does not exist"));
    let snapshot = guest.snapshots.iter().find(|s| s.name == *name).ok_or_else(missing)?;
    let then = Definition { name: snapshot.guest_name.clone(), spec: snapshot.spec.clone() };
    let mut json = VmConfig::of(&then).to_json();
    json.insert("digest".to_owned(), guest.digest().into());
    json.insert("snaptime".to_owned(), typed("snaptime", &snapshot.time.secs().to_string()));
    if let Some(parent) = &snapshot.parent {
        json.insert("parent".to_owned(), parent.as_str().into());
    }
    Ok(Reply::data(&json))
}

pub(super) fn pending(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let (asked, running) = (Definition::from(guest.as_ref()), Definition::running(&guest));
    Ok(Reply::data(&pending_entries(&asked, running.as_ref())))
}

pub(super) fn current(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let guests = cx.app.plane.guests();
    let gone = || Failure::from(&Error::new(ErrorKind::NotFound, "vm.status", format!("VM {} does not exist", guest.id())));
    let known = guests.get(guest.id()).ok_or_else(gone)?;
    let mut entry = show::entry(known, cx.app.clock.now(), true);
    entry.lock.clone_from(&guest.lock);
    let enabled = guest.spec().agent.is_some_and(|a| a.enabled);
    let running = guest.object.status.pid.map(|_| GuestRunning {
        balloon: Some(guest.spec().memory.size.bytes().bytes()),
        diskread: known.usage.disk_read.bytes(),
        diskwrite: known.usage.disk_write.bytes(),
        running_qemu: cx.app.plane.node(guest.node()).ok().and_then(|n| n.info).and_then(|i| i.qemu_version.clone()).unwrap_or_default(),
        running_machine: machine(&guest),
        nics: guest
            .spec()
            .networks
            .keys()
            .map(|n| {
                (
                    format!("tap{}i{}", guest.id(), n.get()),
                    serde_json::json!({
                        "netin": known.usage.net_in.bytes(), "netout": known.usage.net_out.bytes(),
                    }),
                )
            })
            .collect(),
        ..GuestRunning::default()
    });
    let ha = serde_json::json!({ "managed": 0 });
    Ok(Reply::data(&VmCurrent { entry, ha, agent: AgentFlag { agent: enabled.then_some(1) }, running }))
}

fn machine(guest: &GuestObject) -> String {
    let machine = guest.spec().machine.as_ref();
    let kind = machine.map_or("pc", |m| m.kind.as_str());
    match machine.and_then(|m| m.version.as_ref()) {
        Some(version) => format!("{}-{version}", if kind == "pc" { "pc-i440fx" } else { "pc-q35" }),
        None => kind.to_owned(),
    }
}

pub(super) fn feature(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let node = cx.app.plane.node(guest.node()).map_err(|e| Failure::from(&e))?;
    let can = |disk: &gpve_core::types::DiskSpec| {
        let Some(volume) = disk.volume() else { return true };
        let known = node.storages.contains_key(volume.storage());
        match cx.params.text("feature") {
            Some("snapshot") => known && !volume.name().as_str().ends_with(DiskFormat::Raw.as_str()),
            Some("clone") => known && guest.spec().template,
            _ => known,
        }
    };
    let has = guest.spec().disks.values().filter(|d| !d.is_cdrom()).all(can);
    Ok(Reply::data(&serde_json::json!({ "hasFeature": u8::from(has), "nodes": [guest.node()] })))
}
