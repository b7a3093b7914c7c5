//! `-drive`, which Proxmox VE gives to machines before 10.0, as the nodes that it makes.

use serde_json::{Map, Value, json};

use super::command::Switch;
use super::normal::machine;

/// The same command with `-blockdev` and throttle groups for every `-drive`, and devices that say what a drive implied.
pub(super) fn as_nodes(switches: Vec<Switch>) -> Vec<Switch> {
    let (drives, mut others): (Vec<_>, Vec<_>) = switches.into_iter().partition(|switch| switch.flag == "-drive");
    for drive in &drives {
        if drive.get("if") == Some("pflash") {
            others.extend(flash(drive));
            let unit = drive.get("unit").unwrap_or_default();
            let node = if unit == "0" { "pflash0" } else { "drive-efidisk0" };
            machine(&mut others, &format!("pflash{unit}"), node);
        } else {
            imply(drive, &mut others);
            others.extend(nodes(drive));
        }
    }
    others
}

/// What the device of a drive takes from it.
fn imply(drive: &Switch, others: &mut [Switch]) {
    let id = drive.get("id").unwrap_or_default();
    for device in others.iter_mut().filter(|other| other.flag == "-device" && other.get("drive") == Some(id)) {
        if drive.get("file").is_none() {
            device.drop_keys(&["drive"]);
            continue;
        }
        let kind = device.get("").unwrap_or_default().to_owned();
        if kind == "scsi-hd" || kind == "scsi-cd" {
            device.add("device_id", id);
        }
        if drive.get("media") != Some("cdrom") && kind != "scsi-block" && kind != "scsi-generic" {
            let through = matches!(drive.get("cache"), Some("writethrough" | "directsync"));
            device.add("write-cache", if through { "off" } else { "on" });
        }
        for key in ["rerror", "werror"] {
            if let Some(action) = drive.get(key).map(str::to_owned) {
                device.add(key, &action);
            }
        }
    }
}

fn flash(drive: &Switch) -> Vec<Switch> {
    if drive.get("unit") == Some("0") {
        let file = json!({"driver": "file", "filename": drive.get("file")});
        return vec![Switch::tree("-blockdev", json!({"driver": "raw", "node-name": "pflash0", "read-only": true, "file": file}))];
    }
    // What QEMU does where nothing is said is the host's matter; the guest sees bytes.
    nodes(&with(drive, &[("cache", "writeback"), ("aio", "io_uring"), ("detect-zeroes", "on")]))
}

fn with(drive: &Switch, defaults: &[(&str, &str)]) -> Switch {
    let mut whole = drive.clone();
    for (key, value) in defaults.iter().filter(|(key, _)| drive.get(key).is_none()) {
        whole.add(key, value);
    }
    whole
}

fn nodes(drive: &Switch) -> Vec<Switch> {
    let (Some(id), Some(file)) = (drive.get("id"), drive.get("file")) else { return Vec::new() };
    let cache = drive.get("cache").unwrap_or("writeback");
    let read_only = drive.get("media") == Some("cdrom") || drive.get("readonly") == Some("on");
    let common = json!({
        "read-only": read_only,
        "discard": if drive.get("discard") == Some("on") { "unmap" } else { "ignore" },
        "detect-zeroes": drive.get("detect-zeroes").unwrap_or("off"),
    });
    let cached = extended(&common, json!({"cache": {"direct": matches!(cache, "none" | "directsync"), "no-flush": cache == "unsafe"}}));
    let mut format = extended(&cached, json!({"driver": drive.get("format").unwrap_or("raw"), "file": source(drive, file, &cached)}));
    if let Some(size) = drive.get("size").and_then(|size| size.parse::<u64>().ok()) {
        format["size"] = json!(size);
    }
    let group = format!("throttle-{id}");
    let top = extended(&common, json!({"driver": "throttle", "throttle-group": group, "node-name": id, "file": format}));
    let limits = json!({"qom-type": "throttle-group", "id": group, "limits": limits(drive)});
    vec![Switch::tree("-object", limits), Switch::tree("-blockdev", top)]
}

fn extended(common: &Value, more: Value) -> Value {
    let mut all = common.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    Value::Object(all)
}

fn source(drive: &Switch, file: &str, cached: &Value) -> Value {
    if let Some(unit) = file.strip_prefix("iscsi://") {
        let parts: Vec<_> = unit.splitn(3, '/').collect();
        let lun: u32 = parts[2].parse().unwrap();
        return extended(cached, json!({"driver": "iscsi", "transport": "tcp", "portal": parts[0], "target": parts[1], "lun": lun}));
    }
    if let Some(image) = file.strip_prefix("rbd:") {
        return extended(cached, ceph(image));
    }
    let driver = if file.starts_with("/dev/") { "host_device" } else { "file" };
    extended(cached, json!({"driver": driver, "filename": file, "aio": drive.get("aio").unwrap_or("threads")}))
}

/// `POOL/IMAGE:mon_host=A;B;[::1]:auth_supported=none`, colons in values escaped.
fn ceph(text: &str) -> Value {
    let text = text.replace("\\:", "\0");
    let mut parts = text.split(':').map(|part| part.replace('\0', ":"));
    let place = parts.next().unwrap();
    let (pool, image) = place.split_once('/').unwrap();
    let mut node = json!({"driver": "rbd", "pool": pool, "image": image});
    for part in parts {
        match part.split_once('=') {
            Some(("mon_host", hosts)) => {
                let host = |host: &str| json!({"host": host.trim_matches(['[', ']']), "port": "3300"});
                node["server"] = hosts.split(';').map(host).collect();
            }
            Some(("auth_supported", how)) => node["auth-client-required"] = json!([how]),
            _ => {}
        }
    }
    node
}

/// `throttling.bps-total` as a throttle group has it.
fn limits(drive: &Switch) -> Map<String, Value> {
    let super::command::Operand::Keys(keys) = &drive.operand else { return Map::new() };
    let limits =
        keys.iter().filter_map(|(key, value)| Some((key.strip_prefix("throttling.")?.to_owned(), json!(value.parse::<u64>().ok()?))));
    limits.collect()
}
