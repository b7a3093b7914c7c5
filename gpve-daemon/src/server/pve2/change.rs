//! Making, changing, cloning and removing guests.

use gpve_api::pve2::config::{Definition, Edit, VmConfig, needs_root};
use gpve_api::pve2::{Failure, Reply};
use gpve_api::route::Refused;
use gpve_core::control::{Answer, CloneGuest, CreateGuest, DeleteGuest, UpdateGuest};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::ResizeTo;
use gpve_core::types::{ByteSize, DiskSlot, NodeName, Vmid, VolumeId};
use uuid::Uuid;

use super::guest::{find, find_config};
use super::{Answered, Ctx, nothing, task};

fn failed(e: Error) -> Failure {
    Failure::from(&e)
}

/// Settings that reach for the host are the administrator's.
fn check_root(cx: &Ctx<'_>, config: &VmConfig) -> Result<(), Failure> {
    match needs_root(config) {
        Some(key) if !cx.who.is_root() => Err(Failure::new(403, &format!("only root can set '{key}' config for real devices"))),
        _ => Ok(()),
    }
}

pub(super) async fn create(cx: &Ctx<'_>) -> Answered {
    let (vmid, node) = (cx.params.parse_opt::<Vmid>("vmid").map_err(failed)?, cx.node()?);
    if let Some(vmid) = vmid
        && let Some(there) = cx.app.plane.guest(vmid)
    {
        let text = format!("unable to create VM {vmid} - VM {vmid} already exists on node '{}'", there.node());
        return Err(Failure::new(500, &text));
    }
    if cx.params.contains("archive") {
        return super::not_yet("restoring a backup");
    }
    if let Some(pool) = cx.params.text("pool") {
        // There are no pools yet, so that nobody may use one: Proxmox VE's own answer for a pool that is not there.
        return Err(Failure::new(403, &format!("Permission check failed (pool '{pool}' does not exist)")));
    }
    let config = VmConfig::from_params(&cx.params);
    check_root(cx, &config)?;
    let definition = config.define_new(Uuid::new_v4(), Uuid::new_v4()).map_err(failed)?;
    check_storages(cx, &node, &definition)?;
    let request =
        CreateGuest { vmid, node: Some(node), name: definition.name, start: cx.params.flag("start"), ..CreateGuest::of(definition.spec) };
    task(cx.app.plane.create(&cx.call, request).await)
}

/// Storages must exist before a task is made for them: clients look for the text in the answer.
fn check_storages(cx: &Ctx<'_>, node: &NodeName, definition: &Definition) -> Result<(), Failure> {
    let known = cx.app.plane.node(node).map_err(failed)?.storages;
    for disk in definition.spec.disks.values() {
        let storage = match &disk.source {
            gpve_core::types::DiskSource::Empty | gpve_core::types::DiskSource::Host(_) => continue,
            gpve_core::types::DiskSource::Volume { volume, .. } => volume.storage(),
            gpve_core::types::DiskSource::New { storage, .. }
            | gpve_core::types::DiskSource::Import { storage, .. }
            | gpve_core::types::DiskSource::CloudInit { storage, .. } => storage,
        };
        if !known.contains_key(storage) {
            return Err(Failure::new(500, &format!("storage '{storage}' does not exist")));
        }
    }
    Ok(())
}

pub(super) async fn delete(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    if guest.spec().protection == Some(true) {
        let vmid = cx.vmid()?;
        return Err(Failure::new(500, &format!("can't remove VM {vmid} - protection mode enabled")));
    }
    if guest.object.status.pid.is_some() {
        let vmid = cx.vmid()?;
        return Err(Failure::new(500, &format!("VM {vmid} is running - destroy failed")));
    }
    let request = DeleteGuest {
        purge: cx.params.flag("purge"),
        destroy_unreferenced: cx.params.flag("destroy-unreferenced-disks"),
        stop_first: false,
    };
    task(cx.app.plane.delete(&cx.call, cx.vmid()?, request).await)
}

pub(super) async fn update(cx: &Ctx<'_>, wait: bool) -> Answered {
    let guest = find(cx)?;
    let edit = Edit::from_params(&cx.params).map_err(failed)?;
    check_root(cx, &edit.set)?;
    let (now, running) = (Definition::from(guest.as_ref()), Definition::running(&guest));
    let change = edit.apply(&now, running.as_ref()).map_err(failed)?;
    check_storages(cx, guest.node(), &change.definition)?;
    let vmid = cx.vmid()?;
    let update = UpdateGuest { wait, digest: None, ..change.update };
    let answer = cx.app.plane.update(&cx.call, vmid, update).await.map_err(failed)?;
    destroy(cx, guest.node(), vmid, change.destroy).await?;
    match answer {
        Answer::Accepted(accepted) if !wait => Ok(Reply::data(&accepted.upid)),
        Answer::Accepted(_) | Answer::Unchanged(_) | Answer::Plan(_) => nothing(),
    }
}

