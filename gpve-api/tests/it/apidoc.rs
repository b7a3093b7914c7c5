//! The table beside Proxmox VE's published schema.

use std::collections::BTreeMap;

use gpve_api::route::{Dialect, Kind, Route};
use gpve_api::routes::routes;
use serde_json::Value as Json;

/// Storage settings of types that come with their plugins.
const STORAGE_TYPES_TO_COME: &[&str] = &[
    "authsupported", "base", "blocksize", "bwlimit", "comstar_hg", "comstar_tg", "content-dirs", "data-pool", "datastore", "domain",
    "encryption-key", "export", "fingerprint", "fs-name", "fuse", "iscsiprovider", "keyring", "krbd", "lio_tpg", "master-pubkey",
    "monhost", "mountpoint", "namespace", "nocow", "nowritecache", "options", "password", "pool", "port", "portal", "saferemove",
    "saferemove-stepsize", "saferemove_throughput", "server", "share", "skip-cert-verification", "smbversion", "sparse", "subdir",
    "tagged_only", "target", "thinpool", "username", "vgname", "zfs-base-path",
];
/// Settings that Proxmox VE does not have.
const EXTENSIONS: &[&str] = &["nvme[n]"];

fn methods(node: &Json, into: &mut BTreeMap<(String, String), Json>) {
    for (method, info) in node["info"].as_object().into_iter().flatten() {
        into.insert((method.clone(), node["path"].as_str().unwrap().to_owned()), info.clone());
    }
    for child in node["children"].as_array().into_iter().flatten() {
        methods(child, into);
    }
}

fn number(v: &Json) -> Option<f64> {
    v.as_f64().or_else(|| v.as_str()?.parse().ok())
}

fn differences(route: &Route, info: &Json) -> Vec<String> {
    let empty = serde_json::Map::new();
    let theirs = info["parameters"]["properties"].as_object().unwrap_or(&empty);
    let mut bad = Vec::new();
    for name in theirs.keys() {
        let to_come = route.path.starts_with("/storage") && STORAGE_TYPES_TO_COME.contains(&name.as_str());
        if !to_come && !route.all_params().any(|p| p.shown_name() == *name) {
            bad.push(format!("{name}: missing"));
        }
    }
    for param in route.all_params() {
        let name = param.shown_name();
        let Some(their) = theirs.get(&name) else {
            if !EXTENSIONS.contains(&name.as_str()) {
                bad.push(format!("{name}: Proxmox VE has no such parameter"));
            }
            continue;
        };
        if their["type"] != param.kind.schema_type() {
            bad.push(format!("{name}: type {} is {} there", param.kind.schema_type(), their["type"]));
        }
        // What is in the path is always there, whatever the schema says.
        if (their["optional"] == 1) != param.optional && !route.is_path_param(param.name) {
            bad.push(format!("{name}: optional here {}, there {}", param.optional, their["optional"]));
        }
        if let Kind::Word(words) = param.kind {
            let their_words: Vec<&str> = their["enum"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            for word in their_words.iter().filter(|w| !words.contains(w)) {
                bad.push(format!("{name}: word {word} is missing"));
            }
        }
        if let Kind::Integer { min, max } = param.kind {
            let bound = |key: &str, open: f64| number(&their[key]).unwrap_or(open);
            if (min as f64 - bound("minimum", i64::MIN as f64)).abs() > 0.5 || (max as f64 - bound("maximum", i64::MAX as f64)).abs() > 1e4
            {
                bad.push(format!("{name}: bounds {min}..={max}, there {} to {}", their["minimum"], their["maximum"]));
            }
        }
        if param.requires.map(Json::from).unwrap_or_default() != their["requires"] {
            bad.push(format!("{name}: requires {:?}, there {}", param.requires, their["requires"]));
        }
        if let (Kind::Property(format), Json::Object(keys)) = (param.kind, &their["format"]) {
            for (key, k) in keys {
                let there = format.keys.iter().any(|ours| ours.name == key) || format.alias_words().contains(&key.as_str());
                if !there {
                    bad.push(format!("{name}.{key}: missing"));
                }
                let ours = format.keys.iter().find(|ours| ours.name == key);
                if let Some(ours) = ours.filter(|o| o.alias_of.is_none() && k["type"] != o.kind.schema_type()) {
                    bad.push(format!("{name}.{key}: type {}, there {}", ours.kind.schema_type(), k["type"]));
                }
            }
            for ours in format.keys.iter().filter(|o| !keys.contains_key(o.name)) {
                if !["iothread", "ro", "ssd"].contains(&ours.name) {
                    bad.push(format!("{name}.{}: Proxmox VE has no such key", ours.name));
                }
            }
        }
    }
    bad
}

#[test]
fn every_route_of_the_pve_dialect_has_the_parameters_and_types_of_the_published_schema() {
    let Some(path) = crate::reference("apidoc.json") else { return };
    let doc: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut theirs = BTreeMap::new();
    doc.as_array().unwrap().iter().for_each(|node| methods(node, &mut theirs));
    let mut bad = Vec::new();
    for route in routes().filter(|r| r.dialect == Dialect::Pve2 && r.path != "/") {
        let path = route.path.replace("...", "");
        match theirs.get(&(route.method.as_str().to_owned(), path.clone())) {
            Some(info) => bad.extend(differences(route, info).into_iter().map(|d| format!("{} {path} {d}", route.method.as_str()))),
            None => bad.push(format!("{} {path}: Proxmox VE has no such method", route.method.as_str())),
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
