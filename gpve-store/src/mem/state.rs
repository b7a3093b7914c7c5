//! Entries, history and leases of the in-memory store.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use gpve_core::ports::{Change, Entry, Key, LeaseId, ListRequest, Listing, Revision, StoreError, Txn, TxnOutcome, WatchBatch};

use crate::apply::{Applied, Stamp, Table, apply};
use crate::lease::Leases;
use crate::request::MAX_LEASES;
use crate::watch::{Page, under};

/// Revisions that one page of a replay covers at most: the lock is held so long.
const PAGE_REVISIONS: usize = 1024;

/// Everything a [`super::MemStore`] knows.
pub(super) struct State {
    pub(super) revision: Revision,
    pub(super) leases: Leases,
    /// Whether the task that ends leases runs.
    pub(super) ends_leases: bool,
    entries: BTreeMap<Key, Entry>,
    bound: HashMap<LeaseId, BTreeSet<Key>>,
    /// Every revision after `compacted`.
    history: VecDeque<Arc<WatchBatch>>,
    compacted: Revision,
    keep_revisions: u64,
    last_lease: u64,
    committed: Vec<Arc<WatchBatch>>,
}

impl State {
    pub(super) fn new(keep_revisions: u64) -> Self {
        Self {
            revision: Revision(0),
            leases: Leases::new(),
            ends_leases: false,
            entries: BTreeMap::new(),
            bound: HashMap::new(),
            history: VecDeque::new(),
            compacted: Revision(0),
            keep_revisions,
            last_lease: 0,
            committed: Vec::new(),
        }
    }

