//! Which settings of a document reach the host itself: what only the administrator may set, as in Proxmox VE.

use serde_json::Value as Json;

/// Fields that reach the host whatever they say.
const ALWAYS: [&str; 6] = ["kernel", "args", "parallels", "hookScript", "sharedMemory", "arch"];

/// The first field of a spec, whole or in part, that reaches the host.
pub(super) fn asked(spec: &Json) -> Option<String> {
    let given = |field: &&&str| spec.get(**field).is_some_and(|v| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()));
    if let Some(field) = ALWAYS.iter().find(given) {
        return Some((*field).to_owned());
    }
    let entries = |field: &str| spec.get(field).and_then(Json::as_object).into_iter().flatten();
    let named = |value: &Json, words: &[&str]| words.iter().any(|word| value.get(*word).is_some());
    let sources = |field: &'static str, words: &'static [&'static str]| {
        let bad = entries(field).find(|(_, device)| device.get("source").is_some_and(|s| named(s, words)));
        bad.map(|(n, _)| format!("{field}.{n}"))
    };
    let serial = entries("serials").find(|(_, port)| named(port, &["device"])).map(|(n, _)| format!("serials.{n}"));
    let of_file = |disk: &&Json| disk.pointer("/source/import/from/file").or_else(|| disk.pointer("/source/host")).is_some();
    let disk = spec.get("disks").and_then(Json::as_array).into_iter().flatten().find(of_file);
    let disk = disk.map(|d| format!("disks.{}", d.get("name").and_then(Json::as_str).unwrap_or_default()));
    serial.or_else(|| sources("usb", &["device", "port"])).or_else(|| sources("hostPci", &["devices"])).or(disk)
}

#[cfg(test)]
mod tests {
    use super::asked;
    use serde_json::{Value as Json, json};

    #[test]
    fn what_reaches_the_host_is_named_and_what_a_mapping_allows_is_not() {
        let reaches = [
            (json!({ "args": ["-x"] }), "args"),
            (json!({ "hookScript": "local:snippets/x" }), "hookScript"),
            (json!({ "parallels": { "0": "/dev/parport0" } }), "parallels"),
            (json!({ "serials": { "1": { "device": "/dev/ttyS0" } } }), "serials.1"),
            (json!({ "usb": { "0": { "source": { "port": "1-2" } } } }), "usb.0"),
            (json!({ "hostPci": { "3": { "source": { "devices": ["01:00.0"] } } } }), "hostPci.3"),
            (json!({ "disks": [{ "name": "scsi1", "source": { "host": "/dev/sda" } }] }), "disks.scsi1"),
            (json!({ "disks": [{ "name": "scsi0", "source": { "import": { "from": { "file": "/etc/shadow" } } } }] }), "disks.scsi0"),
        ];
        for (spec, field) in reaches {
            assert_eq!(asked(&spec).as_deref(), Some(field));
        }
        let harmless = json!({
            "args": [], "kernel": null, "serials": { "0": "socket" }, "usb": { "0": { "source": "spice" }, "1": { "source": { "mapping": "ab" } } },
            "hostPci": { "0": { "source": { "mapping": "gpu" } } }, "disks": [{ "name": "scsi0", "source": "empty" }],
        });
        assert_eq!(asked(&harmless), None);
    }

    /// The parts of the spec that can be asked for by themselves: each field, and each entry of those that are lists.
    fn parts(spec: &Json) -> Vec<(String, Json)> {
        let lists = ["serials", "parallels", "usb", "hostPci", "sharedFolders"];
        let mut parts = Vec::new();
        for (field, value) in spec.as_object().unwrap() {
            match value {
                Json::Object(entries) if lists.contains(&field.as_str()) => {
                    parts.extend(entries.iter().map(|(n, entry)| (format!("{field}.{n}"), json!({ field: { n: entry } }))));
                }
                Json::Array(items) if items.iter().all(|item| item.get("name").is_some()) => {
                    let name = |item: &Json| item["name"].as_str().unwrap().to_owned();
                    parts.extend(items.iter().map(|item| (format!("{field}.{}", name(item)), json!({ field: [item] }))));
                }
                _ => parts.push((field.clone(), json!({ field: value }))),
            }
        }
        parts
    }

    /// The core's own test sees to it that this spec holds every field there is: a new one fails here until somebody has
    /// decided whose it is.
    #[test]
    fn every_field_of_a_spec_is_the_administrators_or_anyones() {
        let full: Json = serde_json::from_str(include_str!("../../../gpve-core/tests/golden/spec-full.json")).unwrap();
        let mut decided = String::new();
        for (part, spec) in parts(&full) {
            let whose = if asked(&spec).is_some() { "administrator" } else { "anyone" };
            decided.push_str(&format!("{part} {whose}\n"));
            let names_a_path = spec.to_string().contains("\"/");
            let random_numbers = part == "rng";
            assert!(!names_a_path || whose == "administrator" || random_numbers, "{part} names a path of the host: {spec}");
        }
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/host-access.txt");
        if std::env::var_os("GPVE_BLESS").is_some() {
            std::fs::write(golden, &decided).unwrap();
        }
        assert_eq!(std::fs::read_to_string(golden).unwrap(), decided);
    }
}
