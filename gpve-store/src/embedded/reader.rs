//! The connections that read, and what they read.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gpve_core::ports::{Change, Entry, Key, ListRequest, Listing, Revision, StoreError, WatchBatch};
use rusqlite::{Connection, Row};
use tokio::sync::Semaphore;

use super::error::explain;
use super::{row, schema, table};
use crate::watch::{History, Page, closed};

/// Records that a page of history looks at before it ends with the next revision.
const PAGE_RECORDS: usize = 2048;
/// Bytes of values after which a page of history ends with the next revision.
const PAGE_BYTES: usize = 1024 * 1024;

/// A bounded pool: at most so many reads at a time, each in a thread of its own, the others wait in order.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    size: u32,
}

impl Readers {
    /// Up to `size` connections to `path`, opened as they are needed.
    pub(super) fn new(path: &Path, size: usize) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS);
        let (permits, size) = (Arc::new(Semaphore::new(size)), u32::try_from(size).unwrap_or(u32::MAX));
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits, size }
    }

    /// Runs `read` on a free connection. Dropping the future leaves it running to its end, unheard.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let done = readers.read_now(read);
            drop(permit);
            done
        });
        task.await.map_err(|e| StoreError::Unavailable(format!("a read of the store ended early: {e}")))?
    }

    /// Waits for the reads that run, closes all connections, and refuses later reads.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(self.size).await;
        self.permits.close();
        self.lock().clear();
        drop(all);
    }

    fn read_now<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let sql = |e: rusqlite::Error| explain(&self.path, &e);
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.path).map_err(sql)?,
        };
        let done = read(&Snapshot { connection: &connection }).map_err(|e| match e {
            ReadError::Store(e) => e,
            ReadError::Sql(e) => sql(e),
        });
        self.lock().push(connection);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl History for Arc<Readers> {
    async fn page(&self, prefix: &str, after: Revision, through: Revision) -> Result<Page, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |snapshot| snapshot.page(&prefix, after, through)).await
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What one connection sees.
pub(super) struct Snapshot<'a> {
    connection: &'a Connection,
}

impl Snapshot<'_> {
    pub(super) fn entry(&self, key: &Key) -> Result<Option<Entry>, ReadError> {
        Ok(table::entry(self.connection, key)?)
    }

    pub(super) fn revision(&self) -> Result<Revision, ReadError> {
        Ok(schema::revision(self.connection)?)
    }

    pub(super) fn list(&self, request: &ListRequest) -> Result<Listing, ReadError> {
        let as_of = self.connection.unchecked_transaction()?;
        let revision = schema::revision(&as_of)?;
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        // Nothing under the prefix sorts before it; `after` may, or lie within.
        let after = request.after.as_ref().map(Key::as_str).filter(|after| *after >= request.prefix.as_str());
        let mut statement = as_of.prepare_cached(
            "SELECT r.id, l.key, r.value, r.created, r.version, r.lease FROM live AS l JOIN record AS r ON r.id = l.id
            WHERE l.key >= ?1 ORDER BY l.key",
        )?;
        let mut rows = statement.query([after.unwrap_or(&request.prefix)])?;
        let mut listing = Listing { entries: Vec::new(), revision, more: false };
        while let Some(row) = rows.next()? {
            let key = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            if !key.starts_with(&request.prefix) {
                break;
            }
            if Some(key) == after {
                continue;
            }
            if listing.entries.len() == limit {
                listing.more = true;
                break;
            }
            listing.entries.push(row::entry(row)?);
        }
        Ok(listing)
    }

    fn page(&self, prefix: &str, after: Revision, through: Revision) -> Result<Page, ReadError> {
        let as_of = self.connection.unchecked_transaction()?;
        let oldest = schema::compacted(&as_of)?;
        if after < oldest {
            return Err(StoreError::Compacted { asked: after, oldest }.into());
        }
        let mut statement =
            as_of.prepare_cached("SELECT id, key, value, created, version, lease FROM record WHERE id > ?1 AND id <= ?2 ORDER BY id")?;
        let mut rows = statement.query([row::last_id(after), row::last_id(through)])?;
        let mut page = PageUnderWay { batches: VecDeque::new(), revision: after, records: 0, bytes: 0 };
        while let Some(row) = rows.next()? {
            let revision = row::revision_of(row.get(0)?);
            if revision > page.revision && page.is_full() {
                return Ok(Page { batches: page.batches, through: page.revision });
            }
            page.revision = revision;
            page.records += 1;
            if row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?.starts_with(prefix) {
                page.add(revision, change(row)?);
            }
        }
        Ok(Page { batches: page.batches, through })
    }
}

struct PageUnderWay {
    batches: VecDeque<WatchBatch>,
    /// Of the last record seen.
    revision: Revision,
    records: usize,
    bytes: usize,
}

impl PageUnderWay {
    fn is_full(&self) -> bool {
        self.records >= PAGE_RECORDS || self.bytes >= PAGE_BYTES
    }

    fn add(&mut self, revision: Revision, change: Change) {
        if let Change::Put(entry) = &change {
            self.bytes += entry.value.len();
        }
        match self.batches.back_mut().filter(|last| last.revision == revision) {
            Some(last) => last.changes.push(change),
            None => self.batches.push_back(WatchBatch { revision, changes: vec![change] }),
        }
    }
}

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    if row.get_ref(2)? == rusqlite::types::ValueRef::Null {
        return Ok(Change::Delete(row::key(row, 1)?));
    }
    Ok(Change::Put(row::entry(row)?))
}
