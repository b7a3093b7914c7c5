//! Changes of a spec as data.

use proptest::prelude::*;
use serde_json::json;

use super::spec::{full, specs};
use crate::patch::SpecPatch;
use crate::types::VmSpec;

fn patch(json: serde_json::Value) -> SpecPatch {
    serde_json::from_value(json).unwrap()
}

fn some() -> VmSpec {
    serde_json::from_value(full()).unwrap()
}

proptest! {
    #[test]
    fn the_difference_of_two_specs_turns_one_into_the_other(old in specs(), new in specs()) {
        let change = SpecPatch::between(&old, &new).unwrap();
        prop_assert_eq!(change.is_empty(), old == new);
        prop_assert_eq!(&change.apply(&old).unwrap(), &new);
        prop_assert_eq!(&change.apply(&new).unwrap(), &new, "a change made twice is made once");
        let stored = serde_json::to_string(&change).unwrap();
        prop_assert_eq!(serde_json::from_str::<SpecPatch>(&stored).unwrap(), change, "a change survives storage");
    }

    #[test]
    fn a_change_can_be_made_in_two_parts_in_any_order(old in specs(), new in specs(), split in any::<prop::sample::Index>()) {
        let change = SpecPatch::between(&old, &new).unwrap();
        let paths: Vec<String> = change.paths().filter(|p| !p.starts_with("memory")).map(str::to_owned).collect();
        let at = if paths.is_empty() { 0 } else { split.index(paths.len()) };
        let rest: Vec<String> = change.paths().filter(|p| !paths[..at].iter().any(|q| q == p)).map(str::to_owned).collect();
        let (one, two) = (change.only(&paths[..at]), change.only(&rest));
        let there = two.apply(&one.apply(&old).unwrap()).unwrap();
        prop_assert_eq!(&there, &new);
        prop_assert_eq!(one.apply(&two.apply(&old).unwrap()).unwrap(), there);
    }
}

#[test]
fn a_change_names_only_what_it_changes() {
    let mut new = some();
    new.cpu.cores = 7;
    new.disks.remove(&"ide2".parse().unwrap());
    new.bios = None;
    let change = SpecPatch::between(&some(), &new).unwrap();
    assert_eq!(change.paths().collect::<Vec<_>>(), ["bios", "cpu.cores", "disks.ide2"]);
}

#[test]
fn two_changes_of_different_disks_do_not_undo_each_other() {
    let (mut one, mut two) = (some(), some());
    one.disks.remove(&"scsi0".parse().unwrap());
    two.disks.remove(&"sata2".parse().unwrap());
    let (first, second) = (SpecPatch::between(&some(), &one).unwrap(), SpecPatch::between(&some(), &two).unwrap());
    let both = second.apply(&first.apply(&some()).unwrap()).unwrap();
    let left: Vec<String> = both.disks.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["scsi1", "virtio1", "ide2", "efidisk0", "tpmstate0"]);
}

#[test]
fn paths_and_values_that_no_spec_has_are_refused() {
    let bad = [
        json!({ "bogus": 1 }),
        json!({ "cpu.bogus": 1 }),
        json!({ "disks.scsi0": { "name": "scsi1", "source": "empty" } }),
        json!({ "disks.scsi9": { "source": "empty" } }),
        json!({ "disks.scsi0": 5 }),
        json!({ "cpu.cores": "many" }),
        json!({ "memory.size": null }),
        json!({ "bios": "coreboot" }),
        json!({ "other.UPPER": "x" }),
        json!({ "": 1 }),
        json!({ ".": 1 }),
        json!({ "disks.": 1 }),
        json!({ "bios.x": 1 }),
    ];
    for change in bad {
        assert!(patch(change.clone()).apply(&some()).is_err(), "{change} is taken");
    }
}

#[test]
fn removing_what_is_not_there_is_no_change() {
    assert_eq!(patch(json!({ "disks.scsi7": null, "other.x": null })).apply(&some()).unwrap(), some());
}
