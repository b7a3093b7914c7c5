//! Answers have exactly the fields and JSON types that a real Proxmox VE answered with.

use std::collections::{BTreeMap, BTreeSet};

use gpve_api::pve2::answer as a;
use gpve_api::pve2::config::{Definition, VmConfig, pending};
use gpve_api::route::{Dialect, Given};
use gpve_api::routes::router;
use gpve_auth::{Administrator, Identity, UserId};
use gpve_core::types::{MemMib, Upid, VmSpec};
use serde::Serialize;
use serde_json::{Value as Json, json};

/// Path to JSON types; the elements of a list are one.
fn shape(value: &Json, path: &str, into: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "list",
        Json::Object(_) => "object",
    };
    into.entry(path.to_owned()).or_default().insert(kind);
    match value {
        Json::Object(fields) => fields.iter().for_each(|(k, v)| shape(v, &format!("{path}.{k}"), into)),
        Json::Array(items) => items.iter().for_each(|v| shape(v, &format!("{path}[]"), into)),
        _ => {}
    }
}

/// The `data` of a recorded answer; none without the reference data.
fn recorded(part: &str, id: &str) -> Option<Json> {
    let path = crate::reference(&format!("oracle/reference/{part}.jsonl"))?;
    let text = std::fs::read_to_string(path).unwrap();
    let mut answers = text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap());
    Some(answers.find(|a| a["id"] == id).unwrap()["json"]["data"].clone())
}

fn assert_same_shape(part: &str, number: u32, ours: &impl Serialize) {
    let id = format!("{part}.{number:03}");
    let Some(theirs) = recorded(part, &id) else { return };
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    shape(&serde_json::to_value(ours).unwrap(), "$", &mut left);
    shape(&theirs, "$", &mut right);
    assert_eq!(left, right, "{id}");
}

fn upid() -> Upid {
    "UPID:pve:000000F6:000B91B2:6B00A71A:qmstart:7420:root@pam:".parse().unwrap()
}

#[test]
fn a_session_shows_every_privilege_of_the_administrator() {
    let who = Identity::user(UserId::root());
    let cap = a::capabilities(&Administrator, &who);
    let session = a::Session { username: "root@pam".into(), ticket: Some("t".into()), csrf_token: Some("c".into()), cap };
    assert_same_shape("ticket", 2, &session);
    assert_same_shape("ticket", 17, &a::Session { ticket: None, csrf_token: None, ..session });
    assert_same_shape("token", 26, &a::permissions(&Administrator, &who, None));
}

#[test]
fn tokens_have_numbers_where_they_are_read_and_texts_where_they_are_made() {
    let params = |text: &[(&str, &str)]| {
        let matched = router(Dialect::Pve2).find("POST", "/access/users/root@pam/token/tok2").unwrap();
        matched.validate(text.iter().copied().collect::<Given>()).unwrap()
    };
    let id = "root@pam!tok2".parse().unwrap();
    assert_same_shape("token", 5, &a::NewToken::new(&id, "s", &params(&[("privsep", "0")])));
    assert_same_shape("token", 6, &a::NewToken::new(&id, "s", &params(&[("privsep", "0"), ("comment", "x"), ("expire", "0")])));
    assert_same_shape("token", 16, &a::NewToken::new(&id, "s", &params(&[("expire", "1")])));
    let info = a::TokenInfo { comment: Some("x".into()), expire: 0, privsep: 0 };
    let bare = a::TokenInfo { comment: None, ..info.clone() };
    assert_same_shape(
        "token",
        9,
        &[a::TokenEntry { tokenid: "tok".into(), info: bare }, a::TokenEntry { tokenid: "tok2".into(), info: info.clone() }],
    );
    assert_same_shape("token", 10, &info);
}

#[test]
fn guests_have_the_fields_of_their_state() {
    let plain = a::GuestEntry { name: "t1".into(), status: "stopped", serial: Some(1), ..a::GuestEntry::default() };
    let ballooned = a::GuestEntry { tags: Some("a;b".into()), balloon_min: Some(1), shares: Some(1000), ..plain.clone() };
    assert_same_shape("vm-create", 19, &[plain.clone(), ballooned.clone()]);
    let full = |g: &a::GuestEntry| a::GuestEntry { qmpstatus: Some("stopped".into()), ..g.clone() };
    assert_same_shape("vm-create", 20, &[full(&plain), full(&ballooned)]);
    let running = a::GuestEntry { running: Some(a::GuestNow::default()), ..plain.clone() };
    assert_same_shape("vm-status", 19, &[running]);
    let stopped = a::VmCurrent { entry: full(&plain), ha: json!({"managed": 0}), ..a::VmCurrent::default() };
    assert_same_shape("vm-config", 14, &stopped);
}

