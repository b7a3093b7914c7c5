//! Snapshots: their tree, and what is refused before anything is lost.

use gpve_core::error::Error;
use gpve_core::patch::SpecPatch;
use gpve_core::ports::{CloneOptions, ConfigPatch, OpCx, Operation, StoragePlugin as _, TaskState};
use gpve_core::testing::mem::{Fault, MemStorage};
use gpve_core::types::GuestPhase;

use super::rig::{Rig, create, vmid};

fn take(name: &str) -> Operation {
    Operation::Snapshot { name: name.parse().unwrap(), description: String::new() }
}

fn delete(name: &str) -> Operation {
    Operation::DeleteSnapshot { name: name.parse().unwrap(), force: false }
}

fn rollback(name: &str) -> Operation {
    Operation::Rollback { name: name.parse().unwrap(), start: false }
}

/// The operation fails with these words, and the guest still runs.
async fn refused(rig: &Rig, operation: Operation, words: &str) {
    let task = rig.run(100, operation).await;
    assert!(matches!(&task.state, TaskState::Failed(why) if why.contains(words)), "{:?}", task.state);
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
}

async fn running_with_snapshot() -> Rig {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, take("one")).await;
    rig
}

#[tokio::test]
async fn a_deletion_in_the_middle_gives_the_children_to_the_parent() {
    let rig = running_with_snapshot().await;
    rig.ok(100, take("two")).await;
    rig.ok(100, take("three")).await;
    refused(&rig, take("two"), "already exists").await;
    rig.ok(100, delete("two")).await;
    let report = rig.report(100);
    let tree: Vec<_> = report.snapshots.iter().map(|s| (s.name.as_str(), s.parent.as_ref().map(AsRef::as_ref))).collect();
    assert_eq!(tree, [("one", None), ("three", Some("one"))]);
    rig.ok(100, delete("three")).await;
    assert_eq!(rig.report(100).parent.unwrap().as_str(), "one");
}

#[tokio::test]
async fn a_half_deleted_snapshot_is_only_there_to_be_deleted() {
    let rig = running_with_snapshot().await;
    rig.host.fail_at(1, Fault::Fail(Error::internal("fault", "injected")));
    refused(&rig, delete("one"), "injected").await;
    assert!(rig.report(100).snapshots[0].deleting);
    refused(&rig, rollback("one"), "incomplete").await;
    let clone = CloneOptions {
        target: vmid(200),
        uid: uuid::Uuid::nil(),
        name: None,
        description: None,
        full: true,
        snapshot: Some("one".parse().unwrap()),
        storage: None,
        format: None,
    };
    refused(&rig, Operation::Clone(Box::new(clone)), "incomplete").await;
    rig.ok(100, delete("one")).await;
    assert_eq!(rig.report(100).snapshots, []);
}

#[tokio::test]
async fn a_snapshot_that_lost_a_part_is_refused_before_the_guest_is_stopped() {
    let rig = running_with_snapshot().await;
    rig.ok(100, Operation::Stop).await;
    let storage = MemStorage::new(rig.host.clone(), "local".parse().unwrap());
    let disk = "100/vm-100-disk-0.qcow2".parse().unwrap();
    storage.snapshots().unwrap().delete(&OpCx::background(), &disk, &"one".parse().unwrap()).await.unwrap();
    rig.ok(100, Operation::Start).await;
    refused(&rig, rollback("one"), "has lost its part").await;
}

#[tokio::test]
async fn an_unused_volume_that_a_snapshot_holds_is_not_deleted() {
    let rig = running_with_snapshot().await;
    let change = |spec: &mut gpve_core::types::VmSpec, change: fn(&mut gpve_core::types::VmSpec)| {
        let old = spec.clone();
        change(spec);
        Operation::Update(ConfigPatch { spec: SpecPatch::between(&old, spec).unwrap(), ..ConfigPatch::default() })
    };
    rig.ok(100, change(&mut rig.report(100).spec, |spec| spec.disks.clear())).await;
    assert_eq!(rig.report(100).spec.unused.len(), 1);
    let forget = change(&mut rig.report(100).spec, |spec| spec.unused.clear());
    refused(&rig, forget.clone(), "part of snapshot 'one'").await;
    rig.ok(100, delete("one")).await;
    rig.ok(100, forget).await;
    assert!(rig.dump().iter().all(|line| !line.contains("vm-100-disk-0")), "{:?}", rig.dump());
}
