//! What survives a restart, and who may open the file.

use std::sync::Arc;
use std::time::Duration;

use gpve_core::ports::{LeaseId, ListRequest, Revision, Store, StoreError, Txn, WatchRequest};
use gpve_store::EmbeddedStore;

use crate::fixture::{Place, commit, key};

async fn leased(store: &EmbeddedStore, at: &str, seconds: u64) -> LeaseId {
    let lease = store.grant(Duration::from_secs(seconds)).await.unwrap();
    commit(store, Txn::default().and_put_leased(key(at), "", lease)).await;
    lease
}

#[tokio::test]
async fn entries_revisions_and_watches_go_on_after_a_restart() {
    let place = Place::new();
    let store = place.open().await;
    for n in 1..=5 {
        commit(&store, Txn::put(key(&format!("/{}", n % 2)), n.to_string())).await;
    }
    let before = store.list(ListRequest::default()).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.list(ListRequest::default()).await.unwrap(), before);
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: Revision(3) }).await.unwrap();
    assert_eq!(commit(&store, Txn::put(key("/x"), "")).await, Revision(6));
    for expected in 4..=6 {
        assert_eq!(watch.next().await.unwrap().revision, Revision(expected));
    }
}

#[tokio::test]
async fn a_lease_goes_on_with_the_time_it_had_left() {
    let place = Place::new();
    let store = place.open().await;
    leased(&store, "/short", 10).await;
    leased(&store, "/long", 100).await;
    place.clock.advance(Duration::from_secs(4)).await;
    store.close().await;
    let store = place.open().await;
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: Revision(2) }).await.unwrap();
    place.clock.advance(Duration::from_secs(5)).await;
    assert!(store.get(&key("/short")).await.unwrap().is_some(), "a second is left");
    place.clock.advance(Duration::from_secs(2)).await;
    assert_eq!(watch.next().await.unwrap().revision, Revision(3));
    assert!(store.get(&key("/short")).await.unwrap().is_none());
    assert!(store.get(&key("/long")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lease_that_ran_out_while_the_store_was_closed_ends_at_once() {
    let place = Place::new();
    let store = place.open().await;
    let lease = leased(&store, "/gone", 10).await;
    store.close().await;
    place.clock.advance(Duration::from_secs(60)).await;
    let store = place.open().await;
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: Revision(1) }).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, Revision(2));
    assert_eq!(store.renew(lease).await, Err(StoreError::NoSuchLease(lease)));
    let other = store.grant(Duration::from_secs(1)).await.unwrap();
    assert_ne!(other, lease, "its id is not given to anybody else");
}

#[tokio::test]
async fn a_renewal_survives_a_restart() {
    let place = Place::new();
    let store = place.open().await;
    let lease = leased(&store, "/kept", 10).await;
    place.clock.advance(Duration::from_secs(8)).await;
    store.renew(lease).await.unwrap();
    store.close().await;
    place.clock.advance(Duration::from_secs(8)).await;
    let store = place.open().await;
    store.renew(lease).await.expect("it lives two seconds more");
    store.revoke(lease).await.unwrap();
    assert!(store.get(&key("/kept")).await.unwrap().is_none(), "and knows its keys");
}

#[tokio::test]
async fn a_store_that_is_open_is_refused_to_a_second_opener_by_name() {
    let place = Place::new();
    let store = place.open().await;
    let refused = EmbeddedStore::open(&place.path, Arc::new(place.clock.clone())).await.err().expect("it is refused");
    let text = refused.to_string();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{text}");
    assert!(text.contains(&format!("already open in process {}", std::process::id())), "{text}");
    assert_eq!(commit(&store, Txn::put(key("/a"), "")).await, Revision(1), "the first is not disturbed");
    store.close().await;
    place.open().await;
}

#[tokio::test]
async fn a_closed_store_refuses_everything_and_ends_its_watches() {
    let place = Place::new();
    let store = place.open().await;
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: Revision(0) }).await.unwrap();
    let asked = store.commit(Txn::put(key("/a"), ""));
    let (asked, ()) = futures::join!(asked, store.close());
    assert!(asked.is_ok(), "what was asked before is done: {asked:?}");
    let unavailable = |e: Option<StoreError>| assert!(matches!(e, Some(StoreError::Unavailable(_))), "{e:?}");
    unavailable(watch.next().await.err());
    unavailable(store.get(&key("/a")).await.err());
    unavailable(store.commit(Txn::put(key("/a"), "")).await.err());
    unavailable(store.grant(Duration::from_secs(1)).await.err());
    unavailable(store.watch(WatchRequest { prefix: String::new(), after: Revision(0) }).await.err());
    store.close().await;
    assert!(place.open().await.get(&key("/a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_dropped_store_writes_what_was_asked_and_lets_go_of_the_file() {
    let place = Place::new();
    let store = place.open().await;
    for n in 0..50 {
        let mut asked = Box::pin(store.commit(Txn::put(key(&format!("/{n}")), "")));
        assert!(futures::poll!(&mut asked).is_pending());
    }
    drop(store);
    let store = loop {
        match EmbeddedStore::open(&place.path, Arc::new(place.clock.clone())).await {
            Ok(store) => break store,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(store.revision().await.unwrap(), Revision(50));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let place = Place::new();
    let path = place.path.join("missing/store.db");
    let refused = EmbeddedStore::open(&path, Arc::new(place.clock.clone())).await.err().expect("it is refused");
    assert!(refused.to_string().contains("its directory does not exist"), "{refused}");
}
