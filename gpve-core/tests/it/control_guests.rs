//! Calls on guests: what they do and that reads show it.

use std::collections::BTreeSet;

use gpve_core::control::{AllocateVolume, Answer, CloneGuest, CreateGuest, DeleteGuest, UpdateGuest};
use gpve_core::error::ErrorKind;
use gpve_core::patch::SpecPatch;
use gpve_core::ports::{EventFilter, EventKind, Events as _, Guest as _, Received, ResizeTo, TaskFilter, TaskState};
use gpve_core::types::{ByteSize, GuestPhase, Namespace};

use crate::control_world::{World, accepted, numbered, root, small, tiny, vmid, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_created_guest_and_its_task_show_when_the_call_returns() {
    let world = World::new().await;
    let made = accepted(world.plane.create(&root(), CreateGuest::of(small())).await).await;
    let guest = world.plane.guest(made.vmid).unwrap();
    assert_eq!(guest.object.metadata.name, "vm-100");
    assert_eq!(world.plane.guest_named(&Namespace::default(), "vm-100").unwrap().id(), made.vmid);
    assert!(world.plane.tasks(None, &TaskFilter::default()).iter().any(|t| t.upid == made.upid));
    world.done(&made.upid).await;
    let guest = world.plane.guest(made.vmid).unwrap();
    assert_eq!(guest.phase(), GuestPhase::Stopped);
    assert!(guest.spec().uuid.is_some() && guest.spec().generation_id.is_some());
    assert!(guest.spec().networks.values().all(|n| n.mac_address.is_some()));
    assert_eq!(guest.spec().owned_volumes().count(), 1);
    assert!(guest.making.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_lives_through_the_whole_cycle() {
    let world = World::new().await;
    let (plane, call) = (&world.plane, root());
    let id = world.made(numbered(200, small())).await;
    let phase = || plane.guest(id).unwrap().phase();
    world.done(&accepted(plane.start(&call, id).await).await.upid).await;
    assert_eq!(phase(), GuestPhase::Running);
    assert!(plane.guest(id).unwrap().running.is_some());
    world.done(&accepted(plane.pause(&call, id).await).await.upid).await;
    assert_eq!(phase(), GuestPhase::Paused);
    world.done(&accepted(plane.resume(&call, id).await).await.upid).await;
    let snap = "before".parse().unwrap();
    world.done(&accepted(plane.snapshot(&call, id, snap, "a note".to_owned()).await).await.upid).await;
    assert_eq!(plane.guest(id).unwrap().snapshots[0].description, "a note");
    let disk = "scsi0".parse().unwrap();
    world.done(&accepted(plane.resize(&call, id, disk, ResizeTo::Grow(ByteSize::from_gib(1)), None).await).await.upid).await;
    world.done(&accepted(plane.stop(&call, id).await).await.upid).await;
    assert_eq!(phase(), GuestPhase::Stopped);
    world.done(&accepted(plane.delete(&call, id, DeleteGuest::default()).await).await.upid).await;
    assert!(plane.guest(id).is_none());
    assert!(plane.guest_named(&Namespace::default(), "vm-200").is_none());
    assert_eq!(plane.start(&call, id).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_guest_leaves_nothing() {
    let world = World::new().await;
    let mut spec = small();
    spec.cpu.sockets = 9;
    let e = world.plane.create(&root(), numbered(300, spec)).await.unwrap_err();
    assert_eq!((e.kind, e.fields[0].field.as_str()), (ErrorKind::InvalidInput, "sockets"));
    let mut spec = small();
    let disk = spec.disks.values_mut().next().unwrap();
    let source = gpve_core::types::DiskSource::New { storage: "nowhere".parse().unwrap(), size: ByteSize::from_gib(1), format: None };
    disk.source = source;
    let e = world.plane.create(&root(), numbered(300, spec)).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::FailedPrecondition);
    assert!(e.message.contains("nowhere"), "{}", e.message);
    assert!(world.plane.guests().is_empty());
    assert!(world.store.list(gpve_core::ports::ListRequest::prefix("/gpve/v1/guests/")).await.unwrap().entries.is_empty());
    assert!(world.store.list(gpve_core::ports::ListRequest::prefix("/gpve/v1/names/")).await.unwrap().entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_creation_fails_is_gone_again() {
    let world = World::new().await;
    let broken = gpve_core::error::Error::internal("volume.create", "the disk is broken");
    world.host.fail_on("volume.create", gpve_core::testing::mem::Fault::Fail(broken));
    let made = accepted(world.plane.create(&root(), numbered(300, small())).await).await;
    assert!(matches!(world.ended(&made.upid).await.state, TaskState::Failed(_)));
    assert!(world.plane.guest(made.vmid).is_none());
    world.made(numbered(300, small())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_object_names_are_given_once() {
    let world = World::new().await;
    let named =
        |n: Option<u32>, name: &str| CreateGuest { vmid: n.map(vmid), name: Some(name.parse().unwrap()), ..CreateGuest::of(tiny()) };
    let first = world.made(named(Some(100), "web")).await;
    let e = world.plane.create(&root(), named(Some(100), "other")).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::AlreadyExists);
    // As in Proxmox VE a second guest may have the name; its object has another one.
    let second = world.made(named(None, "web")).await;
    let names = [first, second].map(|id| world.plane.guest(id).unwrap().object.metadata.name.clone());
    assert_eq!(names, ["web".to_owned(), format!("web-{second}")]);
    let strict = CreateGuest { object_name: Some("web".parse().unwrap()), ..CreateGuest::of(tiny()) };
    assert_eq!(world.plane.create(&root(), strict).await.unwrap_err().kind, ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_parallel_callers_get_two_hundred_ids() {
    let world = World::new().await;
    let ids = futures_util::future::join_all((0..200).map(|_| world.plane.next_vmid())).await;
    let distinct: BTreeSet<_> = ids.into_iter().map(Result::unwrap).collect();
    assert_eq!(distinct.len(), 200);
    assert_eq!(distinct.first(), Some(&vmid(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_control_planes_over_one_store_never_give_the_same_id() {
    let mut world = World::new().await;
    let first = world.plane.clone();
    let other = World::over(world.store.clone()).await;
    let ids = (0..50).flat_map(|_| [first.next_vmid(), other.plane.next_vmid()]);
    let ids: BTreeSet<_> = futures_util::future::join_all(ids).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 100);
    world.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_creations_without_number_all_succeed() {
    let world = World::new().await;
    let made = (0..200).map(|_| async { accepted(world.plane.create(&root(), CreateGuest::of(tiny())).await).await });
    let made = futures_util::future::join_all(made).await;
    assert_eq!(made.iter().map(|a| a.vmid).collect::<BTreeSet<_>>().len(), 200);
    for accepted in &made {
        world.done(&accepted.upid).await;
    }
    assert_eq!(world.plane.guests().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_shows_when_a_waiting_call_returns() {
    let world = World::new().await;
    let id = world.made(numbered(100, small())).await;
    let before = world.plane.guest(id).unwrap();
    let mut wanted = before.spec().clone();
    wanted.cpu.cores = 2;
    let patch = SpecPatch::between(before.spec(), &wanted).unwrap();
    let request = UpdateGuest { patch, digest: Some(before.digest()), wait: true, ..UpdateGuest::default() };
    accepted(world.plane.update(&root(), id, request.clone()).await).await;
    let after = world.plane.guest(id).unwrap();
    assert_eq!(after.spec().cpu.cores, 2);
    assert_ne!(after.digest(), before.digest());
    let e = world.plane.update(&root(), id, request.clone()).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Conflict);
    let again = UpdateGuest { digest: None, ..request };
    assert_eq!(world.plane.update(&root(), id, again).await.unwrap(), Answer::Unchanged(id));
    assert_eq!(world.plane.guest(id).unwrap().digest(), after.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_a_guest_of_its_own() {
    let world = World::new().await;
    let id = world.made(CreateGuest { name: Some("base".parse().unwrap()), ..numbered(100, small()) }).await;
    let request = CloneGuest { name: Some("copy".parse().unwrap()), full: Some(true), ..CloneGuest::of(id) };
    let made = accepted(world.plane.clone_guest(&root(), request).await).await;
    assert!(world.plane.guest(made.vmid).is_some());
    world.done(&made.upid).await;
    let (source, copy) = (world.plane.guest(id).unwrap(), world.plane.guest(made.vmid).unwrap());
    assert_eq!(copy.object.metadata.name, "copy");
    assert_ne!(copy.object.metadata.uid, source.object.metadata.uid);
    let volumes = |g: &gpve_core::control::GuestObject| g.spec().owned_volumes().cloned().collect::<BTreeSet<_>>();
    assert!(volumes(&source).is_disjoint(&volumes(&copy)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_is_stopped_before_deletion_if_asked() {
    let world = World::new().await;
    let id = world.made(CreateGuest { start: true, ..numbered(100, small()) }).await;
    // The start is a task of its own behind the creation.
    within(world.plane.wait_guest(id, |g| g.is_some_and(|g| g.phase() == GuestPhase::Running))).await.unwrap();
    let refused = match world.plane.delete(&root(), id, DeleteGuest::default()).await {
        Ok(answer) => matches!(world.ended(&answer.accepted().unwrap().upid).await.state, TaskState::Failed(_)),
        Err(e) => e.kind == ErrorKind::FailedPrecondition,
    };
    assert!(refused);
    let request = DeleteGuest { stop_first: true, ..DeleteGuest::default() };
    world.done(&accepted(world.plane.delete(&root(), id, request).await).await.upid).await;
    assert!(world.plane.guest(id).is_none());
    assert_eq!(world.host.guest_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_published() {
    let world = World::new().await;
    let mut events = world.bus.subscribe(EventFilter { vmid: Some(vmid(100)), ..EventFilter::default() });
    let id = world.made(CreateGuest { start: true, ..numbered(100, tiny()) }).await;
    let request = DeleteGuest { stop_first: true, ..DeleteGuest::default() };
    world.done(&accepted(world.plane.delete(&root(), id, request).await).await.upid).await;
    let mut seen = Vec::new();
    while !seen.contains(&EventKind::GuestDeleted) {
        match within(events.next()).await {
            Some(Received::Event(event)) => seen.push(event.kind),
            other => panic!("{other:?}"),
        }
    }
    for kind in [EventKind::GuestCreated, EventKind::TaskStarted, EventKind::TaskEnded, EventKind::GuestPhaseChanged] {
        assert!(seen.contains(&kind), "{kind:?} is missing in {seen:?}");
    }
    assert_eq!(seen.iter().filter(|k| **k == EventKind::GuestCreated).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_updates_with_one_digest_one_succeeds() {
    let world = World::new().await;
    let id = world.made(numbered(100, small())).await;
    let before = world.plane.guest(id).unwrap();
    let updates = (2..12).map(|cores| {
        let mut wanted = before.spec().clone();
        wanted.cpu.cores = cores;
        let patch = SpecPatch::between(before.spec(), &wanted).unwrap();
        let request = UpdateGuest { patch, digest: Some(before.digest()), wait: true, ..UpdateGuest::default() };
        let plane = world.plane.clone();
        async move { plane.update(&root(), id, request).await }
    });
    let results = futures_util::future::join_all(updates).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_changes_nothing_about_the_call() {
    let world = World::new().await;
    let caller = root();
    let call = world.plane.create(&caller, numbered(100, tiny()));
    // Polled once and dropped: on one thread the call has not got far.
    assert!(futures_util::FutureExt::now_or_never(call).is_none());
    within(world.plane.wait_guest(vmid(100), |g| g.is_some_and(|g| g.phase() == GuestPhase::Stopped))).await.unwrap();
    while world.plane.audit_log().recent(1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_is_cancelled_while_it_waits_leaves_nothing() {
    let world = World::new().await;
    let id = world.made(numbered(100, small())).await;
    world.host.fail_on("volume.create", gpve_core::testing::mem::Fault::Hang);
    let volume = AllocateVolume { storage: "local".parse().unwrap(), name: None, format: None, size: ByteSize::from_gib(1) };
    accepted(world.plane.allocate_volume(&root(), &"n1".parse().unwrap(), id, volume).await).await;
    let clone = accepted(world.plane.clone_guest(&root(), CloneGuest::of(id)).await).await;
    assert!(world.plane.guest(clone.vmid).is_some());
    world.plane.cancel(&root(), &clone.upid).await.unwrap();
    assert_eq!(world.ended(&clone.upid).await.state, TaskState::Cancelled);
    assert!(world.plane.guest(clone.vmid).is_none());
    assert!(world.plane.guest(id).is_some());
}
