//! The watched cache: what the store holds, in memory, as immutable snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::keys;
use super::nodes::NodeSettings;
use super::objects::GuestObject;
use crate::error::{Error, Result};
use crate::ports::{Change, Entry, Guest as _, Key, Listing, Revision, WatchBatch};
use crate::types::{GuestUsage, Namespace, NodeName, Vmid};

/// Most changes kept for watchers; older ones come from the store's history. At 3 KiB an object 3 MiB.
pub(super) const HISTORY_MAX: usize = 1024;

/// A guest with its latest figures.
#[derive(Debug, Clone)]
pub struct GuestEntry {
    /// The guest; shared, never copied for a reader.
    pub guest: Arc<GuestObject>,
    /// What it uses, as last sampled by its node. Not durable.
    pub usage: GuestUsage,
}

/// All guests as of one revision of the store. Cheap to clone and to hold; never changes.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    revision: Revision,
    /// Apart from the revision, so that it is copied only when a guest changes while somebody reads.
    guests: Arc<BTreeMap<Vmid, GuestEntry>>,
}

impl Snapshot {
    /// The store's revision: watch from here to miss nothing.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// A guest.
    pub fn get(&self, vmid: Vmid) -> Option<&GuestEntry> {
        self.guests.get(&vmid)
    }

    /// All guests by number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &GuestEntry> {
        self.guests.values()
    }

    /// How many guests there are.
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }
}

/// A change of one guest.
#[derive(Debug, Clone)]
pub(super) enum GuestChange {
    Added(Arc<GuestObject>),
    Modified(Arc<GuestObject>),
    Deleted(Vmid, Option<Arc<GuestObject>>),
}

#[derive(Debug, Default)]
struct State {
    snapshot: Snapshot,
    names: HashMap<(Namespace, String), Vmid>,
    leased: BTreeSet<Vmid>,
    settings: BTreeMap<NodeName, NodeSettings>,
    remembered: usize,
    history: VecDeque<(Revision, GuestChange)>,
    /// History is complete after this revision.
    floor: Revision,
}

/// The cache. Written by its feed alone.
#[derive(Debug)]
pub(super) struct Cache {
    state: RwLock<State>,
    revision: watch::Sender<Revision>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { state: RwLock::default(), revision: watch::channel(Revision(0)).0 }
    }

    /// All guests now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.read(|s| s.snapshot.clone())
    }

    /// One guest now.
    pub(super) fn guest(&self, vmid: Vmid) -> Option<Arc<GuestObject>> {
        self.read(|s| s.snapshot.get(vmid).map(|e| e.guest.clone()))
    }

    /// The guest whose object has this name.
    pub(super) fn named(&self, namespace: &Namespace, name: &str) -> Option<Vmid> {
        self.read(|s| s.names.get(&(namespace.clone(), name.to_owned())).copied())
    }

    /// The lowest number that is neither used nor given out, and that is not `taken`.
    pub(super) fn lowest_free(&self, taken: impl Fn(Vmid) -> bool) -> Option<Vmid> {
        self.read(|s| {
            let mut used = s.snapshot.guests.keys().copied().peekable();
            let mut candidate = Some(Vmid::MIN);
            while let Some(vmid) = candidate {
                let is_used = used.next_if_eq(&vmid).is_some();
                if !is_used && !s.leased.contains(&vmid) && !taken(vmid) {
                    break;
                }
                candidate = vmid.next();
            }
            candidate
        })
    }

    /// How many numbers are given out and not yet used.
    pub(super) fn leased(&self) -> usize {
        self.read(|s| s.leased.len())
    }

    /// How many idempotency keys are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.read(|s| s.remembered)
    }

    /// What was set for a node.
    pub(super) fn settings(&self, node: &NodeName) -> NodeSettings {
        self.read(|s| s.settings.get(node).cloned().unwrap_or_default())
    }

    /// Returns once the cache shows `revision`. Cancel safe.
    pub(super) async fn reached(&self, revision: Revision) -> Result<()> {
        let mut seen = self.revision.subscribe();
        let reached = seen.wait_for(|r| *r >= revision).await;
        reached.map(drop).map_err(|_| Error::internal("cache", "the cache was closed"))
    }

    /// The revision that the cache shows, and changes of it.
    pub(super) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Changes after `position`, about `limit` of them and never a part of a revision; an error if they are no longer
    /// kept here.
    pub(super) fn changes(&self, position: Revision, limit: usize) -> Result<Vec<(Revision, GuestChange)>, TooOld> {
        self.read(|s| {
            if position < s.floor {
                return Err(TooOld);
            }
            let start = s.history.partition_point(|(r, _)| *r <= position);
            let mut end = s.history.len().min(start.saturating_add(limit));
            while end > start && end < s.history.len() && s.history[end].0 == s.history[end - 1].0 {
                end += 1;
            }
            Ok(s.history.range(start..end).cloned().collect())
        })
    }

    /// Starts over from a full listing.
    pub(super) fn reset(&self, listing: &Listing) {
        let remembered = listing.entries.iter().filter(|e| e.key.as_str().starts_with(keys::IDEMPOTENCY)).count();
        let mut fresh = State { floor: listing.revision, ..State::default() };
        for entry in &listing.entries {
            fresh.put(entry);
        }
        fresh.history.clear();
        fresh.remembered = remembered;
        self.write(|state| {
            let old = state.snapshot.clone();
            let usage = |e: &mut GuestEntry| e.usage = old.get(e.guest.id()).map(|o| o.usage).unwrap_or_default();
            Arc::make_mut(&mut fresh.snapshot.guests).values_mut().for_each(usage);
            fresh.snapshot.revision = listing.revision;
            *state = fresh;
        });
        self.revision.send_replace(listing.revision);
    }

    /// Takes in what one revision changed.
    pub(super) fn apply(&self, batch: &WatchBatch) {
        self.write(|state| {
            for change in &batch.changes {
                match change {
                    Change::Put(entry) => state.put(entry),
                    Change::Delete(key) => state.delete(key, batch.revision),
                }
            }
            state.snapshot.revision = batch.revision;
            while state.history.len() > HISTORY_MAX {
                if let Some((revision, _)) = state.history.pop_front() {
                    state.floor = revision;
                }
            }
        });
        self.revision.send_replace(batch.revision);
    }

    /// Takes in fresh figures.
    pub(super) fn set_usage(&self, usage: &[(Vmid, GuestUsage)]) {
        self.write(|state| {
            let guests = Arc::make_mut(&mut state.snapshot.guests);
            for (vmid, usage) in usage {
                if let Some(entry) = guests.get_mut(vmid) {
                    entry.usage = *usage;
                }
            }
        });
    }

    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        // A panic under the lock cannot leave a half-made state that matters: the next batch overwrites it.
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The asked history is no longer kept in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooOld;

