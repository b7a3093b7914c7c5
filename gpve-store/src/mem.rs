//! The store that forgets: the embedded store's behaviour without its disk, for tests and the simulation.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::ports::{
    Clock, Entry, Key, LeaseId, ListRequest, Listing, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchRequest,
};

use self::state::State;
use crate::HISTORY_REVISIONS;
use crate::lease::end_on_time;
use crate::request::{check_prefix, check_ttl, check_txn};
use crate::watch::{Group, History, Hub, Page, Stream};

/// A [`Store`] in memory. Clones share their state; the last one to go takes it along.
///
/// Never waits: every call but a watch's `next` is ready at once. Leases need a tokio runtime.
#[derive(Clone)]
pub struct MemStore {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
}

impl MemStore {
    /// An empty store that keeps [`HISTORY_REVISIONS`] and ends leases by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_history(clock, HISTORY_REVISIONS)
    }

    /// An empty store that keeps at least the last `revisions` of history.
    pub fn with_history(clock: Arc<dyn Clock>, revisions: u64) -> Self {
        let state = Mutex::new(State::new(revisions));
        Self { shared: Arc::new(Shared { state, hub: Hub::new(Revision(0)), clock }) }
    }

    fn start_ending_leases(&self, state: &mut State) {
        if std::mem::replace(&mut state.ends_leases, true) {
            return;
        }
        let store = Arc::downgrade(&self.shared);
        let end_due = move || std::future::ready(store.upgrade().map(|shared| shared.end_due()).is_some());
        tokio::spawn(end_on_time(Arc::clone(&self.shared.clock), state.leases.next_end(), end_due));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and hands new commits to the watchers, in order because under the lock.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state);
        let committed = state.take_committed();
        let to_wake = if committed.is_empty() { Vec::new() } else { self.hub.publish(&committed) };
        drop(state);
        to_wake.iter().for_each(|group| Group::wake(group));
        answer
    }

    fn end_due(&self) {
        let now = self.clock.monotonic();
        self.change(|state| {
            for lease in state.leases.due(now) {
                state.end_lease(lease);
            }
            state.leases.announce();
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hub.close();
    }
}

#[async_trait]
impl Store for MemStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.shared.lock().entry(key))
    }

    async fn list(&self, request: ListRequest) -> Result<Listing, StoreError> {
        check_prefix(&request.prefix)?;
        Ok(self.shared.lock().list(&request))
    }

    async fn commit(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        check_txn(&txn)?;
        let now = self.shared.clock.monotonic();
        self.shared.change(|state| state.commit(&txn, now))
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, StoreError> {
        let history = Arc::new(MemHistory(Arc::downgrade(&self.shared)));
        Ok(Box::new(Stream::start(&self.shared.hub, history, request)?))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        check_ttl(ttl)?;
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.lock();
        let lease = state.grant(ttl, now)?;
        self.start_ending_leases(&mut state);
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        let now = self.shared.clock.monotonic();
        self.shared.lock().renew(lease, now)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.shared.change(|state| {
            state.end_lease(lease);
            state.leases.announce();
        });
        Ok(())
    }

    async fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.shared.lock().compact(through)
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.shared.lock().revision)
    }
}

/// A watch does not keep the store alive.
struct MemHistory(std::sync::Weak<Shared>);

#[async_trait]
impl History for MemHistory {
    async fn page(&self, prefix: &str, after: Revision, through: Revision) -> Result<Page, StoreError> {
        let shared = self.0.upgrade().ok_or_else(crate::watch::closed)?;
        let state = shared.lock();
        state.page(prefix, after, through)
    }
}
