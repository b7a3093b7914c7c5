//! A disk that fails in the middle: the store stops writing, says so, and what it acknowledged is there.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gpve_core::ports::{ListRequest, Revision, Store, StoreError, Txn};
use gpve_core::testing::ManualClock;
use gpve_store::EmbeddedStore;

use crate::fixture::{Place, key};

const STORE: &str = "GPVE_STORE_DISK_ERROR_TEST";
/// The child gets an error from the system for whatever it writes beyond 6 MiB of a file; without the signal that would kill it.
const LIMITED: &str = "trap '' XFSZ; ulimit -f 12288; exec \"$0\" \"$@\"";

async fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, Arc::new(ManualClock::default())).await.expect("the store opens")
}

/// The child's part.
#[tokio::test]
#[ignore = "started as a process of its own, under a limit"]
async fn writes_until_the_disk_fails() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = open(Path::new(&path)).await;
    let mut written = 0;
    let error = loop {
        match store.commit(Txn::put(key(&format!("/{written}")), vec![1; 20_000])).await {
            Ok(_) => written += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("nothing more is written until it is opened anew"), "{error}");
    assert_eq!(store.commit(Txn::put(key("/later"), "")).await, Err(error), "it is not known what the disk holds");
    assert_eq!(store.list(ListRequest::default()).await.unwrap().entries.len(), written, "reads go on");
    println!("acknowledged={written};");
}

#[tokio::test]
async fn a_failing_disk_stops_the_store_until_it_is_opened_anew() {
    let place = Place::new();
    let child = Command::new("sh")
        .args(["-c", LIMITED])
        .arg(std::env::current_exe().unwrap())
        .args(["disk_error::writes_until_the_disk_fails", "--exact", "--ignored", "--nocapture"])
        .env(STORE, &place.path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let written = said.split_once("acknowledged=").and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
    let written: usize = written.parse().unwrap();
    let store = open(&place.path).await;
    let entries = store.list(ListRequest::default()).await.unwrap().entries.len();
    // The one that failed may have reached the disk.
    assert!(written > 100 && (written..=written + 1).contains(&entries), "{written} acknowledged, {entries} there");
    let next = store.commit(Txn::put(key("/on"), "")).await.unwrap();
    assert_eq!(next, gpve_core::ports::TxnOutcome::Committed(Revision(entries as u64 + 1)));
}