#[test]
fn a_running_guest_has_what_only_qemu_knows() {
    let Some(theirs) = recorded("vm-status", "vm-status.017") else { return };
    let entry = a::GuestEntry {
        serial: Some(1),
        qmpstatus: Some("running".into()),
        running: Some(a::GuestNow::default()),
        ..a::GuestEntry::default()
    };
    let running = a::GuestRunning {
        balloon: Some(1),
        ballooninfo: Some(theirs["ballooninfo"].clone()),
        blockstat: serde_json::from_value(theirs["blockstat"].clone()).unwrap(),
        nics: serde_json::from_value(theirs["nics"].clone()).unwrap(),
        ..a::GuestRunning::default()
    };
    let current = a::VmCurrent { entry, ha: json!({"managed": 0}), running: Some(running), ..a::VmCurrent::default() };
    assert_same_shape("vm-status", 17, &current);
}

#[test]
fn the_cluster_shows_guests_nodes_and_storages() {
    let vm = a::Resource::Vm(Box::default());
    assert_same_shape("cluster", 9, &[&vm]);
    assert_same_shape("cluster", 10, &[a::Resource::Storage(a::StorageResource::default())]);
    assert_same_shape("cluster", 11, &[a::Resource::Node(a::NodeResource::default())]);
    let all =
        [vm, a::Resource::Node(Default::default()), a::Resource::Storage(Default::default()), a::Resource::Network(Default::default())];
    assert_same_shape("cluster", 8, &all);
    let member = a::ClusterMember {
        ip: Some(String::new()),
        level: Some(""),
        local: Some(1),
        nodeid: Some(0),
        online: Some(1),
        ..a::ClusterMember::default()
    };
    assert_same_shape("cluster", 20, &[member]);
    assert_same_shape("cluster", 6, &[a::NodeEntry::default()]);
    assert_same_shape("node", 2, &a::NodeStatus::default());
    assert_same_shape("node", 3, &a::Version::FOLLOWED);
    assert_same_shape("cluster", 21, &[a::ActiveTask::from(a::TaskEntry::new(&upid(), Some((1, "OK".into()))))]);
}

#[test]
fn storages_and_volumes_have_their_fields() {
    let answers = a::StorageEntry { total: 2, used: 1, ..a::StorageEntry::default() };
    assert_same_shape("node", 15, &[answers.clone().in_list("local")]);
    assert_same_shape("storage", 27, &[answers.clone().in_list("local"), a::StorageEntry::default().in_list("st2")]);
    assert_same_shape("storage", 36, &answers);
    let disk = a::VolumeEntry { ctime: Some(1), used: Some(1), vmid: Some(900), parent: Some(None), ..a::VolumeEntry::default() };
    assert_same_shape("storage", 44, &[disk]);
    assert_same_shape("storage", 45, &a::VolumeInfo::default());
    assert_same_shape("storage", 53, &[a::VolumeEntry { ctime: Some(1), ..a::VolumeEntry::default() }]);
    assert_same_shape("storage", 8, &a::StorageRef { storage: "st2".into(), kind: "dir".into() });
}

#[test]
fn tasks_and_logs_have_their_fields() {
    assert_same_shape("tasks", 4, &[a::TaskEntry::new(&upid(), Some((1, "failed".into())))]);
    assert_same_shape("tasks", 16, &a::TaskStatusAnswer::new(&upid(), Some("failed".into())));
    assert_same_shape("tasks", 17, &[a::LogLine { n: 1, t: "x".into() }]);
    let running = serde_json::to_value(a::TaskStatusAnswer::new(&upid(), None)).unwrap();
    assert_eq!((running["status"].as_str(), running.get("exitstatus")), (Some("running"), None));
}

#[test]
fn snapshots_end_with_the_present() {
    let taken = a::SnapshotEntry { snaptime: Some(1), vmstate: Some(0), ..a::SnapshotEntry::default() };
    let present = |parent: Option<&str>| a::SnapshotEntry::current(parent.map(str::to_owned), false, "0".repeat(40));
    assert_same_shape("snapshot", 10, &[taken, present(Some("s1"))]);
    assert_same_shape("snapshot", 18, &[present(None)]);
}

#[test]
fn configurations_have_the_types_of_real_ones() {
    // The recorded answers themselves, read as settings and shown again.
    for (part, number) in [("vm-create", 10), ("vm-create", 14), ("vm-create", 18), ("vm-config", 28), ("vm-config", 48), ("snapshot", 12)]
    {
        let Some(theirs) = recorded(part, &format!("{part}.{number:03}")) else { return };
        let mut config = VmConfig::default();
        for (key, value) in theirs.as_object().unwrap() {
            if !["digest", "meta", "snaptime", "parent"].contains(&key.as_str()) {
                config.set(key, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        let definition = config.define().unwrap();
        let mut shown = VmConfig::of(&definition).to_json();
        for (key, value) in
            theirs.as_object().unwrap().iter().filter(|(k, _)| ["digest", "meta", "snaptime", "parent"].contains(&k.as_str()))
        {
            shown.insert(key.clone(), value.clone());
        }
        assert_eq!(Json::Object(shown), theirs, "{part}.{number:03}");
    }
    let definition = Definition { name: None, spec: VmSpec::of(MemMib::try_from(64_u64).unwrap()) };
    let entries = serde_json::to_value(pending(&definition, None)).unwrap();
    assert_eq!(entries[0], json!({"key": "memory", "value": "64"}));
}
