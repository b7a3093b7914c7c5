//! The cluster: free numbers, resources, members.

use gpve_api::pve2::answer::{ClusterMember, NetworkResource, NodeResource, Resource, StorageResource, content_list};
use gpve_api::pve2::{Failure, Reply};
use gpve_api::route::Refused;
use gpve_auth::{ObjectPath, Privilege};
use gpve_core::control::NodeStatus;
use gpve_core::types::Vmid;

use super::{Answered, Ctx, show};

pub(super) async fn next_id(cx: &Ctx<'_>) -> Answered {
    match cx.params.parse_opt::<Vmid>("vmid").map_err(|e| Failure::from(&e))? {
        Some(vmid) if cx.app.plane.check_vmid(vmid).is_err() => {
            Err(Failure::refused(Refused::one("vmid", format!("VM {vmid} already exists"))))
        }
        Some(vmid) => Ok(Reply::data(&vmid.to_string())),
        None => {
            let vmid = cx.app.plane.next_vmid().await.map_err(|e| Failure::from(&e))?;
            Ok(Reply::data(&vmid.to_string()))
        }
    }
}

pub(super) fn resources(cx: &Ctx<'_>) -> Answered {
    let wanted = |kind: &str| cx.params.text("type").is_none_or(|t| t == kind);
    let mut all = Vec::new();
    if wanted("vm") {
        let (guests, now) = (cx.app.plane.guests(), cx.app.clock.now());
        let visible = guests.iter().filter(|g| may_see(cx, gpve_core::ports::Guest::id(g.guest.as_ref())));
        all.extend(visible.map(|g| Resource::Vm(Box::new(show::resource(g, now)))));
    }
    for node in cx.app.plane.nodes() {
        if wanted("storage") {
            all.extend(node.storages.values().map(|s| Resource::Storage(storage(&node, s))));
        }
        if wanted("node") {
            all.push(Resource::Node(node_resource(&node)));
        }
        // Proxmox VE shows it only to those who ask for everything.
        if !cx.params.contains("type") {
            all.push(Resource::Network(local_network(&node)));
        }
    }
    Ok(Reply::data(&all))
}

/// Whether the caller may know of a guest.
pub(super) fn may_see(cx: &Ctx<'_>, vmid: Vmid) -> bool {
    let path = ObjectPath::vm(vmid.get());
    cx.app.authority.authorize(&cx.who, Privilege::VmAudit, &path).is_allowed()
}

fn storage(node: &NodeStatus, storage: &gpve_core::ports::StorageReport) -> StorageResource {
    StorageResource {
        id: format!("storage/{}/{}", node.name, storage.id),
        kind: "storage",
        storage: storage.id.to_string(),
        node: node.name.to_string(),
        status: if storage.status.active { "available" } else { "unknown" },
        plugintype: storage.kind.clone(),
        content: content_list(storage.capabilities.contents.iter().map(|c| c.as_str())),
        shared: u8::from(storage.capabilities.shared),
        disk: storage.status.used.bytes(),
        maxdisk: storage.status.total.bytes(),
    }
}

fn node_resource(node: &NodeStatus) -> NodeResource {
    let base = NodeResource {
        id: format!("node/{}", node.name),
        kind: "node",
        node: node.name.to_string(),
        status: if node.ready { "online" } else { "offline" },
        cgroup_mode: 2,
        ..NodeResource::default()
    };
    match &node.info {
        None => base,
        Some(info) => NodeResource {
            cpu: info.cpu_used,
            maxcpu: info.cpus,
            mem: info.memory_used.bytes(),
            maxmem: info.memory.bytes(),
            disk: info.root_used.bytes(),
            maxdisk: info.root.bytes(),
            uptime: info.uptime_s,
            ..base
        },
    }
}

fn local_network(node: &NodeStatus) -> NetworkResource {
    NetworkResource {
        id: format!("network/{}/zone/localnetwork", node.name),
        kind: "network",
        network: "localnetwork".to_owned(),
        network_type: "zone",
        node: node.name.to_string(),
        status: "ok",
    }
}

pub(super) fn status(cx: &Ctx<'_>) -> Answered {
    let member = |node: NodeStatus| ClusterMember {
        id: format!("node/{}", node.name),
        kind: "node",
        name: node.name.to_string(),
        ip: Some("127.0.0.1".to_owned()),
        level: Some(""),
        local: Some(u8::from(node.name == cx.app.node)),
        nodeid: Some(0),
        online: Some(u8::from(node.ready)),
        ..ClusterMember::default()
    };
    Ok(Reply::data(&cx.app.plane.nodes().into_iter().map(member).collect::<Vec<_>>()))
}
