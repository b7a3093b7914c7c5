//! An example of every answer, made of the types that answer.

use std::collections::BTreeMap;

use gpve_core::control::VirtualMachineSpec;
use gpve_core::types::{GuestPhase, GuestUsage, Timestamp, Upid, VmSpec, Vmid};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::pve2::answer as a;
use crate::route::Dialect;
use crate::v1;

/// Examples of a dialect's answers by the names that the table uses.
pub(crate) fn examples(dialect: Dialect) -> Vec<(&'static str, Json)> {
    match dialect {
        Dialect::Pve2 => pve2(),
        Dialect::V1 => native().unwrap_or_default(),
    }
}

const UPID: &str = "UPID:pve:00000000:000000F6:6B00A71A:qmstart:100:root@pam:";

fn show(value: impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

fn pve2() -> Vec<(&'static str, Json)> {
    let guest = a::GuestEntry {
        vmid: 100,
        name: "web".into(),
        status: "running",
        tags: Some("a;b".into()),
        cpus: 2,
        maxmem: 1 << 30,
        maxdisk: 8 << 30,
        serial: Some(1),
        running: Some(a::GuestNow { pid: 4711, ..a::GuestNow::default() }),
        ..a::GuestEntry::default()
    };
    let full = a::GuestEntry { qmpstatus: Some("running".into()), ..guest.clone() };
    let running = a::GuestRunning { running_qemu: "10.0.2".into(), running_machine: "pc-i440fx-10.0".into(), ..a::GuestRunning::default() };
    let current = a::VmCurrent { entry: full, ha: json!({ "managed": 0 }), agent: a::AgentFlag { agent: Some(1) }, running: Some(running) };
    let vm = a::VmResource {
        id: "qemu/100".into(),
        kind: "qemu",
        vmid: 100,
        name: "web".into(),
        node: "pve".into(),
        status: "running",
        ..a::VmResource::default()
    };
    let node = a::NodeEntry { node: "pve".into(), id: "node/pve".into(), kind: "node", status: "online", ..a::NodeEntry::default() };
    let storage = a::StorageEntry {
        kind: "dir".into(),
        content: "images,iso".into(),
        active: 1,
        enabled: 1,
        total: 100 << 30,
        used: 20 << 30,
        avail: 80 << 30,
        ..a::StorageEntry::default()
    };
    let volume = a::VolumeEntry {
        volid: "local:100/vm-100-disk-0.qcow2".into(),
        content: "images".into(),
        format: "qcow2".into(),
        size: 8 << 30,
        used: Some(1 << 30),
        vmid: Some(100),
        parent: Some(None),
        ctime: Some(1_795_204_890),
    };
    let token = a::TokenInfo { comment: Some("CI".into()), expire: 0, privsep: 1 };
    let snapshot = a::SnapshotEntry {
        name: "before".into(),
        description: "before the upgrade".into(),
        snaptime: Some(1_795_204_890),
        vmstate: Some(0),
        ..a::SnapshotEntry::default()
    };
    let mut examples = vec![
        ("Index", json!({ "subdir": "config" })),
        ("Version", show(a::Version::FOLLOWED)),
        (
            "Session",
            json!({ "username": "root@pam", "ticket": "PVE:root@pam:6B00A71A::SIGNATURE", "CSRFPreventionToken": "6B00A71A:MAC", "cap": { "vms": { "VM.Audit": 1 } } }),
        ),
        ("Realm", show(a::RealmEntry { realm: "pam", kind: "pam", comment: "Linux PAM" })),
        ("Permissions", json!({ "/": { "VM.Audit": 1 } })),
        ("NewToken", json!({ "full-tokenid": "root@pam!ci", "info": { "privsep": "1" }, "value": "09090909-0909-4909-8909-090909090909" })),
        ("Token", show(a::TokenEntry { tokenid: "ci".into(), info: token })),
        ("Resource", show(a::Resource::Vm(Box::new(vm)))),
        (
            "ClusterMember",
            show(a::ClusterMember {
                id: "node/pve".into(),
                kind: "node",
                name: "pve".into(),
                local: Some(1),
                online: Some(1),
                ..a::ClusterMember::default()
            }),
        ),
        ("Node", show(node)),
        ("NodeStatus", show(a::NodeStatus::default())),
        ("Guest", show(&guest)),
        ("GuestStatus", show(current)),
        (
            "Config",
            json!({ "cores": 2, "memory": "2048", "scsi0": "local:100/vm-100-disk-0.qcow2,size=8G", "net0": "virtio=BC:24:11:25:6C:E7,bridge=vmbr0", "digest": "bcb7f45db9c18cfee38a53bbfacccc275bd8abc1" }),
        ),
        ("Pending", json!({ "key": "cores", "value": 2, "pending": 4 })),
        ("Feature", json!({ "hasFeature": 1, "nodes": ["pve"] })),
        ("Snapshot", show(snapshot)),
        ("AgentResult", json!({ "result": {} })),
        ("AgentExec", show(a::AgentExec { pid: 812 })),
        (
            "AgentExecStatus",
            show(a::AgentExecStatus { exited: 1, exitcode: Some(0), out_data: Some("ok\n".into()), ..a::AgentExecStatus::default() }),
        ),
        ("AgentFile", show(a::AgentFile { content: "web\n".into(), truncated: None })),
        (
            "StorageConfig",
            json!({ "storage": "local", "type": "dir", "path": "/var/lib/gpve", "content": "images,iso", "digest": "fb9ddcc994c05e85234e68346e925dc14f3ffa32" }),
        ),
        ("StorageRef", show(a::StorageRef { storage: "local".into(), kind: "dir".into() })),
        ("Storage", show(storage.in_list("local"))),
        ("Volume", show(volume)),
        (
            "VolumeInfo",
            show(a::VolumeInfo {
                format: "qcow2".into(),
                path: "/var/lib/gpve/images/100/vm-100-disk-0.qcow2".into(),
                size: 8 << 30,
                used: 1 << 30,
            }),
        ),
        ("LogLine", show(a::LogLine { n: 1, t: "TASK OK".into() })),
        (
            "Failure",
            json!({ "data": null, "message": "Parameter verification failed. (cores: 'x' is not an integer)\n", "errors": { "cores": "'x' is not an integer" } }),
        ),
    ];
    if let Ok(upid) = UPID.parse::<Upid>() {
        examples.push(("Task", show(a::TaskEntry::new(&upid, Some((1_795_204_891, "OK".into()))))));
        examples.push(("TaskStatus", show(a::TaskStatusAnswer::new(&upid, Some("OK".into())))));
    }
    examples
}

/// None if an example does not parse, which a test would show.
fn native() -> Option<Vec<(&'static str, Json)>> {
    let vmid: Vmid = "100".parse().ok()?;
    let upid: Upid = UPID.parse().ok()?;
    let node = upid.node.clone();
    let at = v1::Rfc3339(Timestamp::from_secs(1_795_204_890));
    let machine = json!({
        "memory": { "size": "2Gi" },
        "cpu": { "sockets": 1, "cores": 2 },
        "disks": [{ "name": "scsi0", "source": { "volume": { "volume": "local:100/vm-100-disk-0.qcow2", "size": "8Gi" } } }],
        "networks": [{ "name": "net0", "model": "virtio", "macAddress": "BC:24:11:25:6C:E7", "bridge": "vmbr0" }],
    });
    let spec: VmSpec = serde_json::from_value(machine).ok()?;
    let object = v1::VmObject {
        api_version: v1::API_VERSION.to_owned(),
        kind: "VirtualMachine".to_owned(),
        metadata: v1::Metadata {
            name: "web".to_owned(),
            namespace: "default".parse().ok()?,
            uid: "55871459-f885-4c77-9e68-d97f8eaafc2d".parse().ok()?,
            resource_version: "42".to_owned(),
            generation: 1,
            creation_timestamp: at,
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            annotations: BTreeMap::new(),
            managed_fields: BTreeMap::new(),
        },
        spec: VirtualMachineSpec { vmid, node: node.clone(), power_state: None, vm: spec },
        status: v1::VmStatusView {
            vmid,
            node: node.clone(),
            phase: GuestPhase::Running,
            reason: None,
            start_time: Some(at),
            lock: None,
            agent_connected: false,
            pending: vec![],
            conditions: vec![],
            usage: GuestUsage::default(),
            observed_generation: 1,
        },
    };
    let task = v1::Task {
        id: upid.clone(),
        kind: upid.kind.to_string(),
        vmid,
        node: node.clone(),
        user: upid.user.clone(),
        phase: v1::TaskPhase::Succeeded,
        step: None,
        message: None,
        warnings: 0,
        started: at,
        ended: Some(at),
    };
    let summary = v1::GuestSummary {
        kind: "VirtualMachine".to_owned(),
        vmid,
        name: "web".to_owned(),
        namespace: "default".parse().ok()?,
        node,
        phase: GuestPhase::Running,
        cpus: 2,
        memory: "2Gi".parse().ok()?,
        usage: GuestUsage::default(),
        start_time: Some(at),
    };
    let event: v1::WatchEvent<Json> = v1::WatchEvent::new(v1::WatchType::Bookmark, 42);
    let problem = v1::Problem::from(&gpve_core::error::Error::field("vm.create", "spec.cpu.cores", "must be 1 to 128"));
    let snapshot = v1::SnapshotView {
        name: "before".parse().ok()?,
        description: "before the upgrade".to_owned(),
        time: at,
        parent: None,
        memory: false,
    };
    Some(vec![
        ("VirtualMachine", show(object)),
        ("GuestSummary", show(summary)),
        ("Task", show(task)),
        ("LogLine", show(v1::TaskLine { n: 1, t: "TASK OK".to_owned() })),
        ("Snapshot", show(snapshot)),
        ("SnapshotRequest", json!({ "name": "before", "description": "before the upgrade", "memory": false })),
        ("CloneRequest", json!({ "name": "web-2", "full": true, "storage": "local" })),
        ("ResizeRequest", json!({ "disk": "scsi0", "size": "+5Gi" })),
        ("ApiIndex", json!({ "apiVersion": v1::API_VERSION, "kinds": ["VirtualMachine"] })),
        ("OpenApi", json!({ "openapi": "3.1.0" })),
        ("WatchEvent", show(event)),
        ("Problem", show(problem)),
    ])
}
