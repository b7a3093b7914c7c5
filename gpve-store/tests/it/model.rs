//! The stores against a model of a few lines: any sequence of calls gets the model's answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use gpve_core::ports::{
    Change, Entry, Expect, Key, ListRequest, Listing, Mutation, Revision, Store, StoreError, Txn, TxnOutcome, WatchBatch, WatchRequest,
};
use gpve_core::testing::ManualClock;
use gpve_store::MemStore;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::fixture::{Place, key};

/// What a store is, without time and disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Key, Entry>,
    pub(crate) revision: Revision,
    history: Vec<WatchBatch>,
    compacted: Revision,
}

impl Model {
    pub(crate) fn commit(&mut self, txn: &Txn) -> TxnOutcome {
        let modified = |key: &Key| self.entries.get(key).map(|e| e.modified);
        let failed = txn.expect.iter().position(|expect| match expect {
            Expect::Absent(key) => modified(key).is_some(),
            Expect::Present(key) => modified(key).is_none(),
            Expect::Unchanged(key, revision) => modified(key) != Some(*revision),
        });
        if let Some(expect) = failed {
            return TxnOutcome::Refused { expect, current: self.entries.get(txn.expect[expect].key()).cloned() };
        }
        let next = Revision(self.revision.0 + 1);
        let changes: Vec<Change> = txn.then.iter().filter_map(|mutation| self.mutate(mutation, next)).collect();
        if !changes.is_empty() {
            self.revision = next;
            self.history.push(WatchBatch { revision: next, changes });
        }
        TxnOutcome::Committed(self.revision)
    }

    pub(crate) fn list(&self, request: &ListRequest) -> Listing {
        let wanted = |key: &Key| key.as_str().starts_with(&request.prefix) && request.after.as_ref().is_none_or(|after| key > after);
        let mut entries: Vec<Entry> = self.entries.values().filter(|e| wanted(&e.key)).cloned().collect();
        let more = request.limit > 0 && entries.len() > request.limit;
        if more {
            entries.truncate(request.limit);
        }
        Listing { entries, revision: self.revision, more }
    }

    fn watched(&self, prefix: &str, after: Revision) -> Vec<WatchBatch> {
        let under = |change: &&Change| match change {
            Change::Put(entry) => entry.key.as_str().starts_with(prefix),
            Change::Delete(key) => key.as_str().starts_with(prefix),
        };
        let part = |b: &WatchBatch| WatchBatch { revision: b.revision, changes: b.changes.iter().filter(under).cloned().collect() };
        self.history.iter().filter(|b| b.revision > after).map(part).filter(|b| !b.changes.is_empty()).collect()
    }

    fn mutate(&mut self, mutation: &Mutation, next: Revision) -> Option<Change> {
        match mutation {
            Mutation::Delete { key } => self.entries.remove(key).map(|e| Change::Delete(e.key)),
            Mutation::Put { key, value, lease } => {
                let (created, version) = self.entries.get(key).map_or((next, 1), |e| (e.created, e.version + 1));
                let entry = Entry { key: key.clone(), value: value.clone(), created, modified: next, version, lease: *lease };
                self.entries.insert(key.clone(), entry.clone());
                Some(Change::Put(entry))
            }
        }
    }
}

/// A call, with choices that only the state can resolve left as numbers.
#[derive(Debug, Clone)]
enum Call {
    Commit {
        expect: Vec<(Key, Guess)>,
        then: Vec<(Key, Option<Vec<u8>>)>,
    },
    Get(Key),
    List(ListRequest),
    /// After so many per cent of the present revision.
    Watch(String, u64),
    Compact(u64),
    Reopen,
}

#[derive(Debug, Clone)]
enum Guess {
    Absent,
    Present,
    Unchanged,
    Revision(u64),
}

fn keys() -> impl Strategy<Value = Key> {
    prop::sample::select(vec!["/a", "/a/b", "/a/bc", "/a/c", "/ä", "/b"]).prop_map(key)
}

fn prefixes() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "/", "/a", "/a/", "/a/b", "/ä", "/b", "/c"]).prop_map(str::to_owned)
}

