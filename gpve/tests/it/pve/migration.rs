//! Migrations beside Proxmox VE's: its table of cases. What moves which way, and what the configuration is afterwards, is
//! what [`plan`] says; the two nodes, on which each case has something fail, are here.
//!
//! What the table does not say: the firmware's variables have 128 KiB there, whatever the machine.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use gpve_api::pve2::conf::{ConfFile, Mode};
use gpve_core::migration::{Guest, Plan, SnapshotOf, StorageFacts, VolumeState, Wish, World, plan};
use gpve_core::types::{ByteSize, SnapName, VmSpec, Vmid, VolumeId};
use gpve_storage::location::Definition;
use serde_json::{Map, Value, json};

/// Cases that cannot pass, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];
/// The node that every guest is on.
const SOURCE: &str = "pve0";
/// Size of the firmware's variables.
const EFI_VARIABLES: ByteSize = ByteSize::from_kib(128);

#[test]
fn migrations_are_planned_as_proxmox_ve_does() {
    let Some(data) = super::data("migrations_are_planned_as_proxmox_ve_does") else { return };
    let text = std::fs::read_to_string(data.join("tables/migration.json")).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let cases = table["tests"].as_array().unwrap();
    assert!(!cases.is_empty());
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let exception = EXCEPTIONS.iter().find(|(exception, _)| *exception == name);
        match (Case::new(&table, case).check(), exception) {
            (Ok(()), None) => passed += 1,
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: is an exception and passes")),
            (Err(_), Some((_, reason))) => println!("EXCEPTION {name}: {reason}"),
        }
    }
    println!("SUITE migration {passed}/{}", cases.len());
    assert!(wrong.is_empty(), "{} cases are wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// One case: the guest's file, the cluster, and what is asked.
struct Case<'t> {
    table: &'t Value,
    case: &'t Value,
    vmid: Vmid,
    file: ConfFile,
}

/// What a file means: the guest as it is, as it will be, and as it was.
struct Meaning {
    current: VmSpec,
    asked: Option<VmSpec>,
    snapshots: Vec<(SnapName, VmSpec, Option<VolumeId>)>,
}

impl<'t> Case<'t> {
    fn new(table: &'t Value, case: &'t Value) -> Self {
        let vmid = Vmid::try_from(u32::try_from(case["vmid"].as_u64().unwrap()).unwrap()).unwrap();
        let mut config = table["vm_configs"][vmid.to_string()].clone();
        for (key, value) in case["config_patch"].as_object().into_iter().flatten() {
            let config = config.as_object_mut().unwrap();
            match (key.as_str(), value) {
                ("snapshots", Value::Object(named)) => {
                    let all = config["snapshots"].as_object_mut().unwrap();
                    all.retain(|name, _| named.contains_key(name));
                    for (name, patch) in named {
                        patched(all.entry(name.clone()).or_insert_with(|| json!({})), patch);
                    }
                }
                (_, Value::Null) => drop(config.remove(key)),
                (_, value) => drop(config.insert(key.clone(), value.clone())),
            }
        }
        Self { table, case, vmid, file: file(vmid, &config) }
    }

    fn is_running(&self) -> bool {
        self.case["vm_status"]["running"] == 1
    }

