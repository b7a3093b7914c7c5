use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::control::observe::recreated;
use crate::ports::GuestReport;
use crate::types::{GuestPhase, GuestUsage, Timestamp};

/// A guest with nothing but memory.
fn bare() -> GuestObject {
    let report = GuestReport {
        vmid: Vmid::MIN,
        uid: Uuid::nil(),
        name: None,
        spec: VmSpec::of("64Mi".parse().unwrap()),
        generation: 1,
        running: None,
        phase: GuestPhase::Stopped,
        reason: None,
        lock: None,
        pid: None,
        qmp_socket: None,
        started: None,
        created: Timestamp::default(),
        agent_connected: false,
        snapshots: Vec::new(),
        parent: None,
        usage: GuestUsage::default(),
    };
    recreated(&report, &"n1".parse().unwrap(), "web".to_owned(), Timestamp::default())
}

/// The guest after its node has done what was decided.
fn after(guest: &GuestObject, decision: &Decision) -> GuestObject {
    let mut after = guest.clone();
    after.object.spec.vm = decision.spec.clone();
    after.object.spec.power_state = decision.power_state;
    after.object.metadata.labels = decision.labels.clone();
    after.object.metadata.annotations = decision.annotations.clone();
    after.owners = decision.owners.clone();
    after
}

fn manifests() -> impl Strategy<Value = Manifest> {
    let some = |values: &'static [&'static str]| proptest::option::of(proptest::sample::select(values));
    (proptest::option::of(1..4u8), some(&["a", "b"]), some(&["x", "y"]), some(&["Running", "Stopped"]), any::<bool>()).prop_map(
        |(cores, description, label, power, memory)| {
            let mut spec = json!({});
            cores.into_iter().for_each(|c| spec["cpu"] = json!({ "cores": c }));
            description.into_iter().for_each(|d| spec["description"] = json!(d));
            power.into_iter().for_each(|p| spec["powerState"] = json!(p));
            if memory {
                spec["memory"] = json!({ "size": "128Mi" });
            }
            let labels = label.map_or(json!({}), |l| json!({ "tier": l }));
            let metadata = json!({ "name": "web", "labels": labels });
            let manifest = json!({ "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec });
            Manifest::parse(manifest).unwrap()
        },
    )
}

/// Leaves out the memory, which a guest cannot be without: dropping it is refused, as its own test shows.
fn keeps_memory(first: &Manifest, second: &Manifest) -> bool {
    let has = |m: &Manifest| m.fields().contains("spec.memory.size");
    !has(first) || has(second)
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing_more(manifest in manifests()) {
        let ci = "ci".parse().unwrap();
        let guest = after(&bare(), &decide(&bare(), &manifest, &ci, false).unwrap());
        let again = decide(&guest, &manifest, &ci, false).unwrap();
        prop_assert!(again.changes.is_empty(), "{:?}", again.changes);
        prop_assert_eq!(again.owners, guest.owners);
    }

    #[test]
    fn only_the_last_manifest_of_a_manager_counts(first in manifests(), second in manifests()) {
        prop_assume!(keeps_memory(&first, &second));
        let ci = "ci".parse().unwrap();
        let direct = decide(&bare(), &second, &ci, false).unwrap();
        let guest = after(&bare(), &decide(&bare(), &first, &ci, false).unwrap());
        let later = decide(&guest, &second, &ci, false).unwrap();
        prop_assert_eq!(after(&guest, &later), after(&bare(), &direct));
    }

    #[test]
    fn without_force_no_field_of_another_manager_changes(theirs in manifests(), ours in manifests()) {
        let guest = after(&bare(), &decide(&bare(), &theirs, &"them".parse().unwrap(), false).unwrap());
        let us = "us".parse().unwrap();
        match decide(&guest, &ours, &us, false) {
            Ok(decision) => prop_assert!(decision.changes.is_disjoint(&theirs.fields())),
            Err(e) => {
                prop_assert_eq!(e.kind, ErrorKind::Conflict);
                let forced = decide(&guest, &ours, &us, true).unwrap();
                for conflict in e.fields {
                    prop_assert!(forced.changes.contains(&conflict.field));
                    prop_assert!(!forced.owners.of(&"them".parse().unwrap()).any(|f| f == conflict.field));
                }
            }
        }
    }
}

#[test]
fn a_required_field_cannot_be_dropped() {
    let ci = "ci".parse().unwrap();
    let manifest = |spec: Value| {
        let metadata = json!({ "name": "web" });
        Manifest::parse(json!({ "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec })).unwrap()
    };
    let guest = after(&bare(), &decide(&bare(), &manifest(json!({ "memory": { "size": "128Mi" } })), &ci, false).unwrap());
    let e = decide(&guest, &manifest(json!({})), &ci, false).unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert!(e.message.contains("memory"), "{e}");
}
