//! Many clients at once, and several control planes over one store and node.

use std::collections::BTreeSet;
use std::sync::Arc;

use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::{ControlPlane, CreateGuest, DeleteGuest};
use gpve_core::ports::{Guest as _, TaskFilter, TaskState};
use gpve_core::types::GuestPhase;

use crate::control_world::{PATIENCE, World, accepted, numbered, root, small, tiny, vmid, within};

const CLIENTS: usize = 50;
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_at_once_lose_nothing() {
    let world = World::new().await;
    let clients = (0..CLIENTS).map(|_| {
        let plane = world.plane.clone();
        tokio::spawn(async move { rounds(&plane).await })
    });
    let mut upids = BTreeSet::new();
    for client in clients.collect::<Vec<_>>() {
        for upid in client.await.unwrap() {
            assert!(upids.insert(upid.clone()), "{upid} was given twice");
        }
    }
    assert_eq!(upids.len(), CLIENTS * ROUNDS * 4);
    let tasks = world.plane.tasks(None, &TaskFilter::default());
    let known: BTreeSet<String> = tasks.iter().map(|t| t.upid.to_string()).collect();
    assert!(upids.is_subset(&known));
    assert!(tasks.iter().all(|t| t.state == TaskState::Ok));
    assert!(world.plane.guests().is_empty());
    assert_eq!(world.host.guest_count(), 0);
}

/// Creates, starts, stops and deletes a guest again and again; the tasks.
async fn rounds(plane: &ControlPlane) -> Vec<String> {
    let mut upids = Vec::new();
    for _ in 0..ROUNDS {
        let id = plane.next_vmid().await.unwrap();
        let made = accepted(plane.create(&root(), CreateGuest { vmid: Some(id), ..CreateGuest::of(small()) }).await).await;
        let uid = plane.guest(id).unwrap().object.metadata.uid;
        // None waits for the one before: they queue at the guest.
        let started = accepted(plane.start(&root(), id).await).await;
        let stopped = accepted(plane.stop(&root(), id).await).await;
        let gone = accepted(plane.delete(&root(), id, DeleteGuest::default()).await).await;
        within(plane.wait(&gone.upid)).await.unwrap();
        // The number may be another client's by now.
        assert!(plane.guest(id).is_none_or(|g| g.object.metadata.uid != uid));
        upids.extend([made, started, stopped, gone].map(|a| a.upid.to_string()));
    }
    upids
}

#[tokio::test(flavor = "multi_thread")]
async fn any_control_plane_serves_any_request() {
    let world = World::new().await;
    let clock = Arc::new(SystemClock::new());
    let builder = ControlPlane::builder(world.store.clone(), clock, Arc::new(Bus::new()));
    let other = builder.node(Arc::new(world.node.clone())).build().await.unwrap();
    assert!(other.ready(PATIENCE).await.is_empty());
    let planes = [&world.plane, &other];
    // Made here, read there: the answer's revision says what to wait for.
    let made = accepted(planes[0].create(&root(), numbered(100, small())).await).await;
    within(planes[1].wait_revision(made.revision)).await.unwrap();
    assert!(planes[1].guest(vmid(100)).is_some());
    within(planes[1].wait(&made.upid)).await.unwrap();
    let call = root().with_key("k".parse().unwrap());
    let calls = (0..10).map(|i| planes[i % 2].create(&call, CreateGuest::of(tiny())));
    let answers = futures_util::future::join_all(calls).await;
    let vmids: BTreeSet<_> = answers.into_iter().map(|a| a.unwrap().accepted().unwrap().vmid).collect();
    assert_eq!(vmids, BTreeSet::from([vmid(101)]));
    let calls = (0..40).map(|i| async move { accepted(planes[i % 2].create(&root(), CreateGuest::of(tiny())).await).await });
    let made = futures_util::future::join_all(calls).await;
    assert_eq!(made.iter().map(|a| a.vmid).collect::<BTreeSet<_>>().len(), 40);
    for (i, accepted) in made.iter().enumerate() {
        within(planes[i % 2].wait(&accepted.upid)).await.unwrap();
    }
    for plane in planes {
        let all_stopped = || plane.guests().len() == 42 && plane.guests().iter().all(|e| e.guest.phase() == GuestPhase::Stopped);
        let mut watch = plane.watch(plane.guests().revision()).await.unwrap();
        while !all_stopped() {
            within(watch.next()).await.unwrap();
        }
    }
    assert_eq!(planes[0].guest(vmid(101)), planes[1].guest(vmid(101)));
}
