//! The embedded store, in process.

use std::path::Path;
use std::sync::Arc;

use gpve_core::clock::SystemClock;
use gpve_core::ports::{Revision, Store, Txn, Watch, WatchRequest};
use gpve_store::EmbeddedStore;
use tempfile::TempDir;

use crate::measure::{Client, Peer, Watcher};

pub(crate) struct Embedded {
    store: EmbeddedStore,
    _directory: TempDir,
}

impl Embedded {
    pub(crate) async fn start(disk: &Path) -> Self {
        let directory = tempfile::tempdir_in(disk).unwrap();
        let store = EmbeddedStore::open(directory.path().join("store.db"), Arc::new(SystemClock::new())).await.unwrap();
        Self { store, _directory: directory }
    }
}

impl Peer for Embedded {
    type Client = EmbeddedClient;
    type Watcher = EmbeddedWatcher;

    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn client(&self) -> EmbeddedClient {
        EmbeddedClient(self.store.clone())
    }

    async fn watcher(&self, prefix: &str) -> EmbeddedWatcher {
        let after = self.store.revision().await.unwrap();
        let request = WatchRequest { prefix: prefix.to_owned(), after: Revision(after.0) };
        EmbeddedWatcher(self.store.watch(request).await.unwrap())
    }
}

pub(crate) struct EmbeddedClient(EmbeddedStore);

impl Client for EmbeddedClient {
    async fn put(&mut self, key: String, value: Vec<u8>) {
        self.0.commit(Txn::put(key.parse().unwrap(), value)).await.unwrap();
    }
}

pub(crate) struct EmbeddedWatcher(Box<dyn Watch>);

impl Watcher for EmbeddedWatcher {
    async fn next(&mut self) {
        self.0.next().await.unwrap();
    }
}
