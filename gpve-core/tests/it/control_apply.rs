//! Server-side apply: fields, owners, conflicts, power state.

use gpve_core::control::{Applied, Apply, ApplyOutcome, PowerState};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::Guest as _;
use gpve_core::types::{ByteSize, GuestPhase, Namespace};
use serde_json::{Value, json};

use crate::control_world::{World, root, within};

fn manifest() -> Value {
    json!({
        "apiVersion": "gpve.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "powerState": "Running",
            "cpu": {"cores": 2},
            "memory": {"size": "128Mi"},
            "disks": [{"name": "scsi0", "source": {"new": {"storage": "local", "size": "1Gi"}}}],
            "networks": [{"name": "net0", "bridge": "vmbr0"}],
        },
    })
}

async fn apply_as(world: &World, manager: &str, force: bool, manifest: Value) -> Result<Applied, Error> {
    let applied = world.plane.apply(&root(), Apply { manifest, manager: manager.parse().unwrap(), force }).await?;
    for task in &applied.tasks {
        world.done(&task.upid).await;
    }
    Ok(applied)
}

async fn running(world: &World) -> Applied {
    let applied = apply_as(world, "ci", false, manifest()).await.unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Created);
    within(world.plane.wait_guest(applied.vmid, |g| g.is_some_and(|g| g.phase() == GuestPhase::Running))).await.unwrap();
    applied
}

