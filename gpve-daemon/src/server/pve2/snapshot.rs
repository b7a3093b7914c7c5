//! Snapshots.

use gpve_api::pve2::answer::{SnapshotEntry, index_of};
use gpve_api::pve2::{Failure, Reply};
use gpve_core::control::GuestObject;
use gpve_core::types::SnapName;

use super::guest::find;
use super::{Answered, Ctx, nothing, task};

fn name(cx: &Ctx<'_>) -> Result<SnapName, Failure> {
    cx.params.parse("snapname").map_err(|e| Failure::from(&e))
}

/// The snapshot in the path must be there.
fn known(guest: &GuestObject, name: &SnapName) -> Result<(), Failure> {
    let there = guest.snapshots.iter().any(|s| s.name == *name);
    if there { Ok(()) } else { Err(Failure::new(500, &format!("snapshot '{name}' does not exist"))) }
}

pub(super) fn list(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let mut entries: Vec<SnapshotEntry> = guest
        .snapshots
        .iter()
        .map(|s| SnapshotEntry {
            name: s.name.to_string(),
            description: s.description.clone(),
            parent: s.parent.as_ref().map(ToString::to_string),
            snaptime: Some(s.time.secs()),
            vmstate: Some(u8::from(s.vmstate)),
            ..SnapshotEntry::default()
        })
        .collect();
    let parent = guest.object.status.parent_snapshot.as_ref().map(ToString::to_string);
    // Clients drop the last entry.
    entries.push(SnapshotEntry::current(parent, guest.object.status.pid.is_some(), guest.digest()));
    Ok(Reply::data(&entries))
}

pub(super) async fn create(cx: &Ctx<'_>) -> Answered {
    let guest = find(cx)?;
    let (vmid, description) = (cx.vmid()?, cx.params.text("description").unwrap_or_default().to_owned());
    if cx.params.text("snapname") == Some("current") {
        return Err(Failure::new(500, "unable to use snapshot name 'current' (reserved name)"));
    }
    let name = name(cx)?;
    if cx.params.flag("vmstate") && guest.object.status.pid.is_some() {
        return Err(super::change::unsupported("saving memory in a snapshot"));
    }
    task(cx.app.plane.snapshot(&cx.call, vmid, name, description).await)
}

pub(super) fn index(cx: &Ctx<'_>) -> Answered {
    known(&*find(cx)?, &name(cx)?)?;
    Ok(Reply::data(&index_of(cx.matched.route.operation)))
}

pub(super) async fn delete(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    task(cx.app.plane.delete_snapshot(&cx.call, cx.vmid()?, name(cx)?, cx.params.flag("force")).await)
}

pub(super) fn config(cx: &Ctx<'_>) -> Answered {
    let (guest, name) = (find(cx)?, name(cx)?);
    known(&guest, &name)?;
    let Some(snapshot) = guest.snapshots.iter().find(|s| s.name == name) else { return nothing() };
    let then = gpve_api::pve2::config::Definition { name: snapshot.guest_name.clone(), spec: snapshot.spec.clone() };
    let mut json = gpve_api::pve2::config::VmConfig::of(&then).to_json();
    if !snapshot.description.is_empty() {
        json.insert("description".to_owned(), snapshot.description.as_str().into());
    }
    if let Some(parent) = &snapshot.parent {
        json.insert("parent".to_owned(), parent.as_str().into());
    }
    json.insert("snaptime".to_owned(), snapshot.time.secs().into());
    json.entry("meta").or_insert_with(|| super::guest::meta(&guest).into());
    Ok(Reply::data(&json))
}

pub(super) async fn describe(cx: &Ctx<'_>) -> Answered {
    let (guest, name) = (find(cx)?, name(cx)?);
    known(&guest, &name)?;
    if let Some(description) = cx.params.text("description") {
        let answer = cx.app.plane.describe_snapshot(&cx.call, cx.vmid()?, name, description.to_owned()).await;
        let accepted = answer.and_then(gpve_core::control::Answer::accepted).map_err(|e| Failure::from(&e))?;
        let report = cx.app.plane.wait(&accepted.upid).await.map_err(|e| Failure::from(&e))?;
        gpve_core::control::outcome(&report).map_err(|e| Failure::from(&e))?;
    }
    nothing()
}

pub(super) async fn rollback(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    task(cx.app.plane.rollback(&cx.call, cx.vmid()?, name(cx)?, cx.params.flag("start")).await)
}