    fn storage(&self, id: &str) -> &'t Value {
        &self.table["storage_config"]["ids"][id]
    }

    fn meaning(&self) -> Meaning {
        let (current, _) = self.file.main.define_what_can_be();
        let asked = (!self.file.pending.values.is_empty()).then(|| self.file.pending.define_what_can_be().0.spec);
        let snapshots = self.file.snapshots.iter().map(|(name, section)| {
            let memory = section.values.get("vmstate").map(|id| id.parse().unwrap());
            (name.parse().unwrap(), section.define_what_can_be().0.spec, memory)
        });
        Meaning { current: current.spec, asked, snapshots: snapshots.collect() }
    }

    fn plan(&self, meaning: &Meaning) -> Result<Plan, Vec<String>> {
        let snapshots =
            meaning.snapshots.iter().map(|(name, spec, memory)| SnapshotOf { name: name.clone(), spec, memory: memory.clone() });
        let guest = Guest {
            vmid: self.vmid,
            is_running: self.is_running(),
            lock: self.file.main.values.get("lock").map(String::as_str),
            current: &meaning.current,
            asked: meaning.asked.as_ref(),
            snapshots: snapshots.collect(),
        };
        let options = &self.case["opts"];
        let wish = Wish {
            live: options["online"] == 1,
            with_local_disks: options["with-local-disks"] == 1,
            force: options["force"] == 1,
            storages: options["targetstorage"].as_str().unwrap_or("1").parse().map_err(|error| vec![format!("{error}")])?,
            ..Wish::to(self.case["target"].as_str().unwrap().parse().unwrap())
        };
        plan(&guest, &self.world(), &wish).map_err(|refusals| refusals.0.iter().map(ToString::to_string).collect())
    }

    fn world(&self) -> World {
        let ids = self.table["storage_config"]["ids"].as_object().unwrap();
        let storages = ids.iter().map(|(id, entry)| {
            let on = |node: &str| entry.get("nodes").is_none_or(|nodes| nodes[node] == 1);
            let mut facts = StorageFacts::of_kind(entry["type"].as_str().unwrap());
            facts.is_shared |= entry["shared"] == 1;
            facts.is_enabled = entry["disable"] != 1;
            (facts.on_source, facts.on_target) = (on(SOURCE), on(self.case["target"].as_str().unwrap()));
            let contents = entry["content"].as_object().unwrap().keys();
            facts.contents = contents.filter_map(|kind| kind.parse().ok()).collect();
            (id.parse().unwrap(), facts)
        });
        let volumes = self.table["source_vdisks"].as_object().unwrap().values().flat_map(|all| all.as_array().unwrap());
        let volumes = volumes.filter_map(|volume| self.volume(volume));
        World { storages: storages.collect(), volumes: volumes.collect(), efi_variables: Some(EFI_VARIABLES) }
    }

    fn volume(&self, entry: &Value) -> Option<(VolumeId, VolumeState)> {
        let id: VolumeId = entry["volid"].as_str()?.parse().ok()?;
        let storage = self.storage(id.storage().as_ref());
        let lines: Vec<(&String, String)> = storage.as_object()?.iter().map(|(key, value)| (key, text(value))).collect();
        let property = |key: &str| lines.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        let definition = Definition::parse(storage["type"].as_str()?, property).unwrap();
        let parts: Vec<&str> = id.name().as_ref().split('/').collect();
        let base = parts.iter().rev().skip(1).find(|part| part.starts_with("base-"));
        let state = VolumeState {
            size: ByteSize::from_bytes(entry["size"].as_u64()?),
            format: entry["format"].as_str()?.parse().unwrap(),
            owner: text(&entry["vmid"]).parse().ok(),
            place: format!("{:?}", definition.locate(id.name(), None, 0).unwrap().place),
            base: base.map(|base| (*base).to_owned()),
            has_clones: false,
            is_replicated: self.is_replicated_to_target(&id),
        };
        Some((id, state))
    }

    /// The job of the guest, if it has one.
    fn replication(&self) -> Option<&'t Value> {
        let jobs = self.table["replication_config"]["ids"].as_object()?;
        jobs.values().find(|job| text(&job["guest"]) == self.vmid.to_string())
    }

    /// A job covers the volumes that ZFS has, but drives that are kept out of it.
    fn is_replicated_to_target(&self, id: &VolumeId) -> bool {
        let is_zfs = self.storage(id.storage().as_ref())["type"] == "zfspool";
        let drives = self.file.main.values.values().filter(|value| value.split(',').next() == Some(&id.to_string()));
        let is_out = drives.into_iter().any(|value| value.split(',').any(|part| part == "replicate=0"));
        is_zfs && !is_out && self.replication().is_some_and(|job| job["target"] == self.case["target"])
    }

    /// The file with what a plan makes of it: new ids of volumes, true sizes.
    fn file_after(&self, plan: &Plan, ids: &BTreeMap<VolumeId, VolumeId>) -> ConfFile {
        let mut file = self.file.clone();
        let sections = [(&mut file.main, true), (&mut file.pending, false)].into_iter();
        for (section, is_current) in sections.chain(file.snapshots.values_mut().map(|section| (section, false))) {
            let (mut definition, _) = section.define_what_can_be();
            definition.spec = plan.apply(&definition.spec, ids, is_current);
            let shown = gpve_api::pve2::config::VmConfig::of(&definition);
            let slots = definition.spec.disks.keys().map(ToString::to_string);
            for key in slots.chain(definition.spec.unused.keys().map(|number| format!("unused{number}"))) {
                section.values.insert(key.clone(), shown.get(&key).unwrap().to_owned());
            }
            let memory = section.values.get("vmstate").and_then(|id| ids.get(&id.parse().ok()?));
            if let Some(id) = memory.map(ToString::to_string) {
                section.values.insert("vmstate".to_owned(), id);
            }
        }
        file
    }

    fn check(&self) -> Result<(), String> {
        let outcome = node::migrate(self);
        let expected = &self.case["expected"];
        let errors = outcome.errors.join("\n");
        match self.case["expect_die"].as_str() {
            Some(words) if !errors.contains(words) => return Err(format!("'{words}' is not among the errors:\n{errors}")),
            None if !errors.is_empty() => return Err(format!("fails:\n{errors}")),
            _ => {}
        }
        same("configuration", &outcome.file.to_string(), &file(self.vmid, &expected["vm_config"]).to_string())?;
        let keys = |set: &Value| set.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
        same("volumes left", &format!("{:#?}", outcome.source), &format!("{:#?}", keys(&expected["source_volids"])))?;
        same("volumes there", &format!("{:#?}", outcome.target), &format!("{:#?}", keys(&expected["target_volids"])))?;
        same("running", &u8::from(outcome.is_running).to_string(), &text(&expected["vm_status"]["running"]))?;
        let missing: Vec<_> = keys(&self.case["expected_calls"]).into_iter().filter(|call| !outcome.calls.contains(call)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not called: {missing:?}; called: {:?}", outcome.calls)) }
    }
}

