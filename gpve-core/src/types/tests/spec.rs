//! The spec of a virtual machine: its wire form, what is refused, its rules and its defaults.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::types::{BootDevice, DiskSource, GuestName, SerialPort, VmSpec, Vmid};

/// A spec with something in every field.
pub(super) fn full() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/spec-full.json")).unwrap()
}

fn read(json: Value) -> Result<VmSpec, serde_json::Error> {
    serde_json::from_value(json)
}

fn minimal() -> VmSpec {
    VmSpec::of("1Gi".parse().unwrap())
}

fn vmid() -> Vmid {
    "100".parse().unwrap()
}

#[test]
fn a_spec_with_every_field_survives_its_wire_form_unchanged() {
    let spec = read(full()).unwrap();
    assert_eq!(read(serde_json::to_value(&spec).unwrap()).unwrap(), spec);
    let wire = serde_json::to_value(&spec).unwrap();
    let (Value::Object(asked), Value::Object(shown)) = (full(), wire) else { panic!("a spec is an object") };
    assert_eq!(asked.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>(), "every field is written back");
    // Disks are ordered by slot on the wire; all else is as it was asked.
    for (field, value) in asked.into_iter().filter(|(f, _)| f != "disks") {
        assert_eq!(shown[&field], value, "{field}");
    }
}

