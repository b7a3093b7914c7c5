//! Files of every format that was ever released open, and files of something else do not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gpve_core::ports::{Change, LeaseId, ListRequest, Revision, Store, StoreError, Txn, WatchRequest};
use gpve_core::testing::ManualClock;
use gpve_core::types::Timestamp;
use gpve_store::EmbeddedStore;
use rusqlite::Connection;

use crate::fixture::{Place, commit, key};

/// The format that this version writes.
const FORMAT: i64 = 2;
/// When the golden files were left: their lease 7 has 30 of its 60 seconds left.
const LEFT_AT: Timestamp = Timestamp::from_secs(1_800_000_000);

async fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, Arc::new(ManualClock::default())).await
}

fn pragma(path: &Path, name: &str) -> i64 {
    Connection::open(path).unwrap().query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn golden_files_of_every_format_open_and_become_the_present_one() {
    for format in 1..=FORMAT {
        let place = Place::new();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{format}.db"));
        std::fs::copy(&golden, &place.path).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
        assert_eq!(pragma(&place.path, "user_version"), format);
        let clock = ManualClock::at(LEFT_AT);
        let store = EmbeddedStore::open(&place.path, Arc::new(clock.clone())).await.unwrap();
        holds_the_golden_state(&store, &clock).await;
        store.close().await;
        assert_eq!(pragma(&place.path, "user_version"), FORMAT);
        let store = EmbeddedStore::open(&place.path, Arc::new(clock)).await.expect("and again");
        assert_eq!(store.revision().await.unwrap(), Revision(7));
    }
}

/// The golden history: 1 puts `/guests/100`, 2 puts it again, 3 puts `/guests/101` and `/nodes/pve1` (lease 7), 4 deletes
/// `/guests/101`, 5 puts `/big`; compacted through 1.
async fn holds_the_golden_state(store: &EmbeddedStore, clock: &ManualClock) {
    let listing = store.list(ListRequest::default()).await.unwrap();
    let shown: Vec<_> = listing.entries.iter().map(|e| (e.key.as_str(), e.value.len(), e.created.0, e.modified.0, e.version)).collect();
    assert_eq!(shown, [("/big", 10_000, 5, 5, 1), ("/guests/100", 3, 1, 2, 2), ("/nodes/pve1", 2, 3, 3, 1)]);
    assert_eq!((listing.revision, listing.entries[2].lease), (Revision(5), Some(LeaseId(7))));
    let compacted = store.watch(WatchRequest { prefix: String::new(), after: Revision(0) }).await.unwrap().next().await;
    assert_eq!(compacted, Err(StoreError::Compacted { asked: Revision(0), oldest: Revision(1) }));
    let mut watch = store.watch(WatchRequest { prefix: "/guests/".to_owned(), after: Revision(1) }).await.unwrap();
    assert!(matches!(watch.next().await.unwrap().changes.as_slice(), [Change::Put(e)] if &e.value[..] == b"two"));
    assert_eq!(watch.next().await.unwrap().revision, Revision(3));
    assert_eq!(watch.next().await.unwrap().changes, [Change::Delete(key("/guests/101"))]);
    commit(store, Txn::put(key("/new"), "")).await;
    let mut nodes = store.watch(WatchRequest { prefix: "/nodes/".to_owned(), after: Revision(6) }).await.unwrap();
    clock.advance(Duration::from_secs(31)).await;
    assert_eq!(nodes.next().await.unwrap().changes, [Change::Delete(key("/nodes/pve1"))]);
    assert!(store.grant(Duration::from_secs(5)).await.unwrap() > LeaseId(7));
}

#[tokio::test]
async fn a_file_of_a_newer_gpve_is_refused_untouched() {
    let place = Place::new();
    place.open().await.close().await;
    Connection::open(&place.path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = open(&place.path).await.err().expect("it is refused");
    let path = place.path.display().to_string();
    assert_eq!(refused, StoreError::TooNew { path, found: 99, known: u32::try_from(FORMAT).unwrap() });
    assert_eq!(pragma(&place.path, "user_version"), 99);
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_untouched() {
    let sqlite = Place::new();
    Connection::open(&sqlite.path).unwrap().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").unwrap();
    let text = Place::new();
    std::fs::write(&text.path, "this is not a database, but a text of some length, longer than a header".repeat(20)).unwrap();
    for place in [sqlite, text] {
        let before = std::fs::read(&place.path).unwrap();
        let refused = open(&place.path).await.err().expect("it is refused");
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
        assert_eq!(std::fs::read(&place.path).unwrap(), before);
    }
}

#[tokio::test]
async fn only_the_owner_reads_the_files_also_those_of_an_earlier_version() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    for _ in 0..2 {
        let store = place.open().await;
        commit(&store, Txn::put(key("/secret"), vec![0; 500])).await;
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", place.path.display());
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
        store.close().await;
        std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_file_is_told_and_not_guessed_at() {
    let place = Place::new();
    let store = place.open().await;
    for n in 0..200 {
        commit(&store, Txn::put(key(&format!("/{n}")), vec![0; 500])).await;
    }
    store.close().await;
    let mut bytes = std::fs::read(&place.path).unwrap();
    bytes[4096..].chunks_mut(4096).for_each(|page| page[..8].fill(0xff));
    std::fs::write(&place.path, bytes).unwrap();
    let damage = match open(&place.path).await {
        Ok(store) => store.list(ListRequest::default()).await.err(),
        Err(e) => Some(e),
    };
    assert!(matches!(damage, Some(StoreError::Corrupt { .. })), "{damage:?}");
}
