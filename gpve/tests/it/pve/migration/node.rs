//! Two nodes that do what a plan says, until something fails.

use std::collections::{BTreeMap, BTreeSet};

use gpve_api::pve2::conf::ConfFile;
use gpve_core::migration::{Move, Plan, Way};
use gpve_core::types::{DiskFormat, VolumeId};
use serde_json::Value;

use super::{Case, text};

/// The first number of disks that the target makes.
const FIRST_DISK: u32 = 10;

/// The world after a migration.
pub(super) struct Outcome {
    pub(super) errors: Vec<String>,
    pub(super) file: ConfFile,
    pub(super) source: BTreeSet<String>,
    pub(super) target: BTreeSet<String>,
    pub(super) calls: BTreeSet<String>,
    pub(super) is_running: bool,
}

pub(super) fn migrate(case: &Case<'_>) -> Outcome {
    let target = case.case["target_volids"].as_object().into_iter().flatten().map(|(id, _)| id.clone()).collect();
    let mut outcome = Outcome {
        errors: Vec::new(),
        file: case.file.clone(),
        source: own_volumes(case),
        target,
        calls: BTreeSet::new(),
        is_running: case.is_running(),
    };
    match case.plan(&case.meaning()) {
        Err(reasons) => outcome.errors = reasons,
        Ok(plan) => {
            let before = outcome.target.clone();
            if let Err(why) = outcome.perform(case, &plan) {
                // The copies that were made so far go.
                outcome.target = before;
                outcome.errors.push(why);
                outcome.file = case.file_after(&plan, &BTreeMap::new());
            }
        }
    }
    outcome
}

/// The guest's volumes on storages that are not shared.
fn own_volumes(case: &Case<'_>) -> BTreeSet<String> {
    let storages = case.table["source_vdisks"].as_object().unwrap().iter();
    let world = case.world();
    let own = storages.filter(|(id, _)| !world.storages[&id.parse().unwrap()].is_shared).flat_map(|(_, all)| all.as_array().unwrap());
    own.filter(|volume| text(&volume["vmid"]) == case.vmid.to_string()).map(|volume| text(&volume["volid"])).collect()
}

/// Whether the step fails, here or at all.
fn fails(case: &Case<'_>, step: &str, at: &str) -> bool {
    match &case.case["fail_config"][step] {
        Value::Null => false,
        Value::String(place) => place == at,
        _ => true,
    }
}

fn step(case: &Case<'_>, step: &str, at: &str) -> Result<(), String> {
    if fails(case, step, at) { Err(format!("{step} '{at}' error")) } else { Ok(()) }
}

impl Outcome {
    fn perform(&mut self, case: &Case<'_>, plan: &Plan) -> Result<(), String> {
        let mut ids = BTreeMap::new();
        for one in plan.moves.iter().filter(|one| is_whole(one)) {
            step(case, "storage_migrate", &one.volume.to_string())?;
            let copy = if one.way == Way::Copy { copied(case, one) } else { one.volume.clone() };
            self.target.insert(copy.to_string());
            ids.insert(one.volume.clone(), copy);
        }
        if plan.is_live {
            self.live(case, plan, &mut ids)?;
        }
        for late in ["move_config_to_node", "transfer_replication_state", "switch_replication_job_target"] {
            step(case, late, "")?;
        }
        self.calls.insert("move_config_to_node".to_owned());
        if case.replication().is_some() {
            self.calls.extend(["transfer_replication_state", "switch_replication_job_target"].map(str::to_owned));
        }
        if plan.is_live {
            self.calls.insert("vm_stop".to_owned());
        }
        self.file = case.file_after(plan, &ids);
        for volume in plan.leaves().map(ToString::to_string) {
            // The guest is on its new node: what cannot be removed is only told.
            match step(case, "vdisk_free", &volume) {
                Ok(()) => drop(self.source.remove(&volume)),
                Err(why) => self.errors.push(why),
            }
        }
        Ok(())
    }

    fn live(&mut self, case: &Case<'_>, plan: &Plan, ids: &mut BTreeMap<VolumeId, VolumeId>) -> Result<(), String> {
        let mirrors = plan.moves.iter().filter_map(|one| match one.way {
            Way::Mirror { slot, onto_replica } => Some((slot.to_string(), onto_replica, one)),
            Way::Copy | Way::Replica => None,
        });
        let mirrors: Vec<_> = mirrors.collect();
        for (slot, _, _) in mirrors.iter().filter(|(_, onto_replica, _)| *onto_replica) {
            let call = format!("block-dirty-bitmap-add-drive-{slot}");
            step(case, "block-dirty-bitmap-add", slot)?;
            self.calls.insert(call);
        }
        let mut number = FIRST_DISK;
        for (_, onto_replica, one) in &mirrors {
            let made = if *onto_replica {
                one.volume.clone()
            } else {
                let made = made(case, one, number);
                number += 1;
                made
            };
            if fails(case, "vdisk_alloc", &made.to_string()) {
                return Err("remote command failed with exit code 255".to_owned());
            }
            self.target.insert(made.to_string());
            ids.insert(one.volume.clone(), made);
        }
        step(case, "ssh_qm_start", "")?;
        for (slot, _, _) in &mirrors {
            step(case, "qemu_drive_mirror", slot)?;
        }
        for (slot, _, _) in &mirrors {
            step(case, "qemu_drive_mirror_monitor", slot)?;
        }
        if fails(case, "query-migrate", "") {
            return Err("online migrate failure - aborting".to_owned());
        }
        self.calls.insert("ssh_qm_start".to_owned());
        Ok(())
    }
}

/// Goes as a whole, before a running guest's state does.
fn is_whole(one: &Move) -> bool {
    matches!(one.way, Way::Copy | Way::Replica)
}

/// The id that a copy gets.
fn copied(case: &Case<'_>, one: &Move) -> VolumeId {
    let name =
        case.case["storage_migrate_map"][one.volume.to_string()].as_str().map_or_else(|| one.volume.name().to_string(), str::to_owned);
    VolumeId::new(one.to.clone(), name.parse().unwrap())
}

/// The id that a new disk gets.
fn made(case: &Case<'_>, one: &Move, number: u32) -> VolumeId {
    let (vmid, format) = (case.vmid, one.format);
    let name = match case.storage(one.to.as_ref())["type"].as_str().unwrap() {
        "dir" | "nfs" | "cifs" | "cephfs" | "btrfs" => format!("{vmid}/vm-{vmid}-disk-{number}.{format}"),
        _ if format == DiskFormat::Qcow2 => format!("vm-{vmid}-disk-{number}.qcow2"),
        _ => format!("vm-{vmid}-disk-{number}"),
    };
    VolumeId::new(one.to.clone(), name.parse().unwrap())
}