fn calls() -> impl Strategy<Value = Call> {
    let guess = prop_oneof![Just(Guess::Absent), Just(Guess::Present), Just(Guess::Unchanged), (0..20_u64).prop_map(Guess::Revision)];
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    let then = prop::collection::btree_map(keys(), value, 0..4).prop_map(|map| map.into_iter().collect());
    let expect = prop::collection::vec((keys(), guess), 0..2);
    let list = (prefixes(), prop::option::of(keys()), 0..4_usize);
    prop_oneof![
        12 => (expect, then).prop_map(|(expect, then)| Call::Commit { expect, then }),
        3 => keys().prop_map(Call::Get),
        3 => list.prop_map(|(prefix, after, limit)| Call::List(ListRequest { prefix, after, limit })),
        2 => (prefixes(), 0..100_u64).prop_map(|(prefix, part)| Call::Watch(prefix, part)),
        1 => (0..100_u64).prop_map(Call::Compact),
        1 => Just(Call::Reopen),
    ]
}

async fn check(store: &dyn Store, model: &mut Model, call: &Call) {
    match call {
        Call::Commit { expect, then } => {
            let txn = resolve(model, expect, then);
            assert_eq!(store.commit(txn.clone()).await, Ok(model.commit(&txn)));
        }
        Call::Get(key) => assert_eq!(store.get(key).await, Ok(model.entries.get(key).cloned())),
        Call::List(request) => assert_eq!(store.list(request.clone()).await, Ok(model.list(request))),
        Call::Watch(prefix, part) => check_watch(store, model, prefix, Revision(model.revision.0 * part / 100)).await,
        Call::Compact(part) => {
            let through = Revision(model.revision.0 * part / 100);
            store.compact(through).await.unwrap();
            model.compacted = model.compacted.max(through);
        }
        Call::Reopen => {}
    }
    assert_eq!(store.revision().await, Ok(model.revision));
}

async fn check_watch(store: &dyn Store, model: &Model, prefix: &str, after: Revision) {
    let mut watch = store.watch(WatchRequest { prefix: prefix.to_owned(), after }).await.unwrap();
    if after < model.compacted {
        assert_eq!(watch.next().await, Err(StoreError::Compacted { asked: after, oldest: model.compacted }));
        return;
    }
    for expected in model.watched(prefix, after) {
        assert_eq!(watch.next().await, Ok(expected));
    }
    assert!(futures::poll!(watch.next()).is_pending(), "nothing follows");
}

fn resolve(model: &Model, expect: &[(Key, Guess)], then: &[(Key, Option<Vec<u8>>)]) -> Txn {
    let expect = expect.iter().map(|(key, guess)| match guess {
        Guess::Absent => Expect::Absent(key.clone()),
        Guess::Present => Expect::Present(key.clone()),
        Guess::Unchanged => Expect::Unchanged(key.clone(), model.entries.get(key).map_or(Revision(0), |e| e.modified)),
        Guess::Revision(n) => Expect::Unchanged(key.clone(), Revision(*n)),
    });
    let then = then.iter().map(|(key, value)| match value {
        Some(value) => Mutation::Put { key: key.clone(), value: value.clone().into(), lease: None },
        None => Mutation::Delete { key: key.clone() },
    });
    Txn { expect: expect.collect(), then: then.collect() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_of_the_memory_store_are_answered_as_by_the_model(calls in prop::collection::vec(calls(), 1..60)) {
        runtime().block_on(async {
            let (store, mut model) = (MemStore::new(Arc::new(ManualClock::default())), Model::default());
            for call in &calls {
                check(&store, &mut model, call).await;
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_of_the_embedded_store_are_answered_as_by_the_model(calls in prop::collection::vec(calls(), 1..60)) {
        runtime().block_on(async {
            let (place, mut model) = (Place::new(), Model::default());
            let mut store = place.open().await;
            for call in &calls {
                if matches!(call, Call::Reopen) {
                    store.close().await;
                    store = place.open().await;
                }
                check(&store, &mut model, call).await;
            }
        });
    }
}
