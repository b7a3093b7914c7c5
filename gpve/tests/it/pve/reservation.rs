//! The choice of mapped PCI devices beside Proxmox VE's.

use std::collections::{BTreeMap, BTreeSet};

use gpve_core::types::PciAddress;
use serde_json::Value;

use super::case::Case;
use super::world::World;

/// What another guest has in every case.
const TAKEN: &str = "0000:07:10.1";

#[test]
fn mapped_devices_are_chosen_as_proxmox_ve_does() {
    let Some(data) = super::data("mapped_devices_are_chosen_as_proxmox_ve_does") else { return };
    let text = std::fs::read_to_string(data.join("tables/pci-reservation.json")).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let cases = table["tests"].as_array().unwrap();
    for case in cases {
        assert_eq!(chosen(&data.join("cfg2cmd"), case), expected(case), "{}", case["name"]);
    }
    println!("SUITE pci-reservation {}/{}", cases.len(), cases.len());
}

fn chosen(suite: &std::path::Path, case: &Value) -> BTreeMap<String, Vec<String>> {
    let settings = case["conf"].as_object().unwrap().iter();
    let text = settings.map(|(key, value)| format!("{key}: {}\n", value.as_str().unwrap())).collect();
    let machine = Case::of_text("pci-reservation", text);
    let world = World::read(suite, &machine);
    let vm = machine.machine(&world).unwrap();
    let taken = BTreeSet::from([TAKEN.parse::<PciAddress>().unwrap()]);
    let chosen = world.reserve(&vm, &taken).unwrap();
    let names = |functions: Vec<PciAddress>| functions.into_iter().map(PciAddress::sysfs).collect();
    chosen.into_iter().map(|(number, functions)| (format!("hostpci{number}"), names(functions))).collect()
}

fn expected(case: &Value) -> BTreeMap<String, Vec<String>> {
    let devices = case["expected"].as_object().unwrap().iter();
    let ids = |device: &Value| device["ids"].as_array().unwrap().iter().map(|id| id["id"].as_str().unwrap().to_owned()).collect();
    devices.map(|(name, device)| (name.clone(), ids(device))).collect()
}