    pub(super) fn entry(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key).cloned()
    }

    pub(super) fn list(&self, request: &ListRequest) -> Listing {
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        // Nothing under the prefix sorts before it; `after` may, or lie within.
        let after = request.after.as_ref().map(Key::as_str).filter(|after| *after >= request.prefix.as_str());
        let from = after.map_or(Bound::Included(request.prefix.as_str()), Bound::Excluded);
        let mut found = self
            .entries
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|entry| entry.key.as_str().starts_with(&request.prefix));
        let entries: Vec<Entry> = found.by_ref().take(limit).cloned().collect();
        Listing { more: found.next().is_some(), entries, revision: self.revision }
    }

    pub(super) fn commit(&mut self, txn: &Txn, now: Duration) -> Result<TxnOutcome, StoreError> {
        let next = Revision(self.revision.0 + 1);
        let Ok(applied) = apply(&mut Entries { state: self, now }, txn, next);
        match applied {
            Applied::Changed(batch) => {
                self.record(batch);
                Ok(TxnOutcome::Committed(next))
            }
            Applied::Unchanged => Ok(TxnOutcome::Committed(self.revision)),
            Applied::Refused { expect, current } => Ok(TxnOutcome::Refused { expect, current }),
            Applied::NoSuchLease(lease) => Err(StoreError::NoSuchLease(lease)),
        }
    }

    pub(super) fn grant(&mut self, ttl: Duration, now: Duration) -> Result<LeaseId, StoreError> {
        if self.leases.len() >= MAX_LEASES {
            return Err(StoreError::Unavailable(format!("{MAX_LEASES} leases are alive, the most there can be")));
        }
        self.last_lease += 1;
        let lease = LeaseId(self.last_lease);
        self.leases.set(lease, ttl, now + ttl);
        self.leases.announce();
        Ok(lease)
    }

    pub(super) fn renew(&mut self, lease: LeaseId, now: Duration) -> Result<(), StoreError> {
        match self.leases.ttl(lease) {
            Some(ttl) if self.leases.is_alive(lease, now) => self.leases.set(lease, ttl, now + ttl),
            _ => return Err(StoreError::NoSuchLease(lease)),
        }
        self.leases.announce();
        Ok(())
    }

    /// Ends `lease` and removes its keys as one revision, if it has any.
    pub(super) fn end_lease(&mut self, lease: LeaseId) {
        self.leases.forget(lease);
        let keys = self.bound.remove(&lease).unwrap_or_default();
        if keys.is_empty() {
            return;
        }
        for key in &keys {
            self.entries.remove(key);
        }
        let changes = keys.into_iter().map(Change::Delete).collect();
        self.record(WatchBatch { revision: Revision(self.revision.0 + 1), changes });
    }

    pub(super) fn compact(&mut self, through: Revision) -> Result<(), StoreError> {
        if through > self.revision {
            let now = self.revision;
            return Err(StoreError::Invalid(format!("compaction through revision {through}: the store is at {now}")));
        }
        while self.compacted < through {
            self.history.pop_front();
            self.compacted.0 += 1;
        }
        Ok(())
    }

    pub(super) fn page(&self, prefix: &str, after: Revision, through: Revision) -> Result<Page, StoreError> {
        if after < self.compacted {
            return Err(StoreError::Compacted { asked: after, oldest: self.compacted });
        }
        let skip = usize::try_from(after.0 - self.compacted.0).unwrap_or(usize::MAX);
        let asked = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX);
        let covered = asked.min(PAGE_REVISIONS);
        let part = |batch: &Arc<WatchBatch>| {
            let changes: Vec<Change> = under(&batch.changes, prefix).cloned().collect();
            (!changes.is_empty()).then_some(WatchBatch { revision: batch.revision, changes })
        };
        let batches = self.history.iter().skip(skip).take(covered).filter_map(part).collect();
        Ok(Page { batches, through: Revision(after.0 + covered as u64) })
    }

    /// The commits since the last call.
    pub(super) fn take_committed(&mut self) -> Vec<Arc<WatchBatch>> {
        std::mem::take(&mut self.committed)
    }

    fn record(&mut self, batch: WatchBatch) {
        self.revision = batch.revision;
        let batch = Arc::new(batch);
        self.history.push_back(Arc::clone(&batch));
        self.committed.push(batch);
        if self.revision.0 - self.compacted.0 > self.keep_revisions {
            self.history.pop_front();
            self.compacted.0 += 1;
        }
    }

    fn rebind(&mut self, key: &Key, from: Option<LeaseId>, to: Option<LeaseId>) {
        if let Some(keys) = from.and_then(|lease| self.bound.get_mut(&lease)) {
            keys.remove(key);
        }
        if let Some(lease) = to {
            self.bound.entry(lease).or_default().insert(key.clone());
        }
    }
}

/// The state as a transaction at `now` sees it.
struct Entries<'a> {
    state: &'a mut State,
    now: Duration,
}

impl Table for Entries<'_> {
    type Row = Option<LeaseId>;
    type Error = Infallible;

    fn stamp(&self, key: &Key) -> Result<Option<Stamp<Self::Row>>, Infallible> {
        let stamp = |e: &Entry| Stamp { row: e.lease, created: e.created, modified: e.modified, version: e.version };
        Ok(self.state.entries.get(key).map(stamp))
    }

    fn entry(&self, key: &Key) -> Result<Option<Entry>, Infallible> {
        Ok(self.state.entry(key))
    }

    fn lease_alive(&self, lease: LeaseId) -> Result<bool, Infallible> {
        Ok(self.state.leases.is_alive(lease, self.now))
    }

    fn put(&mut self, _ordinal: u32, entry: &Entry, before: Option<Stamp<Self::Row>>) -> Result<(), Infallible> {
        self.state.rebind(&entry.key, before.and_then(|b| b.row), entry.lease);
        self.state.entries.insert(entry.key.clone(), entry.clone());
        Ok(())
    }

    fn delete(&mut self, _: u32, _: Revision, key: &Key, before: Stamp<Self::Row>) -> Result<(), Infallible> {
        self.state.rebind(key, before.row, None);
        self.state.entries.remove(key);
        Ok(())
    }
}
