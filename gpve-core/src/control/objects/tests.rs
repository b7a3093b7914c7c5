use super::*;
use crate::control::PowerState;

/// A guest as the first release stores it. Must load for ever; never edit it.
const STORED_V1: &str = include_str!("../../../tests/golden/stored_guest_v1.json");

fn stored() -> GuestObject {
    GuestObject::decode(STORED_V1.as_bytes(), Revision(7)).unwrap()
}

#[test]
fn the_first_stored_form_loads() {
    let guest = stored();
    assert_eq!((guest.id().get(), guest.revision), (100, Revision(7)));
    assert_eq!(guest.object.metadata.name, "web");
    assert_eq!(guest.object.metadata.labels["app"], "web");
    assert_eq!(guest.object.spec.power_state, Some(PowerState::Running));
    assert_eq!(guest.spec().owned_volumes().count(), 1);
    assert_eq!(guest.running.as_ref().unwrap().cpu.cores, 1);
    assert_eq!(guest.snapshots[0].name.as_str(), "before");
    assert_eq!(guest.owners.of(&"ci".parse().unwrap()).collect::<Vec<_>>(), ["spec.cpu.cores", "spec.powerState"]);
    assert!(guest.making.is_some());
}

#[test]
fn the_stored_form_is_the_golden_one() {
    let ours: Value = serde_json::from_slice(&stored().encode().unwrap()).unwrap();
    let golden: Value = serde_json::from_str(STORED_V1).unwrap();
    assert_eq!(ours, golden);
}

#[test]
fn a_newer_a_damaged_and_an_unversioned_form_are_refused() {
    for (stored, why) in [(r#"{"v":2}"#, "newer"), (r#"{"v":1}"#, "missing field"), (r#"{}"#, "no version"), ("{", "cannot be read")] {
        let e = GuestObject::decode(stored.as_bytes(), Revision(1)).unwrap_err();
        assert!(e.message.contains(why), "{e}");
    }
}

#[test]
fn unknown_fields_of_a_spec_are_refused() {
    let mut spec = serde_json::to_value(&stored().object.spec).unwrap();
    serde_json::from_value::<VirtualMachineSpec>(spec.clone()).unwrap();
    spec["coers"] = 2.into();
    assert!(serde_json::from_value::<VirtualMachineSpec>(spec).unwrap_err().to_string().contains("coers"));
}

#[test]
fn the_digest_changes_exactly_with_name_and_spec() {
    let guest = stored();
    let digest = guest.digest();
    assert!(digest.len() == 40 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
    let mut same = guest.clone();
    same.object.status.phase = GuestPhase::Failed;
    same.object.metadata.labels.clear();
    same.lock = None;
    assert_eq!(same.digest(), digest);
    let mut renamed = guest.clone();
    renamed.name = None;
    let mut changed = guest;
    changed.object.spec.vm.cpu.cores += 1;
    assert!(renamed.digest() != digest && changed.digest() != digest && renamed.digest() != changed.digest());
}
