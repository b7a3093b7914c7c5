//! Finds the groups that a commit concerns.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpve_core::ports::{Change, Key, Revision, StoreError, WatchBatch};

use super::{Group, MAX_HUB_BYTES, MAX_WATCHES};

/// All watchers of a store.
#[derive(Debug)]
pub(crate) struct Hub {
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    groups: HashMap<Arc<str>, Member>,
    /// How many groups have a prefix of this length: a key is looked up once per length.
    lengths: BTreeMap<usize, usize>,
    head: Revision,
    bytes: usize,
    watches: usize,
    closed: bool,
}

#[derive(Debug)]
struct Member {
    group: Arc<Group>,
    watches: usize,
}

/// A place in a group, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    prefix: Arc<str>,
    /// The group.
    pub(crate) group: Arc<Group>,
}

impl Hub {
    /// Nobody watching, at revision `head`.
    pub(crate) fn new(head: Revision) -> Arc<Self> {
        let index = Index { groups: HashMap::new(), lengths: BTreeMap::new(), head, bytes: 0, watches: 0, closed: false };
        Arc::new(Self { index: Mutex::new(index) })
    }

    /// Joins the watchers of `prefix`.
    pub(crate) fn join(self: &Arc<Self>, prefix: &str) -> Result<Seat, StoreError> {
        let mut index = self.lock();
        if index.closed {
            return Err(closed());
        }
        if index.watches >= MAX_WATCHES {
            return Err(StoreError::Unavailable(format!("{MAX_WATCHES} watches are open, the most there can be")));
        }
        index.watches += 1;
        let (prefix, group) = index.join(prefix);
        Ok(Seat { hub: Arc::clone(self), prefix, group })
    }

    /// Hands committed batches, in order, to the groups they concern. Returns the groups that have to be woken.
    pub(crate) fn publish(&self, batches: &[Arc<WatchBatch>]) -> Vec<Arc<Group>> {
        let mut to_wake = Vec::new();
        let mut index = self.lock();
        for batch in batches {
            index.head = batch.revision;
            for (group, batch) in index.concerned(batch) {
                index.bytes = index.bytes.saturating_add_signed(group.push(batch));
                if group.needs_waking() {
                    to_wake.push(group);
                }
            }
            if index.bytes > MAX_HUB_BYTES {
                index.let_go();
            }
        }
        to_wake
    }

    /// Ends all watches and refuses new ones.
    pub(crate) fn close(&self) {
        let mut index = self.lock();
        index.closed = true;
        index.groups.values().for_each(|member| member.group.close());
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn join(&mut self, prefix: &str) -> (Arc<str>, Arc<Group>) {
        if let Some((known, _)) = self.groups.get_key_value(prefix) {
            let known = Arc::clone(known);
            if let Some(member) = self.groups.get_mut(prefix) {
                member.watches += 1;
                return (known, Arc::clone(&member.group));
            }
        }
        let (prefix, group): (Arc<str>, _) = (prefix.into(), Arc::new(Group::new(self.head)));
        *self.lengths.entry(prefix.len()).or_default() += 1;
        self.groups.insert(Arc::clone(&prefix), Member { group: Arc::clone(&group), watches: 1 });
        (prefix, group)
    }

    fn leave(&mut self, prefix: &str) {
        self.watches -= 1;
        let Some(member) = self.groups.get_mut(prefix) else { return };
        member.watches -= 1;
        if member.watches > 0 {
            return;
        }
        self.bytes = self.bytes.saturating_sub(member.group.bytes());
        self.groups.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    /// The groups with a prefix of a changed key, each with its part of the batch.
    fn concerned(&self, batch: &Arc<WatchBatch>) -> Vec<(Arc<Group>, Arc<WatchBatch>)> {
        if let [change] = batch.changes.as_slice() {
            return self.groups_of(changed_key(change)).map(|group| (Arc::clone(group), Arc::clone(batch))).collect();
        }
        let mut parts: Vec<(Arc<Group>, Vec<Change>)> = Vec::new();
        for change in &batch.changes {
            for group in self.groups_of(changed_key(change)) {
                match parts.iter_mut().find(|(known, _)| Arc::ptr_eq(known, group)) {
                    Some((_, changes)) => changes.push(change.clone()),
                    None => parts.push((Arc::clone(group), vec![change.clone()])),
                }
            }
        }
        let part = |(group, changes)| (group, Arc::new(WatchBatch { revision: batch.revision, changes }));
        parts.into_iter().map(part).collect()
    }

    fn groups_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Arc<Group>> {
        let prefixes = self.lengths.keys().filter_map(|len| key.as_str().get(..*len));
        prefixes.filter_map(|prefix| self.groups.get(prefix)).map(|member| &member.group)
    }

    fn let_go(&mut self) {
        let freed: usize = self.groups.values().map(|member| member.group.let_go()).sum();
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().leave(&self.prefix);
    }
}

fn changed_key(change: &Change) -> &Key {
    match change {
        Change::Put(entry) => &entry.key,
        Change::Delete(key) => key,
    }
}

/// The error of everything that is asked of a closed store.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("it was closed".to_owned())
}
