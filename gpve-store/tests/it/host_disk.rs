//! Full and read-only file systems. Needs root and mount(8).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gpve_core::ports::{ListRequest, Revision, Store, StoreError, Txn};
use gpve_core::testing::ManualClock;
use gpve_store::EmbeddedStore;
use tempfile::TempDir;

use crate::fixture::{commit, key};

/// A file system of its own, unmounted at the end.
struct Mount {
    directory: TempDir,
}

impl Mount {
    /// `None`, with the reason printed, where this host lets nobody mount.
    fn tmpfs(test: &str, size_kib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={size_kib}k");
        match run("mount", &["-t", "tmpfs", "-o", &size, "gpve-store-test"], directory.path()) {
            Ok(()) => Some(Self { directory }),
            Err(why) => {
                println!("SKIP {test}: mounting a tmpfs failed: {why}");
                None
            }
        }
    }

    fn read_only(&self) {
        run("mount", &["-o", "remount,ro"], self.directory.path()).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }

    /// Takes all space but `free` bytes.
    fn fill_but(&self, free: usize) {
        let filler = self.filler();
        while std::fs::OpenOptions::new().create(true).append(true).open(&filler).and_then(|mut f| append(&mut f)).is_ok() {}
        let len = std::fs::metadata(&filler).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(&filler).unwrap();
        file.set_len(len.saturating_sub(free as u64)).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.directory.path().join("filler")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(why) = run("umount", &["-l"], self.directory.path()) {
            println!("{} stays mounted: {why}", self.directory.path().display());
        }
    }
}

fn append(file: &mut std::fs::File) -> std::io::Result<()> {
    std::io::Write::write_all(file, &[0; 4096])
}

fn run(program: &str, arguments: &[&str], target: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(target).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// How many small writes were acknowledged, and what became of the next.
async fn write_until_refused(store: &EmbeddedStore) -> (usize, StoreError) {
    let mut written = 0;
    loop {
        match store.commit(Txn::put(key(&format!("/fill/{written}")), vec![3; 4000])).await {
            Ok(_) => written += 1,
            Err(e) => return (written, e),
        }
    }
}

async fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, Arc::new(ManualClock::default())).await
}

/// Why a store is not opened on a file system without space. A process that another test is just starting holds copies of this one's
/// descriptors until it runs, and with them the space of the log that the closed store deleted: that is filled too once it is free.
async fn open_when_full(mount: &Mount) -> StoreError {
    for _ in 0..100 {
        mount.fill_but(0);
        match open(&mount.path()).await {
            Ok(store) => store.close().await,
            Err(refused) => return refused,
        }
    }
    panic!("a store is opened on a full disk");
}

#[tokio::test]
async fn a_full_disk_is_named_spoils_only_what_does_not_fit_and_is_over_when_there_is_space() {
    let Some(mount) = Mount::tmpfs("a_full_disk", 4 * 1024) else { return };
    let store = open(&mount.path()).await.unwrap();
    commit(&store, Txn::put(key("/first"), "")).await;
    mount.fill_but(400 * 1024);
    let large = store.commit(Txn::put(key("/large"), vec![1; 1024 * 1024]));
    let small = (0..10).map(|n| store.commit(Txn::put(key(&format!("/small/{n}")), vec![2; 500])));
    let (large, small) = futures::join!(large, futures::future::join_all(small));
    assert_eq!(large, Err(StoreError::DiskFull(mount.path().display().to_string())));
    assert!(small.iter().all(Result::is_ok), "what fits is written: {small:?}");
    assert_eq!(store.revision().await, Ok(Revision(11)));
    let (written, full) = write_until_refused(&store).await;
    assert_eq!(full, StoreError::DiskFull(mount.path().display().to_string()));
    assert!(full.to_string().contains("no space left for the store at"), "{full}");
    assert_eq!(store.list(ListRequest::prefix("/fill/")).await.unwrap().entries.len(), written, "reads go on");
    std::fs::remove_file(mount.filler()).unwrap();
    assert_eq!(commit(&store, Txn::put(key("/after"), "")).await, Revision(12 + written as u64), "no revision was lost");
    store.close().await;
    let store = open(&mount.path()).await.unwrap();
    assert_eq!(store.list(ListRequest::default()).await.unwrap().entries.len(), 12 + written);
}

#[tokio::test]
async fn a_full_disk_takes_writes_as_long_as_the_reserved_log_does() {
    let Some(mount) = Mount::tmpfs("a_full_disk_takes_writes", 16 * 1024) else { return };
    let store = open(&mount.path()).await.unwrap();
    mount.fill_but(0);
    let (written, full) = write_until_refused(&store).await;
    assert_eq!(full, StoreError::DiskFull(mount.path().display().to_string()));
    assert!(written > 100, "only {written} writes found room");
    store.close().await;
    std::fs::remove_file(mount.filler()).unwrap();
    let store = open(&mount.path()).await.unwrap();
    assert_eq!(store.list(ListRequest::prefix("/fill/")).await.unwrap().entries.len(), written);
    assert_eq!(store.revision().await, Ok(Revision(written as u64)));
}

#[tokio::test]
async fn a_store_is_not_made_on_a_full_disk() {
    let Some(mount) = Mount::tmpfs("a_store_is_not_made", 64) else { return };
    mount.fill_but(0);
    let refused = open(&mount.path()).await.err().expect("there is no space");
    assert_eq!(refused, StoreError::DiskFull(mount.path().display().to_string()));
}

#[tokio::test]
async fn a_store_is_not_opened_on_a_full_disk_and_not_harmed() {
    let Some(mount) = Mount::tmpfs("a_store_is_not_opened", 1024) else { return };
    let store = open(&mount.path()).await.unwrap();
    commit(&store, Txn::put(key("/a"), "")).await;
    store.close().await;
    let refused = open_when_full(&mount).await;
    assert_eq!(refused, StoreError::DiskFull(mount.path().display().to_string()));
    std::fs::remove_file(mount.filler()).unwrap();
    let store = open(&mount.path()).await.unwrap();
    assert_eq!(store.revision().await, Ok(Revision(1)));
}

#[tokio::test]
async fn a_read_only_file_system_is_named() {
    let Some(mount) = Mount::tmpfs("a_read_only_file_system", 1024) else { return };
    let store = open(&mount.path()).await.unwrap();
    commit(&store, Txn::put(key("/a"), "")).await;
    store.close().await;
    mount.read_only();
    let refused = open(&mount.path()).await.err().expect("it cannot be written");
    assert_eq!(refused, StoreError::ReadOnly(mount.path().display().to_string()));
    assert!(refused.to_string().contains("is read-only"), "{refused}");
}
