//! Crashes between writes, lost records and restarts: what was accepted is made once or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use gpve_core::clock::SystemClock;
use gpve_core::control::{ControlPlane, CreateGuest, DeleteGuest, GuestObject};
use gpve_core::ports::{Guest as _, ListRequest, Store, Txn};
use gpve_core::types::{GuestPhase, Labels, Vmid};
use gpve_store::MemStore;

use crate::control_world::{DyingStore, PATIENCE, World, numbered, root, small, tiny, vmid, within};

/// Guests by the store's records, by its names, and by the node.
async fn three_views(world: &World) -> [BTreeSet<Vmid>; 3] {
    let keys = |prefix: &str| {
        let (store, prefix) = (world.store.clone(), prefix.to_owned());
        async move { store.list(ListRequest::prefix(prefix)).await.unwrap().entries }
    };
    let last_part = |key: &str| key.rsplit('/').next().unwrap().parse::<Vmid>().unwrap();
    let records = keys("/gpve/v1/guests/").await.iter().map(|e| last_part(e.key.as_str())).collect();
    let named = keys("/gpve/v1/names/").await.iter().map(|e| std::str::from_utf8(&e.value).unwrap().parse().unwrap()).collect();
    let on_node = (100..140).map(vmid).filter(|v| world.node.guest(*v).is_ok()).collect();
    [records, named, on_node]
}

async fn create_and_delete(plane: &ControlPlane) -> gpve_core::error::Result<()> {
    let made = plane.create(&root(), CreateGuest { name: Some("web".parse().unwrap()), ..numbered(100, small()) }).await?.accepted()?;
    plane.wait(&made.upid).await?;
    let gone = plane.delete(&root(), made.vmid, DeleteGuest::default()).await?.accepted()?;
    plane.wait(&gone.upid).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_store_writes_converges() {
    for last_happens in [false, true] {
        for writes in 0.. {
            let inner: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
            let mut world = World::over(inner.clone()).await;
            world.plane.shutdown();
            let dying = DyingStore::new(inner.clone(), writes, last_happens);
            world.store = dying.clone();
            world.restart().await;
            let work = create_and_delete(&world.plane);
            tokio::select! {
                _ = work => {}
                () = dying.dead() => {}
            }
            let finished = !dying.is_dead();
            world.store = inner;
            world.restart().await;
            let left = tokio::time::timeout(PATIENCE, settled(&world)).await;
            let left = left.unwrap_or_else(|_| panic!("nothing settles after {writes} writes (last happens: {last_happens})"));
            if finished {
                assert!(left.is_empty() && writes > 4);
                break;
            }
        }
    }
}

/// Waits until records, names and node agree and no guest is on its way; the guests there are.
async fn settled(world: &World) -> BTreeSet<Vmid> {
    let resting = |guest: &GuestObject| guest.making.is_none() && matches!(guest.phase(), GuestPhase::Stopped | GuestPhase::Running);
    loop {
        let [records, named, on_node] = three_views(world).await;
        let guests = world.plane.guests();
        let shown: BTreeSet<Vmid> = guests.iter().map(|e| e.guest.id()).collect();
        if records == named && records == on_node && records == shown && guests.iter().all(|e| resting(&e.guest)) {
            return records;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_guest_is_made_after_a_restart() {
    let mut world = World::new().await;
    // The store as a crash leaves it between the record and the node: made by a plane over another node of that name.
    let killed = World::over(world.store.clone()).await;
    killed.made(numbered(100, tiny())).await;
    killed.plane.shutdown();
    assert!(world.node.guest(vmid(100)).is_err());
    let mut record: serde_json::Value = read(&world, "/gpve/v1/guests/100").await;
    record["making"] = serde_json::json!({
        "id": "once", "user": "root@pam", "vmid": 100,
        "operation": {"create": {"uid": record["object"]["metadata"]["uid"], "name": null, "spec": tiny(), "start": false}}
    });
    write(&world, "/gpve/v1/guests/100", &record).await;
    world.restart().await;
    within(world.plane.wait_guest(vmid(100), |g| g.is_some_and(|g| g.phase() == GuestPhase::Stopped && g.making.is_none()))).await.unwrap();
    assert!(world.node.guest(vmid(100)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_record_gets_one_and_a_record_without_guest_goes() {
    let mut world = World::new().await;
    world.made(numbered(100, small())).await;
    let record: serde_json::Value = read(&world, "/gpve/v1/guests/100").await;
    world.plane.shutdown();
    // What another life of the store knew: guest 200, which the node does not have; of 100 nothing.
    let mut ghost = record.clone();
    ghost["object"]["spec"]["vmid"] = 200.into();
    ghost["object"]["status"]["vmid"] = 200.into();
    ghost["object"]["metadata"]["name"] = "ghost".into();
    write(&world, "/gpve/v1/guests/200", &ghost).await;
    for key in ["/gpve/v1/guests/100", "/gpve/v1/names/default/vm-100"] {
        world.store.commit(Txn::delete(key.parse().unwrap())).await.unwrap();
    }
    world.restart().await;
    within(world.plane.wait_guest(vmid(200), |g| g.is_none())).await.unwrap();
    let guest = world.plane.guest(vmid(100)).unwrap();
    assert_eq!(guest.object.metadata.name, "vm-100");
    assert_eq!(guest.phase(), GuestPhase::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_survive_a_restart_and_usage_is_not_stored() {
    let mut world = World::new().await;
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let id = world.made(CreateGuest { labels: labels.clone(), start: true, ..numbered(100, tiny()) }).await;
    within(world.plane.wait_guest(id, |g| g.is_some_and(|g| g.phase() == GuestPhase::Running))).await.unwrap();
    world.restart().await;
    let guest = world.plane.guest(id).unwrap();
    assert_eq!(guest.object.metadata.labels, labels);
    assert_eq!(guest.phase(), GuestPhase::Running);
    let record: serde_json::Value = read(&world, "/gpve/v1/guests/100").await;
    assert_eq!(record["object"]["status"]["usage"]["cpuTimeMs"], 0);
    assert_eq!(world.plane.ready(PATIENCE).await, Vec::new());
}

async fn read(world: &World, key: &str) -> serde_json::Value {
    serde_json::from_slice(&world.store.get(&key.parse().unwrap()).await.unwrap().unwrap().value).unwrap()
}

async fn write(world: &World, key: &str, value: &serde_json::Value) {
    world.store.commit(Txn::put(key.parse().unwrap(), serde_json::to_vec(value).unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_guest_makes_room_for_the_one_that_is_there() {
    let mut world = World::new().await;
    world.made(numbered(100, small())).await;
    world.plane.shutdown();
    let mut record = read(&world, "/gpve/v1/guests/100").await;
    let uid = record["object"]["metadata"]["uid"].clone();
    record["object"]["metadata"]["uid"] = serde_json::json!(uuid::Uuid::nil());
    write(&world, "/gpve/v1/guests/100", &record).await;
    world.restart().await;
    let is_there = |g: Option<&GuestObject>| g.is_some_and(|g| uid == g.object.metadata.uid.to_string());
    within(world.plane.wait_guest(vmid(100), is_there)).await.unwrap();
}
