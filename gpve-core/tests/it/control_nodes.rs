//! Several nodes, placement, and numbers whose leases end.

use std::collections::BTreeMap;
use std::sync::Arc;

use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::{CloneGuest, ControlPlane, CreateGuest, NodeSettings, VMID_LEASE};
use gpve_core::error::ErrorKind;
use gpve_core::ports::{Guest as _, Store, TaskFilter};
use gpve_core::testing::ManualClock;
use gpve_core::types::NodeName;
use gpve_store::MemStore;

use crate::control_world::{self, PATIENCE, World, accepted, numbered, root, tiny, vmid, within};

async fn three_nodes() -> ControlPlane {
    let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
    let mut builder = ControlPlane::builder(store, Arc::new(SystemClock::new()), Arc::new(Bus::new()));
    for name in ["n1", "n2", "n3"] {
        builder = builder.node(Arc::new(control_world::node(name).await.1));
    }
    let plane = builder.build().await.unwrap();
    assert!(plane.ready(PATIENCE).await.is_empty());
    plane
}

fn named(name: &str) -> NodeName {
    name.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_spread_and_avoid_a_cordoned_node() {
    let plane = three_nodes().await;
    let cordoned = NodeSettings { cordoned: true, ..NodeSettings::default() };
    plane.set_node(&root(), &named("n2"), &cordoned).await.unwrap();
    assert_eq!(plane.node(&named("n2")).unwrap().settings, cordoned);
    let mut by_node: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..10 {
        let made = accepted(plane.create(&root(), CreateGuest::of(tiny())).await).await;
        assert_eq!(*plane.guest(made.vmid).unwrap().node(), made.node);
        assert_eq!(made.upid.node, made.node);
        *by_node.entry(made.node.to_string()).or_default() += 1;
        within(plane.wait(&made.upid)).await.unwrap();
    }
    assert_eq!(by_node, BTreeMap::from([("n1".to_owned(), 5), ("n3".to_owned(), 5)]));
    let pinned = CreateGuest { node: Some(named("n2")), ..CreateGuest::of(tiny()) };
    assert_eq!(plane.create(&root(), pinned.clone()).await.unwrap_err().kind, ErrorKind::FailedPrecondition);
    plane.set_node(&root(), &named("n2"), &NodeSettings::default()).await.unwrap();
    assert_eq!(accepted(plane.create(&root(), pinned).await).await.node, named("n2"));
    let nowhere = CreateGuest { node: Some(named("n9")), ..CreateGuest::of(tiny()) };
    assert_eq!(plane.create(&root(), nowhere).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_all_nodes_are_one_list_newest_first() {
    let plane = three_nodes().await;
    for (n, node) in (100..).zip(["n1", "n2", "n3", "n1"]) {
        let request = CreateGuest { node: Some(named(node)), ..numbered(n, tiny()) };
        let made = accepted(plane.create(&root(), request).await).await;
        within(plane.wait(&made.upid)).await.unwrap();
    }
    let clone = accepted(plane.clone_guest(&root(), CloneGuest::of(vmid(101))).await).await;
    assert_eq!(clone.node, named("n2"));
    within(plane.wait(&clone.upid)).await.unwrap();
    let all = plane.tasks(None, &TaskFilter::default());
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|a, b| a.started >= b.started));
    assert_eq!(plane.tasks(Some(&named("n1")), &TaskFilter::default()).len(), 2);
    assert_eq!(plane.tasks(None, &TaskFilter { start: 1, limit: 2, ..TaskFilter::default() }), all[1..3]);
    assert_eq!(plane.tasks(None, &TaskFilter { vmid: Some(vmid(103)), ..TaskFilter::default() }).len(), 1);
    assert!(plane.tasks(None, &TaskFilter { running: Some(true), ..TaskFilter::default() }).is_empty());
    // The id as clients see it has whole seconds only.
    let shown = all[0].upid.to_string().parse().unwrap();
    assert_eq!(plane.task(&shown).await.unwrap(), all[0]);
}

#[tokio::test]
async fn an_unused_number_is_given_out_again_after_its_lease() {
    let clock = ManualClock::default();
    let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(clock.clone())));
    let world = World::over(store).await;
    let ids = [world.plane.next_vmid().await.unwrap(), world.plane.next_vmid().await.unwrap()];
    assert_eq!(ids, [vmid(100), vmid(101)]);
    // A guest made with its number keeps it; creations without number pass given numbers by.
    world.made(numbered(100, tiny())).await;
    let made = world.made(CreateGuest::of(tiny())).await;
    assert_eq!(made, vmid(102));
    clock.advance(VMID_LEASE * 2).await;
    let again = async {
        loop {
            // Each call takes what is free by then.
            if world.plane.next_vmid().await.unwrap() == vmid(101) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
    assert!(world.plane.guests().iter().all(|e| e.guest.id() != vmid(101)));
}
