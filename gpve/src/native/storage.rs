//! Volumes of storages.

use gpve_api::v1::{List, VolumeRequest, VolumeView};
use gpve_core::control::{AllocateVolume, NodeStatus};
use gpve_core::error::{Error, Result};
use gpve_core::ports::{ContentRequest, Guest as _, VolumeFilter};
use gpve_core::types::{NodeName, StorageId, Vmid, VolumeId, VolumeName};

use super::{Answered, Asked, document};

/// The storage that the path names, and the node to ask: the one that the request names, or the only one that there is. A shared storage
/// is the same on every node.
fn place(cx: &Asked) -> Result<(NodeName, StorageId)> {
    let (storage, asked): (StorageId, Option<NodeName>) = (cx.params.parse("storage")?, cx.params.parse_opt("node")?);
    let nodes = cx.plane.nodes();
    let is_candidate = |n: &&NodeStatus| asked.as_ref().is_none_or(|a| *a == n.name) && n.storages.contains_key(&storage);
    let having: Vec<&NodeStatus> = nodes.iter().filter(is_candidate).collect();
    let is_shared = having.iter().all(|n| n.storages.get(&storage).is_some_and(|s| s.capabilities.shared));
    match having.iter().find(|n| n.ready).or(having.first()) {
        Some(node) if having.len() == 1 || is_shared => Ok((node.name.clone(), storage)),
        Some(_) => {
            let names: Vec<&str> = having.iter().map(|n| n.name.as_str()).collect();
            Err(Error::field("storage", "node", format!("is needed: {} each have a storage '{storage}'", names.join(", "))))
        }
        None => {
            Err(Error::not_found("storage", asked.map_or_else(|| format!("storage {storage}"), |n| format!("storage {storage} of {n}"))))
        }
    }
}

pub(super) async fn list(cx: &Asked) -> Result<Answered> {
    let (node, storage) = place(cx)?;
    let filter = VolumeFilter { content: cx.params.parse_opt("content")?, owner: cx.params.parse_opt("vmid")? };
    let found = cx.plane.content(&node, &ContentRequest { storage, filter, name: None }).await?;
    let items = found.into_iter().map(|report| VolumeView::of(node.clone(), report.volume)).collect();
    Ok(document(200, &List::new("Volume", cx.plane.guests().revision(), items)))
}

pub(super) async fn create(cx: &Asked) -> Result<Answered> {
    let (node, storage) = place(cx)?;
    let VolumeRequest { vmid, size, name, format } = cx.document()?;
    let request = AllocateVolume { storage, name, format, size };
    cx.task(cx.plane.allocate_volume(&cx.call, &node, vmid, request).await?).await
}

pub(super) async fn delete(cx: &Asked) -> Result<Answered> {
    let (node, storage) = place(cx)?;
    let text = cx.params.text("volume").unwrap_or_default();
    let name = text.strip_prefix(&format!("{storage}:")).unwrap_or(text).parse::<VolumeName>();
    let name = name.map_err(|e| Error::field("volume.delete", "volume", e.to_string()))?;
    let request = ContentRequest { storage: storage.clone(), filter: VolumeFilter::default(), name: Some(name.clone()) };
    let found = cx.plane.content(&node, &request).await?.pop();
    let volume = found.ok_or_else(|| Error::not_found("volume.delete", format!("volume {storage}:{name}")))?.volume;
    check_unused(cx, &volume.id)?;
    // What is nobody's is deleted in the name of the first guest.
    let owner = volume.owner.unwrap_or(Vmid::MIN);
    cx.task(cx.plane.destroy_volume(&cx.call, &node, owner, volume.id).await?).await
}

/// Refuses a volume that any guest has in a drive, CD-ROM images too.
fn check_unused(cx: &Asked, volume: &VolumeId) -> Result<()> {
    match cx.plane.guests().iter().map(|e| &e.guest).find(|g| g.uses(volume)) {
        None => Ok(()),
        Some(guest) => {
            let message = format!("volume '{volume}' is used by vm {}: take it out of its slot and its snapshots first", guest.id());
            Err(Error::precondition("volume.delete", message).on(volume))
        }
    }
}