fn same(what: &str, is: &str, expected: &str) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: is\n{is}\nexpected\n{expected}")) }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn patched(section: &mut Value, patch: &Value) {
    let section = section.as_object_mut().unwrap();
    for (key, value) in patch.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(section.remove(key)),
            value => drop(section.insert(key.clone(), value.clone())),
        }
    }
}

/// The file of a configuration that the table has as a tree.
fn file(vmid: Vmid, config: &Value) -> ConfFile {
    let lines = |section: &Map<String, Value>| {
        let settings = section.iter().filter(|(key, _)| !matches!(key.as_str(), "pending" | "snapshots"));
        settings.map(|(key, value)| format!("{key}: {}\n", text(value))).collect::<String>()
    };
    let config = config.as_object().unwrap();
    let mut whole = lines(config);
    if let Some(pending) = config.get("pending").and_then(Value::as_object).filter(|pending| !pending.is_empty()) {
        whole += &format!("[PENDING]\n{}", lines(pending));
    }
    for (name, snapshot) in config.get("snapshots").and_then(Value::as_object).into_iter().flatten() {
        whole += &format!("[{name}]\n{}", lines(snapshot.as_object().unwrap()));
    }
    let parsed = ConfFile::parse(vmid, &whole, Mode::Lenient).unwrap();
    assert!(parsed.passed_over.is_empty(), "{:?}", parsed.passed_over);
    parsed.file
}
