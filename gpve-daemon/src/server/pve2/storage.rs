//! Storages and volumes.

use gpve_api::pve2::answer::{StorageEntry, VolumeEntry, VolumeInfo, content_list, index_of};
use gpve_api::pve2::{Failure, Reply};
use gpve_api::route::Refused;
use gpve_core::control::{AllocateVolume, Answer, outcome};
use gpve_core::error::Error;
use gpve_core::ports::{ContentKind, ContentRequest, StorageReport, VolumeFilter, VolumeReport};
use gpve_core::types::{ByteSize, DiskFormat, StorageId, Vmid, VolumeId, VolumeName};

use super::{Answered, Ctx, task};

fn failed(e: Error) -> Failure {
    Failure::from(&e)
}

/// The storage in the path, on the node in the path.
fn find(cx: &Ctx<'_>) -> Result<StorageReport, Failure> {
    let id: StorageId = cx.params.parse("storage").map_err(failed)?;
    let node = cx.app.plane.node(&cx.node()?).map_err(failed)?;
    // Clients look for this text in `errors`.
    node.storages.get(&id).cloned().ok_or_else(|| Failure::refused(Refused::one("storage", "No such storage.")))
}

fn entry(storage: &StorageReport) -> StorageEntry {
    let flag = u8::from;
    StorageEntry {
        kind: storage.kind.clone(),
        content: content_list(storage.capabilities.contents.iter().map(|c| c.as_str())),
        active: flag(storage.status.active),
        enabled: 1,
        shared: flag(storage.capabilities.shared),
        total: storage.status.total.bytes(),
        used: storage.status.used.bytes(),
        avail: storage.status.available.bytes(),
        ..StorageEntry::default()
    }
}

pub(super) fn list(cx: &Ctx<'_>) -> Answered {
    let node = cx.app.plane.node(&cx.node()?).map_err(failed)?;
    let wanted = cx.params.text("content").map(|c| c.split([',', ';', ' ']).map(str::to_owned).collect::<Vec<_>>());
    if let Some(id) = cx.params.text("storage")
        && !node.storages.keys().any(|s| s.as_str() == id)
    {
        return Err(Failure::new(500, &format!("storage '{id}' does not exist")));
    }
    let shown = node.storages.values().filter(|s| {
        let holds = wanted.as_ref().is_none_or(|w| s.capabilities.contents.iter().any(|c| w.iter().any(|n| n == c.as_str())));
        holds && cx.params.text("storage").is_none_or(|id| s.id.as_str() == id)
    });
    Ok(Reply::data(&shown.map(|s| entry(s).in_list(s.id.as_str())).collect::<Vec<_>>()))
}

pub(super) fn index(cx: &Ctx<'_>) -> Answered {
    find(cx)?;
    Ok(Reply::data(&index_of(cx.matched.route.operation)))
}

pub(super) fn status(cx: &Ctx<'_>) -> Answered {
    Ok(Reply::data(&entry(&find(cx)?)))
}

/// A definition as Proxmox VE keeps it. Nothing is pruned here, which there is `keep-all=1`.
fn definition_of(cx: &Ctx<'_>, storage: &StorageReport) -> serde_json::Value {
    let path = cx.app.storages.iter().find(|s| s.name == storage.id.as_str()).map(|s| s.path.display().to_string());
    let mut shown = serde_json::json!({
        "storage": storage.id,
        "type": storage.kind,
        "content": content_list(storage.capabilities.contents.iter().map(|c| c.as_str())),
        "prune-backups": "keep-all=1",
        "digest": digest(cx),
    });
    if let Some(path) = path {
        shown["path"] = path.into();
    }
    if storage.capabilities.shared {
        shown["shared"] = 1.into();
    }
    shown
}

/// Of all definitions together, as there.
fn digest(cx: &Ctx<'_>) -> String {
    let text = format!("{:?}", cx.app.storages);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    // As long as the SHA-1 that clients know.
    hash.as_ref().iter().take(20).map(|b| format!("{b:02x}")).collect()
}

pub(super) fn definitions(cx: &Ctx<'_>) -> Answered {
    let node = cx.app.plane.node(&cx.node()?).map_err(failed)?;
    let of_type = |s: &&StorageReport| cx.params.text("type").is_none_or(|t| s.kind == t);
    Ok(Reply::data(&node.storages.values().filter(of_type).map(|s| definition_of(cx, s)).collect::<Vec<_>>()))
}

pub(super) fn definition(cx: &Ctx<'_>) -> Answered {
    let id: StorageId = cx.params.parse("storage").map_err(failed)?;
    let node = cx.app.plane.node(&cx.node()?).map_err(failed)?;
    let missing = || Failure::new(500, &format!("storage '{id}' does not exist"));
    Ok(Reply::data(&definition_of(cx, node.storages.get(&id).ok_or_else(missing)?)))
}

pub(super) async fn volumes(cx: &Ctx<'_>) -> Answered {
    let storage = find(cx)?;
    let content = cx.params.parse_opt::<ContentKind>("content").map_err(failed)?;
    let owner = cx.params.parse_opt::<Vmid>("vmid").map_err(failed)?;
    let request = ContentRequest { storage: storage.id, filter: VolumeFilter { content, owner }, name: None };
    let found = cx.app.plane.content(&cx.node()?, &request).await.map_err(failed)?;
    Ok(Reply::data(&found.iter().map(volume_entry).collect::<Vec<_>>()))
}

fn volume_entry(report: &VolumeReport) -> VolumeEntry {
    let v = &report.volume;
    let images = v.content == ContentKind::Images;
    VolumeEntry {
        volid: v.id.to_string(),
        content: v.content.to_string(),
        format: shown_format(report),
        size: v.size.bytes(),
        ctime: v.created.map(|t| t.secs()),
        used: images.then(|| v.used.bytes()),
        vmid: v.owner.map(Vmid::get),
        parent: images.then(|| v.parent.as_ref().map(|p| p.name().as_str().rsplit('/').next().unwrap_or_default().to_owned())),
    }
}

