//! Examples of the Proxmox VE dialect.

use gpve_core::types::Upid;
use serde_json::json;

use super::{Examples, UPID, show};
use crate::pve2::answer as a;

const GIB: u64 = 1 << 30;

pub(super) fn examples() -> Examples {
    [access(), cluster(), guest(), agent(), storage(), task()].concat()
}

fn access() -> Examples {
    let token = a::TokenInfo { comment: Some("CI".into()), expire: 0, privsep: 1 };
    let session = json!({
        "username": "root@pam",
        "ticket": "PVE:root@pam:6B00A71A::SIGNATURE",
        "CSRFPreventionToken": "6B00A71A:MAC",
        "cap": { "vms": { "VM.Audit": 1 } },
    });
    let new_token = json!({ "full-tokenid": "root@pam!ci", "info": { "privsep": "1" }, "value": "09090909-0909-4909-8909-090909090909" });
    vec![
        ("Index", json!({ "subdir": "config" })),
        ("Version", show(a::Version::FOLLOWED)),
        ("Session", session),
        ("Realm", show(a::RealmEntry { realm: "pam", kind: "pam", comment: "Linux PAM" })),
        ("Permissions", json!({ "/": { "VM.Audit": 1 } })),
        ("NewToken", new_token),
        ("Token", show(a::TokenEntry { tokenid: "ci".into(), info: token })),
    ]
}

fn cluster() -> Examples {
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
    let member = a::ClusterMember {
        id: "node/pve".into(),
        kind: "node",
        name: "pve".into(),
        local: Some(1),
        online: Some(1),
        ..a::ClusterMember::default()
    };
    vec![
        ("Resource", show(a::Resource::Vm(Box::new(vm)))),
        ("ClusterMember", show(member)),
        ("Node", show(node)),
        ("NodeStatus", show(a::NodeStatus::default())),
    ]
}

fn guest() -> Examples {
    let guest = a::GuestEntry {
        vmid: 100,
        name: "web".into(),
        status: "running",
        tags: Some("a;b".into()),
        cpus: 2,
        maxmem: GIB,
        maxdisk: 8 * GIB,
        serial: Some(1),
        running: Some(a::GuestNow { pid: 4711, ..a::GuestNow::default() }),
        ..a::GuestEntry::default()
    };
    let entry = a::GuestEntry { qmpstatus: Some("running".into()), ..guest.clone() };
    let running = a::GuestRunning { running_qemu: "10.0.2".into(), running_machine: "pc-i440fx-10.0".into(), ..a::GuestRunning::default() };
    let current = a::VmCurrent { entry, ha: json!({ "managed": 0 }), agent: a::AgentFlag { agent: Some(1) }, running: Some(running) };
    let snapshot = a::SnapshotEntry {
        name: "before".into(),
        description: "before the upgrade".into(),
        snaptime: Some(1_795_204_890),
        vmstate: Some(0),
        ..a::SnapshotEntry::default()
    };
    let config = json!({
        "cores": 2,
        "memory": "2048",
        "scsi0": "local:100/vm-100-disk-0.qcow2,size=8G",
        "net0": "virtio=BC:24:11:25:6C:E7,bridge=vmbr0",
        "digest": "bcb7f45db9c18cfee38a53bbfacccc275bd8abc1",
    });
    vec![
        ("Guest", show(&guest)),
        ("GuestStatus", show(current)),
        ("Config", config),
        ("Pending", json!({ "key": "cores", "value": 2, "pending": 4 })),
        ("Feature", json!({ "hasFeature": 1, "nodes": ["pve"] })),
        ("Snapshot", show(snapshot)),
        (
            "ConsoleTicket",
            show(a::ConsoleTicket {
                user: "root@pam".into(),
                ticket: "PVEVNC:6650E3A0::c2VjcmV0".into(),
                port: 5900,
                upid: "UPID:pve:00000000:00000000:6650E3A0:vncproxy:100:root@pam:".into(),
                cert: Some("-----BEGIN CERTIFICATE-----\n".into()),
            }),
        ),
    ]
}

fn agent() -> Examples {
    let ended = a::AgentExecStatus { exited: 1, exitcode: Some(0), out_data: Some("ok\n".into()), ..a::AgentExecStatus::default() };
    vec![
        ("AgentResult", json!({ "result": {} })),
        ("AgentExec", show(a::AgentExec { pid: 812 })),
        ("AgentExecStatus", show(ended)),
        ("AgentFile", show(a::AgentFile { content: "web\n".into(), truncated: None })),
    ]
}

fn storage() -> Examples {
    let storage = a::StorageEntry {
        kind: "dir".into(),
        content: "images,iso".into(),
        active: 1,
        enabled: 1,
        total: 100 * GIB,
        used: 20 * GIB,
        avail: 80 * GIB,
        ..a::StorageEntry::default()
    };
    let volume = a::VolumeEntry {
        volid: "local:100/vm-100-disk-0.qcow2".into(),
        content: "images".into(),
        format: "qcow2".into(),
        size: 8 * GIB,
        used: Some(GIB),
        vmid: Some(100),
        parent: Some(None),
        ctime: Some(1_795_204_890),
    };
    let path = "/var/lib/gpve/images/100/vm-100-disk-0.qcow2".to_owned();
    let config = json!({
        "storage": "local",
        "type": "dir",
        "path": "/var/lib/gpve",
        "content": "images,iso",
        "digest": "fb9ddcc994c05e85234e68346e925dc14f3ffa32",
    });
    vec![
        ("StorageConfig", config),
        ("StorageRef", show(a::StorageRef { storage: "local".into(), kind: "dir".into() })),
        ("Storage", show(storage.in_list("local"))),
        ("Volume", show(volume)),
        ("VolumeInfo", show(a::VolumeInfo { format: "qcow2".into(), path, size: 8 * GIB, used: GIB })),
    ]
}

fn task() -> Examples {
    let refused = json!({
        "data": null,
        "message": "Parameter verification failed. (cores: 'x' is not an integer)\n",
        "errors": { "cores": "'x' is not an integer" },
    });
    let mut examples = vec![("LogLine", show(a::LogLine { n: 1, t: "TASK OK".into() })), ("Failure", refused)];
    if let Ok(upid) = UPID.parse::<Upid>() {
        examples.push(("Task", show(a::TaskEntry::new(&upid, Some((1_795_204_891, "OK".into()))))));
        examples.push(("TaskStatus", show(a::TaskStatusAnswer::new(&upid, Some("OK".into())))));
    }
    examples
}
