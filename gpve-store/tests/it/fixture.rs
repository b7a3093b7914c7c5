//! Stores for tests.

use std::path::PathBuf;
use std::sync::Arc;

use gpve_core::ports::{Key, Revision, Store, Txn, TxnOutcome};
use gpve_core::testing::ManualClock;
use gpve_store::{EmbeddedOptions, EmbeddedStore};
use tempfile::TempDir;

/// A directory with an embedded store, removed at the end.
pub(crate) struct Place {
    _directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) clock: ManualClock,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("store.db"), _directory: directory, clock: ManualClock::default() }
    }

    pub(crate) async fn open(&self) -> EmbeddedStore {
        EmbeddedStore::open(&self.path, Arc::new(self.clock.clone())).await.expect("the store opens")
    }

    pub(crate) async fn open_keeping(&self, history_revisions: u64) -> EmbeddedStore {
        let options = EmbeddedOptions { history_revisions, ..EmbeddedOptions::default() };
        EmbeddedStore::open_with(&self.path, Arc::new(self.clock.clone()), options).await.expect("the store opens")
    }
}

pub(crate) fn key(text: &str) -> Key {
    text.parse().expect("a valid key")
}

/// Commits a transaction whose conditions hold.
pub(crate) async fn commit(store: &dyn Store, txn: Txn) -> Revision {
    match store.commit(txn).await.expect("a valid transaction is served") {
        TxnOutcome::Committed(revision) => revision,
        refused @ TxnOutcome::Refused { .. } => panic!("refused: {refused:?}"),
    }
}