fn with(path: &str, value: Value) -> Value {
    let mut out = manifest();
    *out.pointer_mut(path).unwrap() = value;
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_manifest_again_changes_nothing() {
    let world = World::new().await;
    let made = running(&world).await;
    let before = world.plane.guest(made.vmid).unwrap();
    assert_eq!(before.object.spec.power_state, Some(PowerState::Running));
    assert_eq!(before.object.metadata.labels["app"], "web");
    let again = apply_as(&world, "ci", false, manifest()).await.unwrap();
    assert_eq!((again.outcome, again.tasks.len()), (ApplyOutcome::Unchanged, 0));
    assert_eq!(world.plane.guest(made.vmid).unwrap(), before);
    // So does what the server shows of it, as long as it is what was shown.
    let mut shown = serde_json::to_value(&before.object).unwrap();
    shown["metadata"]["resourceVersion"] = json!(before.revision.to_string());
    assert_eq!(apply_as(&world, "ci", false, shown.clone()).await.unwrap().outcome, ApplyOutcome::Unchanged);
    assert_eq!(apply_as(&world, "ci", false, shown.clone()).await.unwrap_err().kind, ErrorKind::Conflict);
    shown["metadata"]["resourceVersion"] = Value::Null;
    assert_eq!(apply_as(&world, "ci", false, shown.clone()).await.unwrap().outcome, ApplyOutcome::Unchanged);
    shown["metadata"]["uid"] = json!(uuid::Uuid::nil());
    assert_eq!(apply_as(&world, "ci", false, shown).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_changes_the_guest() {
    let world = World::new().await;
    let made = running(&world).await;
    let mut wanted = with("/spec/disks/0/source/new/size", json!("2Gi"));
    wanted["spec"]["powerState"] = json!("Stopped");
    wanted["spec"]["cpu"]["cores"] = json!(4);
    wanted["metadata"]["labels"] = json!({"tier": "front"});
    let applied = apply_as(&world, "ci", false, wanted).await.unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Configured);
    let guest = world.plane.guest(made.vmid).unwrap();
    assert_eq!((guest.spec().cpu.cores, guest.phase()), (4, GuestPhase::Stopped));
    assert_eq!(guest.object.metadata.labels.keys().collect::<Vec<_>>(), ["tier"]);
    let disk = &guest.spec().disks[&"scsi0".parse().unwrap()];
    assert!(matches!(&disk.source, gpve_core::types::DiskSource::Volume { size: Some(s), .. } if *s == ByteSize::from_gib(2)));
    assert!(guest.spec().unused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_no_longer_applied_goes() {
    let world = World::new().await;
    let mut first = manifest();
    first["spec"]["description"] = json!("from ci");
    first["spec"]["tags"] = json!(["a"]);
    let made = apply_as(&world, "ci", false, first).await.unwrap();
    // Another manager applies the same description: it is then shared and stays.
    let shared = json!({
        "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": {"description": "from ci"}
    });
    apply_as(&world, "other", false, shared).await.unwrap();
    apply_as(&world, "ci", false, manifest()).await.unwrap();
    let guest = world.plane.guest(made.vmid).unwrap();
    assert_eq!(guest.spec().description.as_ref().map(|d| d.as_str()), Some("from ci"));
    assert!(guest.spec().tags.is_empty());
    assert_eq!(guest.spec().cpu.cores, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_managers_field_is_a_conflict_until_forced() {
    let world = World::new().await;
    let made = running(&world).await;
    let theirs = json!({
        "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": {"cpu": {"cores": 3}}
    });
    let e = apply_as(&world, "ops", false, theirs.clone()).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Conflict);
    assert_eq!(e.fields[0].field, "spec.cpu.cores");
    assert!(e.message.contains("spec.cpu.cores (of ci)"), "{}", e.message);
    assert_eq!(world.plane.guest(made.vmid).unwrap().spec().cpu.cores, 2);
    apply_as(&world, "ops", true, theirs).await.unwrap();
    let guest = world.plane.guest(made.vmid).unwrap();
    assert_eq!(guest.spec().cpu.cores, 3);
    let owner = |m: &str| guest.owners.of(&m.parse().unwrap()).any(|f| f == "spec.cpu.cores");
    assert!(owner("ops") && !owner("ci"));
    // Now the first manager meets the conflict.
    assert_eq!(apply_as(&world, "ci", false, manifest()).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_manifest_is_refused_by_field() {
    let world = World::new().await;
    let cases = [
        (with("/apiVersion", json!("v2")), "manifest"),
        (with("/spec/cpu", json!({"coers": 2})), "spec"),
        (with("/spec/powerState", json!("On")), "spec.powerState"),
        (with("/spec/cpu", json!({"sockets": 9})), "sockets"),
        (with("/metadata/labels", json!({"a b": "c"})), "metadata.labels.a b"),
    ];
    for (manifest, field) in cases {
        let e = apply_as(&world, "ci", false, manifest).await.unwrap_err();
        assert_eq!((e.kind, e.fields[0].field.as_str()), (ErrorKind::InvalidInput, field), "{e}");
    }
    assert!(world.plane.guests().is_empty());
    running(&world).await;
    for (manifest, field) in [
        (with("/spec/disks/0/source/new/size", json!("512Mi")), "spec.disks.scsi0"),
        (with("/spec/disks/0/source/new/storage", json!("other")), "spec.disks.scsi0"),
    ] {
        let e = apply_as(&world, "ci", false, manifest).await.unwrap_err();
        assert_eq!((e.kind, e.fields[0].field.as_str()), (ErrorKind::InvalidInput, field), "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_applies_of_one_manifest_make_one_guest() {
    let world = World::new().await;
    let call = root();
    let apply = Apply { manifest: manifest(), manager: "ci".parse().unwrap(), force: false };
    let applies = (0..10).map(|_| world.plane.apply(&call, apply.clone()));
    let applied: Vec<_> = futures_util::future::join_all(applies).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(applied.iter().filter(|a| a.outcome == ApplyOutcome::Created).count(), 1);
    assert_eq!(world.plane.guests().len(), 1);
    assert!(world.plane.guest_named(&Namespace::default(), "web").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_apply_says_what_would_change_and_writes_nothing() {
    let world = World::new().await;
    running(&world).await;
    let before = world.store.revision().await.unwrap();
    let mut wanted = with("/spec/powerState", json!("Stopped"));
    wanted["spec"]["cpu"]["cores"] = json!(8);
    let apply = Apply { manifest: wanted, manager: "ci".parse().unwrap(), force: false };
    let applied = world.plane.apply(&root().dry(), apply).await.unwrap();
    let plan = applied.plan.unwrap();
    assert_eq!(plan.changes, ["spec.cpu.cores", "spec.powerState"]);
    assert_eq!(plan.steps.last().unwrap(), "stop vm 100");
    assert_eq!(world.store.revision().await.unwrap(), before);
}
