//! Watching guests: order, resume, gaps.

use std::sync::Arc;

use gpve_core::clock::SystemClock;
use gpve_core::control::{DeleteGuest, GuestEvent, GuestWatch};
use gpve_core::error::ErrorKind;
use gpve_core::ports::{Guest as _, Revision, Store};
use gpve_core::types::GuestPhase;
use gpve_store::MemStore;

use crate::control_world::{World, accepted, numbered, root, tiny, vmid, within};

/// A short form of the next event.
async fn next(watch: &mut GuestWatch) -> (Revision, String) {
    let (revision, event) = within(watch.next()).await.unwrap();
    let text = match event {
        GuestEvent::Added(guest) => format!("added {}", guest.id()),
        GuestEvent::Modified(guest) => format!("modified {} {}", guest.id(), guest.phase()),
        GuestEvent::Deleted { vmid, .. } => format!("deleted {vmid}"),
        GuestEvent::Bookmark => "bookmark".to_owned(),
    };
    (revision, text)
}

/// Everything up to the deletion of the guest.
async fn until_deleted(watch: &mut GuestWatch, id: u32) -> Vec<(Revision, String)> {
    let mut seen = Vec::new();
    loop {
        seen.push(next(watch).await);
        if seen.last().unwrap().1 == format!("deleted {id}") {
            return seen;
        }
    }
}

async fn live_and_die(world: &World, id: u32) {
    let id = world.made(numbered(id, tiny())).await;
    world.done(&accepted(world.plane.start(&root(), id).await).await.upid).await;
    world.done(&accepted(world.plane.stop(&root(), id).await).await.upid).await;
    world.done(&accepted(world.plane.delete(&root(), id, DeleteGuest::default()).await).await.upid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_after_any_event_without_gap_or_repetition() {
    let world = World::new().await;
    let start = world.plane.guests().revision();
    let mut watch = world.plane.watch(start).await.unwrap();
    live_and_die(&world, 100).await;
    let all = until_deleted(&mut watch, 100).await;
    assert_eq!(all[0].1, "added 100");
    assert!(all.iter().any(|(_, e)| e == &format!("modified 100 {}", GuestPhase::Running)), "{all:?}");
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{all:?}");
    for (i, (revision, _)) in all.iter().enumerate().take(all.len() - 1) {
        let mut resumed = world.plane.watch(*revision).await.unwrap();
        assert_eq!(until_deleted(&mut resumed, 100).await, all[i + 1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_from_before_a_restart() {
    let mut world = World::new().await;
    let start = world.plane.guests().revision();
    let mut watch = world.plane.watch(start).await.unwrap();
    live_and_die(&world, 100).await;
    let all = until_deleted(&mut watch, 100).await;
    world.restart().await;
    let mut resumed = world.plane.watch(all[0].0).await.unwrap();
    assert_eq!(until_deleted(&mut resumed, 100).await, all[1..]);
    live_and_die(&world, 101).await;
    assert_eq!(until_deleted(&mut resumed, 101).await[0].1, "added 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_compacted_history_is_told_to_list_again() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
    let mut world = World::over(store.clone()).await;
    let old = world.plane.guests().revision();
    live_and_die(&world, 100).await;
    store.compact(store.revision().await.unwrap()).await.unwrap();
    world.restart().await;
    let refused = match world.plane.watch(old).await {
        Ok(mut watch) => within(watch.next()).await.unwrap_err(),
        Err(e) => e,
    };
    assert_eq!(refused.kind, ErrorKind::Conflict);
    let snapshot = world.plane.guests();
    let mut fresh = world.plane.watch(snapshot.revision()).await.unwrap();
    world.made(numbered(101, tiny())).await;
    assert_eq!(next(&mut fresh).await.1, "added 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_carries_the_last_state() {
    let world = World::new().await;
    world.made(numbered(100, tiny())).await;
    let mut watch = world.plane.watch(world.plane.guests().revision()).await.unwrap();
    let gone = accepted(world.plane.delete(&root(), vmid(100), DeleteGuest::default()).await).await;
    world.done(&gone.upid).await;
    loop {
        if let (_, GuestEvent::Deleted { last, .. }) = within(watch.next()).await.unwrap() {
            assert_eq!(last.unwrap().object.metadata.name, "vm-100");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_gets_bookmarks_that_move_on() {
    let world = World::new().await;
    let mut watch = world.plane.watch(world.plane.guests().revision()).await.unwrap();
    let (first, event) = watch.next().await.unwrap();
    assert!(matches!(event, GuestEvent::Bookmark));
    // A lease is no guest, but the store's history moves on with it.
    world.plane.next_vmid().await.unwrap();
    let (second, event) = watch.next().await.unwrap();
    assert!(matches!(event, GuestEvent::Bookmark));
    assert!(second > first);
}
