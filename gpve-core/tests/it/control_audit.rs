//! The audit log: who did what, and that nobody changed it since.

use std::sync::Arc;

use gpve_core::clock::SystemClock;
use gpve_core::control::StoreAudit;
use gpve_core::ports::{Audit as _, Store, Txn};
use gpve_store::MemStore;

use crate::control_world::{World, numbered, root, tiny, vmid};

#[tokio::test(flavor = "multi_thread")]
async fn every_changing_call_leaves_an_entry() {
    let world = World::new().await;
    world.made(numbered(100, tiny())).await;
    world.plane.create(&root(), numbered(100, tiny())).await.unwrap_err();
    world.plane.start(&root(), vmid(100)).await.unwrap();
    let entries = world.plane.audit_log().recent(10).await.unwrap();
    let short: Vec<_> = entries.iter().map(|e| (e.verb.as_str(), e.name.as_str(), e.status_code)).collect();
    assert_eq!(short, [("start", "vm 100", 200), ("create", "vm 100", 409), ("create", "vm 100", 200)]);
    assert!(entries.iter().all(|e| e.user == "root@pam"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_removed_or_added_entry_is_found() {
    let world = World::new().await;
    for n in 100..105 {
        world.made(numbered(n, tiny())).await;
    }
    let audit = StoreAudit::new(world.store.clone());
    assert_eq!(audit.verify().await.unwrap(), 5);
    let key = |n: u64| format!("/gpve/v1/audit/{n:020}").parse().unwrap();
    let entry = world.store.get(&key(2)).await.unwrap().unwrap().value;
    let forged = String::from_utf8(entry.to_vec()).unwrap().replace("root@pam", "evil@pam");
    world.store.commit(Txn::put(key(2), forged)).await.unwrap();
    assert!(audit.verify().await.unwrap_err().message.contains("position 2"));
    world.store.commit(Txn::delete(key(2))).await.unwrap();
    assert!(audit.verify().await.unwrap_err().message.contains("position 3"));
    world.store.commit(Txn::put(key(2), entry)).await.unwrap();
    assert_eq!(audit.verify().await.unwrap(), 5);
    world.store.commit(Txn::delete(key(4))).await.unwrap();
    audit.verify().await.unwrap_err();
    world.store.commit(Txn::delete(key(0))).await.unwrap();
    audit.verify().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_entries_form_one_chain() {
    let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
    let world = World::over(store.clone()).await;
    world.made(numbered(100, tiny())).await;
    let entry = world.plane.audit_log().recent(1).await.unwrap().remove(0);
    let servers = [StoreAudit::new(store.clone()), StoreAudit::new(store.clone())];
    let writes = (0..100).map(|i| servers[i % 2].record(entry.clone()));
    assert!(futures_util::future::join_all(writes).await.into_iter().all(|r| r.is_ok()));
    assert_eq!(servers[0].verify().await.unwrap(), 101);
}