/// The fields that serde names when it finds `bogus` in an object; none where it expects something else.
fn fields_named_by(message: &str) -> Option<Vec<String>> {
    let (_, expected) = message.split_once("unknown field `bogus`, expected ")?;
    Some(expected.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The objects in `json`, by their paths with `*` for every number and name of a list's entry.
fn objects<'j>(json: &'j Value, path: &str, found: &mut Vec<(String, &'j serde_json::Map<String, Value>)>) {
    match json {
        Value::Object(fields) => {
            found.push((path.to_owned(), fields));
            for (name, value) in fields {
                let name = if name.parse::<u8>().is_ok() { "*" } else { name };
                objects(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, &format!("{path}.*"), found)),
        _ => {}
    }
}

#[test]
fn the_full_spec_holds_every_field_that_there_is() {
    let full = full();
    let mut found = Vec::new();
    objects(&full, "spec", &mut found);
    let shown: std::collections::BTreeSet<String> =
        found.iter().flat_map(|(path, fields)| fields.keys().map(move |name| format!("{path}.{name}"))).collect();
    let mut missing = Vec::new();
    let mut checked = 0;
    with_an_unknown_field_everywhere(&full, &mut |changed| {
        let mut places = Vec::new();
        objects(&changed, "spec", &mut places);
        let Some((path, _)) = places.iter().find(|(_, fields)| fields.contains_key("bogus")) else { return };
        let Some(fields) = read(changed.clone()).err().and_then(|error| fields_named_by(&error.to_string())) else { return };
        checked += 1;
        missing.extend(fields.into_iter().map(|name| format!("{path}.{name}")).filter(|field| !shown.contains(field)));
    });
    assert!(checked > 20, "{checked}");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_spec_stored_by_the_first_version_is_read_and_written_back_unchanged() {
    let stored: Value = serde_json::from_str(include_str!("../../../tests/golden/spec-0.1.json")).unwrap();
    let spec = read(stored.clone()).unwrap();
    let shown = serde_json::to_value(&spec).unwrap();
    for (field, value) in stored.as_object().unwrap().iter().filter(|(f, _)| *f != "disks") {
        assert_eq!(shown[field], *value, "{field}");
    }
    assert_eq!(spec.disks.len(), 4);
    let kept = ["hookscript", "scsi0.mbps_rd"];
    let names = spec.without_effect();
    assert!(kept.iter().all(|k| names.iter().any(|n| n == k)), "{names:?}");
}

#[test]
fn every_setting_without_effect_is_named() {
    let names = read(full()).unwrap().without_effect();
    let expected: Vec<&str> = include_str!("../../../tests/golden/without-effect.txt").lines().collect();
    assert_eq!(names, expected);
    assert_eq!(minimal().without_effect(), Vec::<String>::new());
}

#[test]
fn the_smallest_spec_is_a_size_of_memory_and_writes_nothing_that_was_not_asked() {
    let spec = read(json!({ "memory": { "size": "1Gi" } })).unwrap();
    assert_eq!(spec, minimal());
    let shown = serde_json::to_value(&spec).unwrap();
    assert_eq!(shown, json!({ "cpu": { "sockets": 1, "cores": 1 }, "memory": { "size": "1Gi" } }));
}

/// Calls `with` with `json` once for every object in it, that object having one more field.
fn with_an_unknown_field_everywhere(json: &Value, with: &mut dyn FnMut(Value)) {
    match json {
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("bogus".to_owned(), json!(1));
            with(Value::Object(more));
            for (key, value) in fields {
                with_an_unknown_field_everywhere(value, &mut |changed| {
                    let mut outer = fields.clone();
                    outer.insert(key.clone(), changed);
                    with(Value::Object(outer));
                });
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                with_an_unknown_field_everywhere(item, &mut |changed| {
                    let mut outer = items.clone();
                    outer[i] = changed;
                    with(Value::Array(outer));
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    let mut tried = 0;
    with_an_unknown_field_everywhere(&full(), &mut |changed| {
        tried += 1;
        let shown = changed.to_string();
        assert!(read(changed).is_err(), "an unknown field was taken in {shown}");
    });
    assert!(tried > 20, "only {tried} places were tried");
}

#[test]
fn a_refusal_names_the_field() {
    let mut json = full();
    json["disks"][0]["iothraed"] = json!(true);
    let error = read(json).unwrap_err().to_string();
    assert!(error.contains("iothraed"), "{error}");
}

#[test]
fn a_slot_or_card_named_twice_is_refused() {
    for list in ["disks", "networks"] {
        let mut json = full();
        let first = json[list][0].clone();
        json[list].as_array_mut().unwrap().push(first);
        assert!(read(json).unwrap_err().to_string().contains("named twice"));
    }
}

#[test]
fn every_rule_between_fields_names_the_field_that_breaks_it() {
    type Change = fn(&mut VmSpec);
    let rules: [(&str, Change); 10] = [
        ("sockets", |s| s.cpu.sockets = 5),
        ("cores", |s| s.cpu.cores = 0),
        ("vcpus", |s| s.cpu.vcpus = Some(2)),
        ("cpuunits", |s| s.cpu.units = Some(0)),
        ("balloon", |s| s.memory.ballooning = crate::types::Ballooning::Min("2Gi".parse().unwrap())),
        ("ide2", |s| {
            let mut drive = read(full()).unwrap().disks["ide2".parse().as_ref().unwrap()].clone();
            drive.options.media = None;
            s.disks.insert(drive.name, drive);
        }),
        ("serial4", |s| drop(s.serials.insert(4, SerialPort::Socket))),
        ("rng0", |s| {
            s.rng = Some(crate::types::RngSpec { source: "/dev/zero,id=x".to_owned(), max_bytes: None, period_ms: None });
        }),
        ("kernel", |s| {
            s.kernel = Some(crate::types::DirectKernel { kernel: "vmlinuz".into(), initrd: None, cmdline: String::new() });
        }),
        ("bios", |s| {
            s.machine = Some(crate::types::MachineSpec::of(crate::types::MachineKind::Microvm));
            s.bios = Some(crate::types::Firmware::Ovmf);
        }),
    ];
    assert_eq!(minimal().check(), []);
    for (field, change) in rules {
        let mut spec = minimal();
        change(&mut spec);
        let bad: Vec<String> = spec.check().into_iter().map(|f| f.field).collect();
        assert_eq!(bad, [field]);
        assert!(spec.resolve(vmid(), None).is_err(), "a machine that breaks the rule of {field} is resolved");
    }
}

#[test]
fn a_resolved_machine_has_the_defaults_of_proxmox() {
    let vm = minimal().resolve(vmid(), None).unwrap();
    assert_eq!(vm.name.as_str(), "vm-100");
    assert_eq!((vm.bios.as_str(), vm.machine.kind.as_str(), vm.scsi_controller.as_str()), ("seabios", "pc", "lsi"));
    assert_eq!((vm.vga, vm.os_type.as_str(), vm.acpi, vm.tablet), (None, "other", true, None));
    assert!(vm.agent.is_none() && vm.boot.is_empty() && vm.balloon && !vm.no_reboot);
    assert_eq!(vm.uuid, None, "an imported machine without UUID goes on without");
    let name: GuestName = "web".parse().unwrap();
    assert_eq!(minimal().resolve(vmid(), Some(&name)).unwrap().name, name);
}

#[test]
fn volumes_and_addresses_must_be_there_before_a_machine_is_resolved() {
    let mut spec = read(full()).unwrap();
    spec.networks.values_mut().for_each(|n| n.mac_address = None);
    let error = spec.resolve(vmid(), None).unwrap_err();
    let fields: Vec<&str> = error.fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["virtio1", "sata2", "efidisk0", "tpmstate0", "net0"]);
}

#[test]
fn boot_order_is_as_asked_without_absent_devices_or_the_first_of_each() {
    let mut spec = read(full()).unwrap();
    spec.disks.retain(|_, d| matches!(d.source, DiskSource::Volume { .. } | DiskSource::Empty));
    let order = |spec: &VmSpec| -> Vec<String> {
        let boot: Vec<BootDevice> = spec.resolve(vmid(), None).unwrap().boot;
        boot.iter().map(ToString::to_string).collect()
    };
    assert_eq!(order(&spec), ["scsi0", "net0", "usb1", "hostpci0"]);
    spec.usb.clear();
    spec.host_pci.clear();
    spec.networks.clear();
    assert_eq!(order(&spec), ["scsi0"]);
    spec.boot = None;
    spec.legacy_boot = None;
    assert_eq!(order(&spec), ["scsi0", "ide2"]);
}

#[test]
fn owned_volumes_are_disks_and_unused_ones_and_no_cdrom_images() {
    let mut json = full();
    json["disks"][3]["source"] = json!({ "volume": { "volume": "local:iso/debian.iso" } });
    let spec = read(json).unwrap();
    let owned: Vec<String> = spec.owned_volumes().map(ToString::to_string).collect();
    assert_eq!(owned, ["local:100/vm-100-disk-0.qcow2", "local:100/vm-100-disk-9.raw"]);
}

proptest! {
    #[test]
    fn every_spec_survives_its_wire_form(spec in specs()) {
        let wire = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<VmSpec>(&wire).unwrap(), spec);
    }
}

/// Specs with any of the fields of [`full`], present or not, and any number of its disks and cards.
pub(super) fn specs() -> impl Strategy<Value = VmSpec> {
    let Value::Object(all) = full() else { panic!("a spec is an object") };
    let fields: Vec<String> = all.keys().cloned().collect();
    let chosen = (prop::sample::subsequence(fields.clone(), 0..=fields.len()), 0usize..=4, 1u16..=8, 1u64..=64);
    chosen.prop_map(move |(fields, disks, cores, gib)| {
        let mut json: serde_json::Map<String, Value> = all.clone().into_iter().filter(|(f, _)| fields.contains(f)).collect();
        if let Some(Value::Array(list)) = json.get_mut("disks") {
            list.truncate(disks);
        }
        if let Some(cpu) = json.get_mut("cpu") {
            cpu["cores"] = json!(cores);
        }
        let memory = json.entry("memory").or_insert_with(|| json!({}));
        memory["size"] = json!(format!("{gib}Gi"));
        read(Value::Object(json)).unwrap()
    })
}
