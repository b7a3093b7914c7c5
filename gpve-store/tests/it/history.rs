//! History is kept as long as promised and not longer.

use gpve_core::ports::{ListRequest, Revision, Store, StoreError, Txn, WatchRequest};
use gpve_store::EmbeddedStore;
use rusqlite::Connection;

use crate::fixture::{Place, commit, key};

const KEEP: u64 = 100;

fn records(place: &Place) -> u64 {
    let connection = Connection::open(&place.path).unwrap();
    connection.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
}

async fn oldest(store: &EmbeddedStore) -> Revision {
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: Revision(0) }).await.unwrap();
    match watch.next().await {
        Err(StoreError::Compacted { oldest, .. }) => oldest,
        other => panic!("history from the beginning is gone: {other:?}"),
    }
}

/// Waits until the writer has swept: it does so before it waits for the next job.
async fn swept(place: &Place, at_most: u64) {
    while records(place) > at_most {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_last_revisions_can_be_watched_and_older_ones_take_no_space() {
    let place = Place::new();
    let store = place.open_keeping(KEEP).await;
    for n in 0..20 * KEEP {
        commit(&store, Txn::put(key(&format!("/k/{}", n % 7)), vec![0; 100])).await;
        if n % 500 == 0 {
            commit(&store, Txn::put(key(&format!("/stays/{n}")), "")).await;
        }
    }
    let (now, oldest) = (store.revision().await.unwrap(), oldest(&store).await);
    assert!((KEEP..=KEEP + KEEP / 4).contains(&(now.0 - oldest.0)), "at {now}, history from {oldest}");
    let mut watch = store.watch(WatchRequest { prefix: String::new(), after: oldest }).await.unwrap();
    for expected in oldest.0 + 1..=now.0 {
        assert_eq!(watch.next().await.unwrap().revision, Revision(expected));
    }
    assert_eq!(store.list(ListRequest::default()).await.unwrap().entries.len(), 11, "entries stay");
    swept(&place, KEEP + KEEP / 4 + 11).await;
}

#[tokio::test]
async fn an_entry_older_than_the_history_leaves_nothing_behind_when_it_is_overwritten() {
    let place = Place::new();
    let store = place.open().await;
    for n in 0..20 {
        commit(&store, Txn::put(key(&format!("/old/{n}")), "")).await;
    }
    store.compact(Revision(20)).await.unwrap();
    swept(&place, 20).await;
    for n in 0..10 {
        commit(&store, Txn::put(key(&format!("/old/{n}")), "new")).await;
        commit(&store, Txn::delete(key(&format!("/old/{}", n + 10)))).await;
    }
    let now = store.revision().await.unwrap();
    store.compact(now).await.unwrap();
    swept(&place, 10).await;
    assert_eq!(records(&place), 10, "one record per entry");
    assert_eq!(store.list(ListRequest::default()).await.unwrap().entries.len(), 10);
}

#[tokio::test]
async fn sweeping_goes_on_after_a_restart() {
    let place = Place::new();
    let store = place.open().await;
    let many: Vec<_> = (0..3_000).map(|n| store.commit(Txn::put(key(&format!("/{}", n % 3)), ""))).collect();
    futures::future::join_all(many).await;
    store.compact(Revision(3_000)).await.unwrap();
    store.close().await;
    let store = place.open().await;
    swept(&place, 3).await;
    assert_eq!(store.revision().await.unwrap(), Revision(3_000));
}