/// Volumes that the edit forces away; each in its own task behind the change.
async fn destroy(cx: &Ctx<'_>, node: &NodeName, vmid: Vmid, volumes: Vec<VolumeId>) -> Result<(), Failure> {
    for volume in volumes {
        cx.app.plane.destroy_volume(&cx.call, node, vmid, volume).await.map_err(failed)?;
    }
    Ok(())
}

pub(super) async fn clone(cx: &Ctx<'_>) -> Answered {
    let guest = find_config(cx)?;
    let target: Vmid = cx.params.parse("newid").map_err(failed)?;
    if let Some(there) = cx.app.plane.guest(target) {
        let text =
            format!("unable to create VM {target}: config file already exists (VM {target} already exists on node '{}')", there.node());
        return Err(Failure::new(500, &text));
    }
    let full = cx.params.bool("full");
    if full == Some(false) && !guest.spec().template && !cx.params.contains("snapname") {
        let text = "Linked clone feature is not supported for drives of a VM that is no template";
        return Err(Failure::new(500, text));
    }
    let request = CloneGuest {
        target: Some(target),
        name: cx.params.parse_opt("name").map_err(failed)?,
        description: cx.params.text("description").map(str::to_owned),
        full,
        snapshot: cx.params.parse_opt("snapname").map_err(failed)?,
        storage: cx.params.parse_opt("storage").map_err(failed)?,
        format: cx.params.parse_opt("format").map_err(failed)?,
        ..CloneGuest::of(cx.vmid()?)
    };
    task(cx.app.plane.clone_guest(&cx.call, request).await)
}

pub(super) async fn template(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let vmid = cx.vmid()?;
    let disk = cx.params.parse_opt::<DiskSlot>("disk").map_err(failed)?;
    if !guest.snapshots.is_empty() {
        return Err(Failure::new(
            500,
            &format!("unable to create template, because VM contains snapshots: delete the snapshots of VM {vmid} first"),
        ));
    }
    if guest.spec().template && disk.is_none() {
        return Err(Failure::new(500, "you can't convert a template to a template"));
    }
    if guest.object.status.pid.is_some() {
        return Err(Failure::new(500, "you can't convert a VM to template if VM is running"));
    }
    task(cx.app.plane.template(&cx.call, vmid, disk).await)
}

pub(super) async fn resize(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let disk: DiskSlot = cx.params.parse("disk").map_err(failed)?;
    let text = cx.params.text("size").unwrap_or_default();
    let refused = |why: String| Failure::refused(Refused::one("size", why));
    let parse = |t: &str| t.parse::<ByteSize>().map_err(|e| refused(e.to_string()));
    let size = match text.strip_prefix('+') {
        Some(more) => ResizeTo::Grow(parse(more)?),
        None => ResizeTo::Absolute(parse(text)?),
    };
    if !guest.spec().disks.contains_key(&disk) {
        return Err(Failure::new(500, &format!("disk '{disk}' does not exist")));
    }
    if guest.spec().disks.get(&disk).is_some_and(gpve_core::types::DiskSpec::is_cdrom) {
        return Err(Failure::new(500, "can't resize a cdrom"));
    }
    let shrinks = match (&guest.spec().disks[&disk].source, size) {
        (gpve_core::types::DiskSource::Volume { size: Some(now), .. }, ResizeTo::Absolute(to)) => to < *now,
        _ => false,
    };
    if shrinks {
        return Err(Failure::new(500, "shrinking disks is not supported"));
    }
    task(cx.app.plane.resize(&cx.call, cx.vmid()?, disk, size, cx.params.text("digest")).await)
}

pub(super) async fn unlink(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let edit = Edit { delete: cx.params.list("idlist").to_vec(), force: cx.params.flag("force"), ..Edit::default() };
    let (now, running) = (Definition::from(guest.as_ref()), Definition::running(&guest));
    let change = edit.apply(&now, running.as_ref()).map_err(failed)?;
    let vmid = cx.vmid()?;
    let update = UpdateGuest { wait: true, ..change.update };
    cx.app.plane.update(&cx.call, vmid, update).await.map_err(failed)?;
    destroy(cx, guest.node(), vmid, change.destroy).await?;
    nothing()
}

/// An operation that this version does not have.
pub(super) fn unsupported(what: &str) -> Failure {
    failed(Error::new(ErrorKind::Unsupported, "pve2", format!("{what} is not implemented in this version")))
}
