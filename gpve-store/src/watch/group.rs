//! All watchers of one prefix and the batches they share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpve_core::ports::{Change, Revision, WatchBatch};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{MAX_GROUP_BATCHES, MAX_GROUP_BYTES};

/// The watchers of one prefix.
#[derive(Debug)]
pub(crate) struct Group {
    recent: Mutex<Recent>,
    arrived: Notify,
    waking: AtomicBool,
}

#[derive(Debug)]
struct Recent {
    /// Every later batch of the prefix is in `batches`.
    floor: Revision,
    batches: VecDeque<Arc<WatchBatch>>,
    bytes: usize,
    closed: bool,
}

/// What a group has for a watcher.
pub(crate) enum Next {
    /// The batch after its position.
    Batch(Arc<WatchBatch>),
    /// Batches up to this revision are no longer here: read them from the history.
    Behind(Revision),
    /// Nothing new.
    Nothing,
    /// The store was closed.
    Closed,
}

impl Group {
    /// A group that sees everything after `floor`.
    pub(crate) fn new(floor: Revision) -> Self {
        let recent = Recent { floor, batches: VecDeque::new(), bytes: 0, closed: false };
        Self { recent: Mutex::new(recent), arrived: Notify::new(), waking: AtomicBool::new(false) }
    }

    /// Adds a batch and lets go of the oldest beyond the limits. Returns the change of the bytes kept.
    pub(crate) fn push(&self, batch: Arc<WatchBatch>) -> isize {
        let mut recent = self.lock();
        let before = recent.bytes;
        recent.bytes += size(&batch);
        recent.batches.push_back(batch);
        while recent.batches.len() > MAX_GROUP_BATCHES || recent.bytes > MAX_GROUP_BYTES {
            recent.drop_oldest();
        }
        recent.bytes.cast_signed() - before.cast_signed()
    }

    /// Lets go of all batches. Returns how many bytes they had.
    pub(crate) fn let_go(&self) -> usize {
        let mut recent = self.lock();
        let bytes = recent.bytes;
        while !recent.batches.is_empty() {
            recent.drop_oldest();
        }
        bytes
    }

    /// What follows `position`.
    pub(crate) fn after(&self, position: Revision) -> Next {
        let recent = self.lock();
        if recent.closed {
            return Next::Closed;
        }
        if position < recent.floor {
            return Next::Behind(recent.floor);
        }
        let index = recent.batches.partition_point(|b| b.revision <= position);
        recent.batches.get(index).map_or(Next::Nothing, |batch| Next::Batch(Arc::clone(batch)))
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Ready once [`Group::wake`] is called after this call, polled or not.
    pub(crate) fn arrival(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// True for the first who asks since the last [`Group::wake`]: that one has to see to it.
    pub(crate) fn needs_waking(&self) -> bool {
        !self.waking.swap(true, Ordering::AcqRel)
    }

    /// Wakes all waiting watchers.
    pub(crate) fn wake(&self) {
        self.waking.store(false, Ordering::Release);
        self.arrived.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.bytes -= size(&oldest);
            self.floor = oldest.revision;
        }
    }
}

/// Bytes of a batch's keys and values.
pub(crate) fn size(batch: &WatchBatch) -> usize {
    let of = |change: &Change| match change {
        Change::Put(entry) => entry.key.as_str().len() + entry.value.len(),
        Change::Delete(key) => key.as_str().len(),
    };
    batch.changes.iter().map(of).sum()
}
