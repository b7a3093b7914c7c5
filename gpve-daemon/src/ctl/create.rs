//! From the switches of `vm create` to a document.

use std::collections::BTreeMap;

use gpve_api::pve2::config::{Definition, SPELLING, VmConfig};
use gpve_core::error::Result;
use gpve_core::types::VmSpec;
use serde_json::{Map, Value as Json, json};

use super::args::Create;
use super::input;

/// The `VirtualMachine` that the switches ask for.
pub(super) fn document(create: &Create) -> Result<Json> {
    let mut spec = Map::new();
    let mut put = |field: &str, value: Json| drop(spec.insert(field.to_owned(), value));
    put("cpu", json!({ "cores": create.cpu }));
    put("memory", json!({ "size": create.memory }));
    put("scsiController", json!("virtio-scsi-pci"));
    put("osType", json!("l26"));
    // What 'gpvectl vm console' attaches to.
    put("serials", json!({ "0": "socket" }));
    let mut disks: Vec<Json> = Vec::new();
    for (n, text) in create.disk.iter().enumerate() {
        disks.push(disk(n, text)?);
    }
    if let Some(volume) = &create.cdrom {
        disks.push(json!({ "name": "ide2", "media": "cdrom", "source": { "volume": { "volume": volume } } }));
    }
    if !disks.is_empty() {
        put("disks", json!(disks));
    }
    let cards = create.network.iter().enumerate().map(|(n, text)| network(n, text)).collect::<Result<Vec<_>>>()?;
    if !cards.is_empty() {
        put("networks", json!(cards));
    }
    if create.agent {
        put("agent", json!({ "enabled": true }));
    }
    if !create.set.is_empty() {
        spec = with_settings(Json::Object(spec), &create.set)?;
    }
    let mut put = |field: &str, value: Json| drop(spec.insert(field.to_owned(), value));
    if let Some(vmid) = create.vmid {
        put("vmid", json!(vmid));
    }
    if let Some(node) = &create.node {
        put("node", json!(node));
    }
    if create.start {
        put("powerState", json!("Running"));
    }
    let labels = create.label.iter().map(|l| pair("--label", l)).collect::<Result<BTreeMap<_, _>>>()?;
    let mut metadata = json!({ "name": create.name });
    if !labels.is_empty() {
        metadata["labels"] = json!(labels);
    }
    Ok(json!({ "apiVersion": gpve_api::v1::API_VERSION, "kind": "VirtualMachine", "metadata": metadata, "spec": spec }))
}

/// The fields of a spec with settings by Proxmox VE's names.
fn with_settings(spec: Json, settings: &[String]) -> Result<Map<String, Json>> {
    let failed = |e: serde_json::Error| input("spec", e);
    let spec: VmSpec = serde_json::from_value(spec).map_err(failed)?;
    let mut config = VmConfig::of(&Definition { name: None, spec });
    for setting in settings {
        let (key, value) = pair("--set", setting)?;
        config.put(&key, &value)?;
    }
    let mut definition = config.define()?;
    definition.spec.other.retain(|key, _| key.as_str() != SPELLING);
    match serde_json::to_value(definition.spec).map_err(failed)? {
        Json::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn disk(n: usize, text: &str) -> Result<Json> {
    let options = options("--disk", text, &["size", "storage", "format", "slot"])?;
    let need = |key: &str| options.get(key).ok_or_else(|| input("--disk", format!("'{text}' has no {key}=: it is size=SIZE,storage=ID")));
    let slot = options.get("slot").cloned().unwrap_or_else(|| format!("scsi{n}"));
    let mut new = json!({ "storage": need("storage")?, "size": need("size")? });
    if let Some(format) = options.get("format") {
        new["format"] = json!(format);
    }
    Ok(json!({ "name": slot, "source": { "new": new } }))
}

fn network(n: usize, text: &str) -> Result<Json> {
    let mut card = json!({ "name": format!("net{n}") });
    if text == "user" {
        return Ok(card);
    }
    let options = options("--network", text, &["bridge", "model", "vlan", "mac"])?;
    if !options.contains_key("bridge") {
        return Err(input("--network", format!("'{text}' has no bridge=: it is bridge=NAME, or user")));
    }
    for (key, value) in &options {
        match key.as_str() {
            "vlan" => card["vlan"] = json!(value.parse::<u16>().map_err(|e| input("--network", format!("vlan={value}: {e}")))?),
            "mac" => card["macAddress"] = json!(value),
            other => card[other] = json!(value),
        }
    }
    Ok(card)
}

fn options(switch: &str, text: &str, known: &[&str]) -> Result<BTreeMap<String, String>> {
    let pairs = text.split(',').map(|part| pair(switch, part)).collect::<Result<BTreeMap<_, _>>>()?;
    match pairs.keys().find(|k| !known.contains(&k.as_str())) {
        Some(unknown) => Err(input(switch, format!("'{unknown}' is not one of {}", known.join(", ")))),
        None => Ok(pairs),
    }
}

pub(super) fn pair(switch: &str, text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| input(switch, format!("'{text}' is not KEY=VALUE")))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
