//! The durable store of one machine: SQLite in WAL mode with full synchronisation.
//!
//! All writes go through one thread that puts every transaction waiting at that moment into one SQLite transaction, so
//! that they share one flush of the disk ([`writer`]). Reads use their own connections ([`reader`]) and see what is
//! durable. The file is described in [`schema`].

mod error;
mod lock;
mod reader;
mod row;
mod schema;
mod sweep;
mod table;
mod turn;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::ports::{
    Clock, Entry, Key, LeaseId, ListRequest, Listing, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchRequest,
};

use self::reader::Readers;
use self::writer::{Answer, Ask, Writer};
use crate::HISTORY_REVISIONS;
use crate::request::{check_prefix, check_ttl, check_txn};
use crate::watch::{Hub, Stream, closed};

/// How an [`EmbeddedStore`] is opened.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// At least so many of the last revisions can be watched from; older history is forgotten in steps. At least 1.
    pub history_revisions: u64,
    /// Connections for reading, each with its own cache of 2 MiB: so many reads run at a time, more wait. At least 1.
    pub readers: usize,
    /// Pages of 4 KiB in the log beside the file that make a commit write them back into the file. The log has that size
    /// from the start, if the disk has the space.
    pub log_pages: u32,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { history_revisions: HISTORY_REVISIONS, readers: 4, log_pages: 1000 }
    }
}

/// A [`Store`] in a file. Clones share it.
///
/// Needs a tokio runtime. The file belongs to the process that has it open: a second one is refused. When the last clone is
/// dropped, what was asked before is still written, and then the file is let go; [`EmbeddedStore::close`] waits for that.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
    hub: Arc<Hub>,
}

impl EmbeddedStore {
    /// Opens the store at `path` with the default options; makes it if it does not exist, and brings an older format up
    /// to date. Its directory must exist. Beside `path` lie `path-wal`, `path-shm` and `path-lock`.
    ///
    /// Errors: [`StoreError::Unavailable`] if the file is open elsewhere or not reachable, [`StoreError::ReadOnly`],
    /// [`StoreError::DiskFull`], [`StoreError::Corrupt`] also for a file of something else, [`StoreError::TooNew`].
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(path, clock, EmbeddedOptions::default()).await
    }

    /// [`EmbeddedStore::open`] with other options.
    pub async fn open_with(path: impl AsRef<Path>, clock: Arc<dyn Clock>, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking({
            let path = path.clone();
            move || schema::open(&path, options.log_pages.max(1))
        });
        let opened = opened.await.map_err(|e| StoreError::Unavailable(format!("opening {}: {e}", path.display())))??;
        let hub = Hub::new(opened.revision);
        let readers = Arc::new(Readers::new(&path, options.readers.max(1)));
        let writer = Writer::start(opened, &path, clock, Arc::clone(&hub), options.history_revisions.max(1))?;
        Ok(Self { shared: Arc::new(Shared { path, writer, readers, hub }) })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes what was asked before, ends all watches, and lets the file go; every later call on any clone is refused
    /// with [`StoreError::Unavailable`]. Once it returns the file can be opened again. Repeating it is harmless.
    pub async fn close(&self) {
        self.shared.hub.close();
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, StoreError> {
        self.shared.writer.ask(ask).await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let key = key.clone();
        self.shared.readers.read(move |snapshot| snapshot.entry(&key)).await
    }

    async fn list(&self, request: ListRequest) -> Result<Listing, StoreError> {
        check_prefix(&request.prefix)?;
        self.shared.readers.read(move |snapshot| snapshot.list(&request)).await
    }

    async fn commit(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        check_txn(&txn)?;
        match self.ask(Ask::Commit(txn)).await? {
            Answer::Outcome(outcome) => Ok(outcome),
            Answer::Granted(_) | Answer::Done => Err(closed()),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, StoreError> {
        let history = Arc::new(Arc::clone(&self.shared.readers));
        Ok(Box::new(Stream::start(&self.shared.hub, history, request)?))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        check_ttl(ttl)?;
        match self.ask(Ask::Grant(ttl)).await? {
            Answer::Granted(lease) => Ok(lease),
            Answer::Outcome(_) | Answer::Done => Err(closed()),
        }
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.ask(Ask::Renew(lease)).await.map(drop)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.ask(Ask::Revoke(lease)).await.map(drop)
    }

    async fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.ask(Ask::Compact(through)).await.map(drop)
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.shared.readers.read(|snapshot| snapshot.revision()).await
    }
}