impl State {
    fn put(&mut self, entry: &Entry) {
        if keys::vmid_of(&entry.key).is_some() {
            match GuestObject::decode(&entry.value, entry.modified) {
                Ok(guest) => self.put_guest(Arc::new(guest)),
                Err(e) => tracing::error!(key = %entry.key, error = %e.report(), "a stored guest is skipped"),
            }
        } else if let Some(vmid) = keys::leased_vmid(&entry.key) {
            self.leased.insert(vmid);
        } else if entry.key.as_str().starts_with(keys::IDEMPOTENCY) {
            self.remembered += usize::from(entry.version == 1);
        } else if let Some(node) = keys::node_of(&entry.key) {
            match serde_json::from_slice(&entry.value) {
                Ok(settings) => drop(self.settings.insert(node, settings)),
                Err(e) => tracing::error!(key = %entry.key, error = %e, "stored settings of a node are skipped"),
            }
        }
    }

    fn put_guest(&mut self, guest: Arc<GuestObject>) {
        let meta = &guest.object.metadata;
        let (vmid, revision) = (guest.id(), guest.revision);
        self.names.insert((meta.namespace.clone(), meta.name.clone()), vmid);
        let guests = Arc::make_mut(&mut self.snapshot.guests);
        let usage = guests.get(&vmid).map(|e| e.usage).unwrap_or_default();
        let change = match guests.insert(vmid, GuestEntry { guest: guest.clone(), usage }) {
            None => GuestChange::Added(guest),
            Some(_) => GuestChange::Modified(guest),
        };
        self.history.push_back((revision, change));
    }

    fn delete(&mut self, key: &Key, revision: Revision) {
        if let Some(vmid) = keys::vmid_of(key) {
            let gone = Arc::make_mut(&mut self.snapshot.guests).remove(&vmid).map(|e| e.guest);
            if let Some(meta) = gone.as_ref().map(|g| &g.object.metadata) {
                self.names.remove(&(meta.namespace.clone(), meta.name.clone()));
            }
            self.history.push_back((revision, GuestChange::Deleted(vmid, gone)));
        } else if let Some(vmid) = keys::leased_vmid(key) {
            self.leased.remove(&vmid);
        } else if key.as_str().starts_with(keys::IDEMPOTENCY) {
            self.remembered = self.remembered.saturating_sub(1);
        } else if let Some(node) = keys::node_of(key) {
            self.settings.remove(&node);
        }
    }
}
