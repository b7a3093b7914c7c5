//! Watching guests from a revision, with resume.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::cache::{Cache, GuestChange};
use super::keys;
use super::objects::GuestObject;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Change, Revision, Store, StoreError, Watch, WatchRequest};
use crate::types::Vmid;

/// After this long without a change a watcher gets a bookmark, so that it resumes close to now and knows that the
/// watch lives.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);
/// Most changes taken from the cache under one lock.
const TAKE_MAX: usize = 256;

/// What a watcher gets. Resume after the revision of the last one.
#[derive(Debug, Clone)]
pub enum GuestEvent {
    /// A guest was made.
    Added(Arc<GuestObject>),
    /// A guest changed.
    Modified(Arc<GuestObject>),
    /// A guest is gone.
    Deleted {
        /// Its number.
        vmid: Vmid,
        /// As it last was; unknown when the deletion comes from old history.
        last: Option<Arc<GuestObject>>,
    },
    /// Nothing happened up to the revision that comes with it.
    Bookmark,
}

/// A running watch of all guests. Dropping it ends it.
pub struct GuestWatch {
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    revisions: watch::Receiver<Revision>,
    position: Revision,
    ready: VecDeque<(Revision, GuestChange)>,
    /// The store's own watch, for a watcher that began or fell behind the cache's history.
    old: Option<Box<dyn Watch>>,
}

impl std::fmt::Debug for GuestWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestWatch").field("position", &self.position).finish_non_exhaustive()
    }
}

impl GuestWatch {
    /// Everything after `after`. [`ErrorKind::Conflict`] if that history is gone: list again, then watch from there.
    pub(super) async fn open(store: Arc<dyn Store>, cache: Arc<Cache>, after: Revision) -> Result<Self> {
        let mut watch = Self { store, revisions: cache.revisions(), cache, position: after, ready: VecDeque::new(), old: None };
        if watch.cache.changes(after, 0).is_err() {
            watch.go_back().await?;
        }
        Ok(watch)
    }

    /// Goes on with the store's own history.
    async fn go_back(&mut self) -> Result<()> {
        let request = WatchRequest { prefix: keys::GUESTS.to_owned(), after: self.position };
        self.old = Some(self.store.watch(request).await.map_err(gone)?);
        Ok(())
    }

    /// The revision up to which everything was told.
    pub fn position(&self) -> Revision {
        self.position
    }

    /// The next event with its revision, in order, without gaps. Cancel safe.
    ///
    /// An error ends the watch: [`ErrorKind::Conflict`] when the watcher fell too far behind and must list again,
    /// [`ErrorKind::Unavailable`] when it may resume after [`GuestWatch::position`].
    pub async fn next(&mut self) -> Result<(Revision, GuestEvent)> {
        let waited = tokio::time::timeout(BOOKMARK_EVERY, self.fill()).await;
        match waited {
            Ok(filled) => filled?,
            Err(_) => return Ok((self.position, GuestEvent::Bookmark)),
        }
        let (revision, change) =
            self.ready.pop_front().ok_or_else(|| Error::internal("guest.watch", "a change was announced and is not there"))?;
        if self.ready.front().is_none_or(|(r, _)| *r > revision) {
            self.position = revision;
        }
        Ok((revision, change.into()))
    }

    /// Waits until a change is ready.
    async fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() {
            if let Some(old) = &mut self.old {
                let batch = old.next().await.map_err(gone)?;
                let revision = batch.revision;
                self.ready.extend(batch.changes.into_iter().filter_map(decoded).map(|c| (revision, c)));
                continue;
            }
            let shown = *self.revisions.borrow_and_update();
            let Ok(changes) = self.cache.changes(self.position, TAKE_MAX) else {
                self.go_back().await?;
                continue;
            };
            if changes.is_empty() {
                // What the cache shows holds no guest's change: nothing up to there was missed.
                self.position = self.position.max(shown);
                self.revisions.changed().await.map_err(|_| Error::new(ErrorKind::Unavailable, "guest.watch", "closed"))?;
            }
            self.ready.extend(changes);
        }
        Ok(())
    }
}

fn decoded(change: Change) -> Option<GuestChange> {
    match change {
        Change::Delete(key) => keys::vmid_of(&key).map(|vmid| GuestChange::Deleted(vmid, None)),
        Change::Put(entry) => match GuestObject::decode(&entry.value, entry.modified) {
            Ok(guest) if entry.version == 1 => Some(GuestChange::Added(Arc::new(guest))),
            Ok(guest) => Some(GuestChange::Modified(Arc::new(guest))),
            Err(e) => {
                tracing::error!(key = %entry.key, error = %e.report(), "a stored guest is skipped");
                None
            }
        },
    }
}

fn gone(e: StoreError) -> Error {
    match e {
        StoreError::Compacted { asked, oldest } => too_old(asked, oldest),
        other => other.into(),
    }
}

fn too_old(asked: Revision, floor: Revision) -> Error {
    let message = format!("changes after revision {asked} are no longer kept (only after {floor}): list again and watch from there");
    Error::new(ErrorKind::Conflict, "guest.watch", message)
}

impl From<GuestChange> for GuestEvent {
    fn from(change: GuestChange) -> Self {
        match change {
            GuestChange::Added(guest) => Self::Added(guest),
            GuestChange::Modified(guest) => Self::Modified(guest),
            GuestChange::Deleted(vmid, last) => Self::Deleted { vmid, last },
        }
    }
}
