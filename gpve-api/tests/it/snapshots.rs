//! Snapshots in configuration files beside Proxmox VE's: its table of cases (`GPVE_PVE_DATA`), each a step or the whole work
//! of a node on one file. What a node does around the file is here: the guest, its agent and its volumes as the case has them.

use std::collections::{BTreeMap, BTreeSet};

use gpve_api::pve2::conf::{ConfFile, Mode, NewSnapshot, SavedState};
use serde_json::Value;
use uuid::Uuid;

/// Cases that cannot pass, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// What every recorded file has as a snapshot's time.
const TIME_SECS: u64 = 1_234_567_890;

#[test]
fn suite_snapshots() {
    let Some(data) = crate::reference("qemu-server/tables/snapshot-cases.json") else { return };
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&data).unwrap()).unwrap();
    assert!(!cases.is_empty());
    let folder = data.parent().unwrap().parent().unwrap();
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in &cases {
        let name = format!("{} {}", text(&case["op"]), text(&case["vmid"]));
        let exception = EXCEPTIONS.iter().find(|(exception, _)| *exception == name);
        match (check(folder, case), exception) {
            (Ok(()), None) => passed += 1,
            (Err(why), None) => wrong.push(format!("{name}, {}: {why}", text(&case["description"]))),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: is an exception and passes")),
            (Err(_), Some((_, reason))) => println!("EXCEPTION {name}: {reason}"),
        }
    }
    println!("SUITE snapshots {passed}/{}", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(folder: &std::path::Path, case: &Value) -> Result<(), String> {
    let (op, vmid) = (text(&case["op"]), text(&case["vmid"]));
    let file = |side: &str| {
        let path = folder.join(format!("snapshot-{side}/{op}/qemu-server/{vmid}.conf"));
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut node = Node::new(case, &file("input")?);
    let outcome = match op {
        "prepare" => node.prepare(),
        "commit" => node.commit(),
        "create" => node.create(),
        "delete" => node.delete(case["force"] == 1, None),
        "rollback" => node.rollback(),
        other => return Err(format!("an operation '{other}' is not known")),
    };
    same("error", &outcome.err().unwrap_or_default(), text(&case["expected_error"]))?;
    for (key, done) in [
        ("volumes_snapshotted", &node.snapshotted),
        ("volumes_snapshot_deleted", &node.deleted),
        ("volumes_rolled_back", &node.rolled_back),
    ] {
        let theirs: BTreeMap<String, String> = serde_json::from_value(case[key].clone()).unwrap_or_default();
        same(key, &format!("{done:?}"), &format!("{theirs:?}"))?;
    }
    for snapshot in node.file.snapshots.values_mut() {
        snapshot.values.insert("snaptime".to_owned(), TIME_SECS.to_string());
    }
    same("file", &node.file.to_string(), &file("expected")?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn same(what: &str, is: &str, expected: &str) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: is\n{is}\nexpected\n{expected}")) }
}

type Done = BTreeMap<String, String>;

/// A node with one guest, of which only the file is real.
struct Node<'c> {
    case: &'c Value,
    file: ConfFile,
    is_running: bool,
    snapshotted: Done,
    deleted: Done,
    rolled_back: Done,
}

impl<'c> Node<'c> {
    fn new(case: &'c Value, config: &str) -> Self {
        let vmid: u32 = text(&case["vmid"]).parse().unwrap();
        let file = ConfFile::parse(vmid.try_into().unwrap(), config, Mode::Strict).unwrap().file;
        let done = || Done::new();
        Self { case, file, is_running: case["mock"]["running"] == 1, snapshotted: done(), deleted: done(), rolled_back: done() }
    }

    fn name(&self) -> &'c str {
        text(&self.case["snapname"])
    }

    /// Something of the world that works, or fails in these words.
    fn works(&self, what: &str, words: &str) -> Result<(), String> {
        if self.case["mock"][what] == 1 { Ok(()) } else { Err(format!("{words}\n")) }
    }

    /// The same of one volume.
    fn works_for(&self, what: &str, volume: &str, words: &str) -> Result<(), String> {
        let volumes = self.case["mock"][what].as_array();
        if volumes.is_some_and(|all| all.iter().any(|one| one == volume)) { Ok(()) } else { Err(format!("{words}\n")) }
    }

    fn qmp(&self, command: &str) -> Result<(), String> {
        if self.case["mock"]["qmp"][command] == 1 { Ok(()) } else { Err(format!("{} disabled\n", command.replace('_', "-"))) }
    }

    fn drives(&self) -> Result<Vec<(String, String)>, String> {
        self.file.snapshot_drives(self.name()).map_err(said)
    }

    fn prepare(&mut self) -> Result<(), String> {
        self.file.check_new_snapshot(self.name()).map_err(said)?;
        self.works("activate_storage", "storage activation failed")?;
        self.works("has_snapshot_feature", "snapshot feature is not available")?;
        let mut new = NewSnapshot { time_secs: TIME_SECS, ..NewSnapshot::default() };
        new.description = self.case["comment"].as_str().map(str::to_owned);
        if self.case["vmstate"] == 1 && self.is_running {
            self.works("save_vmstate", "save_vmstate failed")?;
            new.state = Some(SavedState { volume: "somestorage:state-volume".to_owned(), machine: Some("q35".to_owned()), cpu: None });
        }
        self.file.prepare_snapshot(self.name(), &new).map_err(said)
    }

    fn commit(&mut self) -> Result<(), String> {
        self.file.commit_snapshot(self.name()).map_err(said)
    }

    fn create(&mut self) -> Result<(), String> {
        self.prepare()?;
        let mut done = BTreeSet::new();
        if let Err(why) = self.take(&mut done) {
            // What the cleanup cannot do is only warned of.
            let _ = self.delete(true, Some(&done));
            return Err(format!("{why}\n"));
        }
        self.commit()
    }

    /// Freezes, takes the state and the volumes, and thaws.
    fn take(&mut self, done: &mut BTreeSet<String>) -> Result<(), String> {
        let has_state = self.file.snapshots[self.name()].values.contains_key("vmstate");
        if self.is_running && !has_state && self.has_agent() && self.qmp("guest_ping").is_ok() {
            self.works("freeze", "freeze disabled")?;
        }
        if self.is_running {
            self.qmp("savevm_start")?;
        }
        for (drive, volume) in self.drives()? {
            self.works_for("vol_snapshot", &volume, "volume snapshot disabled")?;
            self.snapshotted.insert(volume, self.name().to_owned());
            done.insert(drive);
        }
        Ok(())
    }

    fn has_agent(&self) -> bool {
        let agent = self.file.main.values.get("agent").map(String::as_str).unwrap_or_default();
        let mut parts = agent.split(',');
        let is_on = parts.next().is_some_and(|first| matches!(first.trim_start_matches("enabled="), "1" | "yes" | "on" | "true"));
        is_on && !parts.any(|part| matches!(part, "freeze-fs=0" | "freeze-fs-on-backup=0" | "guest-fsfreeze=0"))
    }

    /// `taken`: only these drives have a part yet, and the snapshot's own lock is there.
    fn delete(&mut self, force: bool, taken: Option<&BTreeSet<String>>) -> Result<(), String> {
        let drives = self.drives()?;
        self.works("activate_storage", "storage activation failed")?;
        self.file.begin_snapshot_deletion(self.name(), taken.is_some()).map_err(said)?;
        if !force {
            self.file.drop_from_snapshot(self.name(), "vmstate").map_err(said)?;
        }
        let mut volumes = Vec::new();
        for (drive, volume) in drives {
            if taken.is_none_or(|taken| taken.contains(&drive)) {
                match self.works_for("vol_delete", &volume, "volume snapshot delete disabled") {
                    Ok(()) => {
                        self.deleted.insert(volume.clone(), self.name().to_owned());
                        volumes.push(volume);
                    }
                    Err(why) if !force => return Err(why),
                    Err(_) => {}
                }
            }
            if !force {
                self.file.drop_from_snapshot(self.name(), &drive).map_err(said)?;
            }
        }
        self.file.end_snapshot_deletion(self.name(), &volumes).map_err(said)
    }

    fn rollback(&mut self) -> Result<(), String> {
        let drives = self.drives()?;
        self.works("activate_storage", "storage activation failed")?;
        for (_, volume) in &drives {
            self.works_for("vol_rollback_possible", volume, "volume_rollback_is_possible failed")?;
        }
        self.file.check_rollback(self.name()).map_err(said)?;
        self.is_running &= self.case["mock"]["stop"] != 1;
        if self.is_running {
            return Err(format!("unable to rollback vm {}: vm is running\n", text(&self.case["vmid"])));
        }
        self.file.begin_rollback(self.name()).map_err(said)?;
        for (_, volume) in drives {
            self.works_for("vol_rollback", &volume, "volume snapshot rollback disabled")?;
            self.rolled_back.insert(volume, self.name().to_owned());
        }
        self.file.end_rollback(self.name(), Uuid::nil()).map_err(said)
    }
}

fn said(error: gpve_api::pve2::conf::SnapshotError) -> String {
    format!("{error}\n")
}
