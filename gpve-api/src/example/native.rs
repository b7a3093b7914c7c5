//! Examples of the native dialect.

use std::collections::BTreeMap;

use gpve_core::control::VirtualMachineSpec;
use gpve_core::error::Error;
use gpve_core::ports::ContentKind;
use gpve_core::types::{ByteSize, DiskFormat, GuestPhase, GuestUsage, Timestamp, Upid, VmSpec, Vmid};
use serde_json::{Value as Json, json};

use super::{Examples, UPID, show};
use crate::v1;

const AT: v1::Rfc3339 = v1::Rfc3339(Timestamp::from_secs(1_795_204_890));

pub(super) fn examples() -> Option<Examples> {
    let upid: Upid = UPID.parse().ok()?;
    let vmid: Vmid = "100".parse().ok()?;
    let event: v1::WatchEvent<Json> = v1::WatchEvent::new(v1::WatchType::Bookmark, 42);
    let problem = v1::Problem::from(&Error::field("vm.create", "spec.cpu.cores", "must be 1 to 128"));
    let snapshot = v1::SnapshotView {
        name: "before".parse().ok()?,
        description: "before the upgrade".to_owned(),
        time: AT,
        parent: None,
        memory: false,
    };
    Some(vec![
        ("VirtualMachine", show(object(vmid, &upid)?)),
        ("GuestSummary", show(summary(vmid, &upid)?)),
        ("Task", show(task(vmid, &upid))),
        ("LogLine", show(v1::TaskLine { n: 1, t: "TASK OK".to_owned() })),
        ("Snapshot", show(snapshot)),
        ("SnapshotPatch", json!({ "description": "before the upgrade to 13" })),
        ("Volume", show(volume(vmid, &upid)?)),
        ("VolumeRequest", json!({ "vmid": 100, "size": "8Gi", "format": "qcow2" })),
        ("SnapshotRequest", json!({ "name": "before", "description": "before the upgrade", "memory": false })),
        ("CloneRequest", json!({ "name": "web-2", "full": true, "storage": "local" })),
        ("ResizeRequest", json!({ "disk": "scsi0", "size": "+5Gi" })),
        ("ApiIndex", json!({ "apiVersion": v1::API_VERSION, "kinds": ["VirtualMachine"] })),
        ("OpenApi", json!({ "openapi": "3.1.0" })),
        ("WatchEvent", show(event)),
        ("Problem", show(problem)),
    ])
}

fn object(vmid: Vmid, upid: &Upid) -> Option<v1::VmObject> {
    let machine = json!({
        "memory": { "size": "2Gi" },
        "cpu": { "sockets": 1, "cores": 2 },
        "disks": [{ "name": "scsi0", "source": { "volume": { "volume": "local:100/vm-100-disk-0.qcow2", "size": "8Gi" } } }],
        "networks": [{ "name": "net0", "model": "virtio", "macAddress": "BC:24:11:25:6C:E7", "bridge": "vmbr0" }],
    });
    let vm: VmSpec = serde_json::from_value(machine).ok()?;
    Some(v1::VmObject {
        api_version: v1::API_VERSION.to_owned(),
        kind: "VirtualMachine".to_owned(),
        metadata: v1::Metadata {
            name: "web".to_owned(),
            namespace: "default".parse().ok()?,
            uid: "55871459-f885-4c77-9e68-d97f8eaafc2d".parse().ok()?,
            resource_version: "42".to_owned(),
            generation: 1,
            creation_timestamp: AT,
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            annotations: BTreeMap::new(),
            managed_fields: BTreeMap::new(),
        },
        spec: VirtualMachineSpec { vmid, node: upid.node.clone(), power_state: None, vm },
        status: status(vmid, upid),
    })
}

fn status(vmid: Vmid, upid: &Upid) -> v1::VmStatusView {
    v1::VmStatusView {
        vmid,
        node: upid.node.clone(),
        phase: GuestPhase::Running,
        reason: None,
        start_time: Some(AT),
        lock: None,
        agent_connected: false,
        pending: vec![],
        conditions: vec![],
        usage: GuestUsage::default(),
        observed_generation: 1,
    }
}

fn summary(vmid: Vmid, upid: &Upid) -> Option<v1::GuestSummary> {
    Some(v1::GuestSummary {
        kind: "VirtualMachine".to_owned(),
        vmid,
        name: "web".to_owned(),
        namespace: "default".parse().ok()?,
        node: upid.node.clone(),
        phase: GuestPhase::Running,
        cpus: 2,
        memory: "2Gi".parse().ok()?,
        usage: GuestUsage::default(),
        start_time: Some(AT),
    })
}

fn volume(vmid: Vmid, upid: &Upid) -> Option<v1::VolumeView> {
    Some(v1::VolumeView {
        id: "local:100/vm-100-disk-1.qcow2".parse().ok()?,
        node: upid.node.clone(),
        content: ContentKind::Images,
        format: DiskFormat::Qcow2,
        size: ByteSize::from_gib(8),
        used: ByteSize::from_kib(196),
        vmid: Some(vmid),
        parent: None,
        created: Some(AT),
    })
}

fn task(vmid: Vmid, upid: &Upid) -> v1::Task {
    v1::Task {
        id: upid.clone(),
        kind: upid.kind.to_string(),
        vmid,
        node: upid.node.clone(),
        user: upid.user.clone(),
        phase: v1::TaskPhase::Succeeded,
        step: None,
        message: None,
        warnings: 0,
        started: AT,
        ended: Some(AT),
    }
}
