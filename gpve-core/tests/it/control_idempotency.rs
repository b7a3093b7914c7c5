//! Idempotency keys and dry runs.

use std::collections::BTreeSet;

use gpve_core::control::{Answer, Call, CreateGuest, DeleteGuest, UpdateGuest};
use gpve_core::error::ErrorKind;
use gpve_core::patch::SpecPatch;
use gpve_core::ports::{Revision, TaskFilter};

use crate::control_world::{World, accepted, numbered, root, small, tiny, vmid};

fn keyed(key: &str) -> Call {
    root().with_key(key.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_request_has_the_same_result_once() {
    let world = World::new().await;
    let request = CreateGuest::of(tiny());
    let first = accepted(world.plane.create(&keyed("k1"), request.clone()).await).await;
    let again = accepted(world.plane.create(&keyed("k1"), request.clone()).await).await;
    assert_eq!(first, again);
    assert_eq!(world.plane.guests().len(), 1);
    let other = accepted(world.plane.create(&keyed("k2"), request).await).await;
    assert_ne!(first.vmid, other.vmid);
    world.done(&first.upid).await;
    let started = accepted(world.plane.start(&keyed("k3"), first.vmid).await).await;
    assert_eq!(started, accepted(world.plane.start(&keyed("k3"), first.vmid).await).await);
    // Also what made its own repetition impossible.
    let guest = world.plane.guest(first.vmid).unwrap();
    let mut wanted = guest.spec().clone();
    wanted.cpu.cores = 2;
    let patch = SpecPatch::between(guest.spec(), &wanted).unwrap();
    let update = UpdateGuest { patch, digest: Some(guest.digest()), wait: true, ..UpdateGuest::default() };
    let updated = accepted(world.plane.update(&keyed("k4"), first.vmid, update.clone()).await).await;
    assert_eq!(updated, accepted(world.plane.update(&keyed("k4"), first.vmid, update).await).await);
    let delete = DeleteGuest { stop_first: true, ..DeleteGuest::default() };
    let gone = accepted(world.plane.delete(&keyed("k5"), first.vmid, delete).await).await;
    world.done(&gone.upid).await;
    assert_eq!(gone, accepted(world.plane.delete(&keyed("k5"), first.vmid, delete).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_request_is_refused() {
    let world = World::new().await;
    world.plane.create(&keyed("k1"), CreateGuest::of(tiny())).await.unwrap();
    let e = world.plane.create(&keyed("k1"), CreateGuest::of(small())).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Conflict);
    let e = world.plane.start(&keyed("k1"), vmid(100)).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Conflict);
    let other_user = Call::by("ci@pve".parse().unwrap()).with_key("k1".parse().unwrap());
    world.plane.create(&other_user, CreateGuest::of(small())).await.unwrap();
    assert_eq!(world.plane.guests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_with_one_key_make_one_guest() {
    let world = World::new().await;
    let calls = (0..20).map(|_| async { world.plane.create(&keyed("k"), CreateGuest::of(tiny())).await });
    let answers = futures_util::future::join_all(calls).await;
    let made: Vec<_> = answers.into_iter().filter_map(Result::ok).map(|a| a.accepted().unwrap()).collect();
    assert!(!made.is_empty());
    assert!(made.iter().all(|a| (a.vmid, &a.upid) == (made[0].vmid, &made[0].upid)), "{made:?}");
    assert_eq!(world.plane.guests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_starts_with_one_key_are_one_task() {
    let world = World::new().await;
    let id = world.made(numbered(100, tiny())).await;
    let call = keyed("k");
    let starts = futures_util::future::join_all((0..20).map(|_| world.plane.start(&call, id))).await;
    let upids: BTreeSet<String> = starts.into_iter().map(|a| a.unwrap().accepted().unwrap().upid.to_string()).collect();
    assert_eq!(upids.len(), 1);
    assert_eq!(world.plane.tasks(None, &TaskFilter::default()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_frees_its_key() {
    let world = World::new().await;
    world.made(numbered(100, tiny())).await;
    let e = world.plane.create(&keyed("k"), numbered(100, tiny())).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::AlreadyExists);
    let made = accepted(world.plane.create(&keyed("k"), numbered(101, tiny())).await).await;
    assert_eq!(made.vmid, vmid(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_across_a_restart() {
    let mut world = World::new().await;
    let first = accepted(world.plane.create(&keyed("k"), CreateGuest::of(tiny())).await).await;
    world.done(&first.upid).await;
    world.restart().await;
    assert_eq!(first, accepted(world.plane.create(&keyed("k"), CreateGuest::of(tiny())).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_be_done_and_writes_nothing() {
    let world = World::new().await;
    let id = world.made(numbered(100, small())).await;
    let before = written(&world).await;
    let dry = keyed("k").dry();
    let Answer::Plan(plan) = world.plane.create(&dry, CreateGuest::of(small())).await.unwrap() else { panic!("no plan") };
    assert_eq!((plan.vmid, plan.node.as_str()), (vmid(101), "n1"));
    assert_eq!((plan.volumes[0].slot.as_str(), plan.volumes[0].storage.as_str()), ("scsi0", "local"));
    let spec = world.plane.guest(id).unwrap().spec().clone();
    let mut wanted = spec.clone();
    wanted.cpu.cores = 4;
    let update = UpdateGuest { patch: SpecPatch::between(&spec, &wanted).unwrap(), ..UpdateGuest::default() };
    let Answer::Plan(plan) = world.plane.update(&dry, id, update).await.unwrap() else { panic!("no plan") };
    assert_eq!((plan.changes, plan.spec.unwrap().cpu.cores), (vec!["cpu.cores".to_owned()], 4));
    assert!(matches!(world.plane.start(&dry, id).await.unwrap(), Answer::Plan(_)));
    assert!(matches!(world.plane.delete(&dry, id, DeleteGuest::default()).await.unwrap(), Answer::Plan(_)));
    assert_eq!(world.plane.create(&dry, numbered(100, tiny())).await.unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(written(&world).await, before);
}

/// The store's revision and how many tasks there are.
async fn written(world: &World) -> (Revision, usize) {
    (world.store.revision().await.unwrap(), world.plane.tasks(None, &TaskFilter::default()).len())
}