/// PVE's word: the layout of a disk, the kind of any other file.
fn shown_format(report: &VolumeReport) -> String {
    match report.volume.content {
        ContentKind::Iso => "iso".to_owned(),
        ContentKind::Snippets => "snippet".to_owned(),
        ContentKind::Images | ContentKind::Rootdir | ContentKind::Import => report.volume.format.to_string(),
        ContentKind::Backup | ContentKind::Vztmpl => {
            report.volume.id.name().as_str().rsplit_once('.').map_or_else(String::new, |(_, end)| end.to_owned())
        }
    }
}

/// The volume in the path: with or without the storage in front.
fn volume_id(cx: &Ctx<'_>, storage: &StorageId) -> Result<VolumeId, Failure> {
    let text = cx.params.text("volume").unwrap_or_default();
    let name = text.strip_prefix(&format!("{storage}:")).unwrap_or(text);
    if let Some((other, _)) = name.split_once(':') {
        return Err(Failure::new(400, &format!("storage ID missmatch: '{other}' is not '{storage}'")));
    }
    let unparsable = || Failure::new(500, &format!("unable to parse directory volume name '{name}'"));
    Ok(VolumeId::new(storage.clone(), name.parse::<VolumeName>().map_err(|_| unparsable())?))
}

async fn find_volume(cx: &Ctx<'_>) -> Result<VolumeReport, Failure> {
    let storage = find(cx)?;
    let id = volume_id(cx, &storage.id)?;
    let request = ContentRequest { storage: storage.id, filter: VolumeFilter::default(), name: Some(id.name().clone()) };
    let found = cx.app.plane.content(&cx.node()?, &request).await.map_err(failed)?;
    found.into_iter().next().ok_or_else(|| Failure::new(500, &format!("volume '{id}' does not exist")))
}

pub(super) async fn volume(cx: &Ctx<'_>) -> Answered {
    let report = find_volume(cx).await?;
    Ok(Reply::data(&VolumeInfo {
        format: shown_format(&report),
        path: report.path.clone().unwrap_or_default(),
        size: report.volume.size.bytes(),
        used: report.volume.used.bytes(),
    }))
}

pub(super) async fn allocate(cx: &Ctx<'_>) -> Answered {
    let storage = find(cx)?;
    let owner: Vmid = cx.params.parse("vmid").map_err(failed)?;
    let asked = cx.params.text("filename").unwrap_or_default();
    let size = alloc_size(cx.params.text("size").unwrap_or_default())?;
    let by_name = asked.rsplit_once('.').and_then(|(_, end)| end.parse::<DiskFormat>().ok());
    let format = cx.params.parse_opt::<DiskFormat>("format").map_err(failed)?;
    if let (Some(a), Some(b)) = (format, by_name)
        && a != b
    {
        return Err(Failure::refused(Refused::one("format", format!("different storage formats ({a} != {b})"))));
    }
    let format = format.or(by_name);
    // Files of a folder storage lie in the owner's folder and end with their format.
    let file = if by_name.is_some() { asked.to_owned() } else { format!("{asked}.{}", format.unwrap_or(DiskFormat::Raw)) };
    let wrong = || Failure::new(500, &format!("illegal name '{asked}' - should be 'vm-{owner}-*'"));
    if !asked.starts_with(&format!("vm-{owner}-")) {
        return Err(wrong());
    }
    let name: VolumeName = format!("{owner}/{file}").parse().map_err(|_| wrong())?;
    let request = AllocateVolume { storage: storage.id.clone(), name: Some(name.clone()), format: format.or(Some(DiskFormat::Raw)), size };
    let answer = cx.app.plane.allocate_volume(&cx.call, &cx.node()?, owner, request).await;
    let accepted = answer.and_then(Answer::accepted).map_err(failed)?;
    let report = cx.app.plane.wait(&accepted.upid).await.map_err(failed)?;
    outcome(&report).map_err(failed)?;
    Ok(Reply::data(&VolumeId::new(storage.id, name)))
}

/// KiB unless a unit says otherwise.
fn alloc_size(text: &str) -> Result<ByteSize, Failure> {
    let parsed = match text.parse::<u64>() {
        Ok(kib) => Ok(ByteSize::from_kib(kib)),
        Err(_) => text.parse::<ByteSize>(),
    };
    parsed.map_err(|e| Failure::refused(Refused::one("size", e.to_string())))
}

pub(super) async fn delete(cx: &Ctx<'_>) -> Answered {
    let storage = find(cx)?;
    let id = volume_id(cx, &storage.id)?;
    // What is gone already is removed without an error, as on Proxmox VE; then only its name tells whose it was.
    let owner = match (find_volume(cx).await, id.name().as_str().split_once('/')) {
        (Ok(report), _) => report.volume.owner,
        (Err(_), Some((owner, _))) => owner.parse().ok(),
        (Err(failure), None) => return Err(failure),
    };
    let owner = owner.unwrap_or(Vmid::MIN);
    if let Some(guest) = cx.app.plane.guest(owner)
        && guest.spec().owned_volumes().chain(guest.spec().cloud_init_drive(owner).map(|(_, volume)| volume)).any(|v| *v == id)
    {
        return Err(Failure::new(
            500,
            &format!("Cannot remove image, a guest with VMID '{owner}' exists! You can delete the image from the guest's hardware pane"),
        ));
    }
    let answer = cx.app.plane.destroy_volume(&cx.call, &cx.node()?, owner, id).await;
    task(answer)
}
