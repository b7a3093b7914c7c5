//! Concurrent histories of reads, lists and transactions are linearizable.
//!
//! Every call is recorded with the moments it began and ended. A history passes if its calls can be put into one order that
//! keeps "ended before the other began" and in which the model gives every answer that was observed. The search (after Wing
//! and Gong) is exhaustive for the histories it is given. Bound: 6 clients, 60 calls each, 4 keys, a dozen histories per store.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gpve_core::ports::{Entry, Expect, Key, ListRequest, Listing, Revision, Store, Txn, TxnOutcome};
use gpve_core::testing::ManualClock;
use gpve_store::MemStore;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixture::{Place, key};
use crate::model::Model;

const CLIENTS: u64 = 6;
const CALLS: usize = 60;
const HISTORIES: u64 = 12;

#[derive(Debug, Clone)]
enum Call {
    Get(Key, Option<Entry>),
    List(ListRequest, Listing),
    Commit(Txn, TxnOutcome),
}

/// A call and its answer.
#[derive(Debug, Clone)]
struct Seen {
    began: u64,
    ended: u64,
    call: Call,
}

/// An order in which the model gives all observed answers exists.
fn linearizable(history: &[Seen]) -> bool {
    search(history, &mut vec![false; history.len()], &Model::default(), &mut HashSet::new())
}

/// `tried` holds the sets of calls from which no order leads on; the model's state follows from the set, because a commit's
/// revision fixes its place among the commits.
fn search(history: &[Seen], done: &mut Vec<bool>, model: &Model, tried: &mut HashSet<Vec<bool>>) -> bool {
    let open = || history.iter().zip(done.iter()).enumerate().filter(|(_, (_, done))| !**done).map(|(i, (seen, _))| (i, seen));
    let Some(first_end) = open().map(|(_, seen)| seen.ended).min() else { return true };
    if !tried.insert(done.clone()) {
        return false;
    }
    let candidates: Vec<usize> = open().filter(|(_, seen)| seen.began < first_end).map(|(i, _)| i).collect();
    candidates.into_iter().any(|i| {
        let Some(after) = answered(model, &history[i].call) else { return false };
        done[i] = true;
        let found = search(history, done, &after, tried);
        done[i] = false;
        found
    })
}

/// The model after the call, if it gives the observed answer.
fn answered(model: &Model, call: &Call) -> Option<Model> {
    match call {
        Call::Get(key, entry) => (model.entries.get(key) == entry.as_ref()).then(|| model.clone()),
        Call::List(request, listing) => (model.list(request) == *listing).then(|| model.clone()),
        Call::Commit(txn, outcome) => {
            let mut after = model.clone();
            (after.commit(txn) == *outcome).then_some(after)
        }
    }
}

async fn client(store: Arc<dyn Store>, time: Arc<AtomicU64>, mut random: StdRng, id: u64) -> Vec<Seen> {
    let mut known: BTreeMap<Key, Revision> = BTreeMap::new();
    let mut history = Vec::new();
    for n in 0..CALLS {
        let some_key = |random: &mut StdRng| key(&format!("/k/{}", random.random_range(0..4)));
        let (at, other, value) = (some_key(&mut random), some_key(&mut random), format!("{id}.{n}"));
        let known_of = |key: &Key| known.get(key).copied().unwrap_or_default();
        let txn = match random.random_range(0..10) {
            0..=2 => None,
            3 => Some(Txn::put(at.clone(), value)),
            4 => Some(Txn::delete(at.clone())),
            5 => Some(Txn::put(at.clone(), value).expecting(Expect::Absent(at.clone()))),
            6 if at != other => Some(Txn::put(at.clone(), value).and_delete(other.clone()).expecting(Expect::Present(other))),
            _ => Some(Txn::put(at.clone(), value).expecting(Expect::Unchanged(at.clone(), known_of(&at)))),
        };
        let began = time.fetch_add(1, Ordering::SeqCst);
        let call = match txn {
            Some(txn) => Call::Commit(txn.clone(), store.commit(txn).await.unwrap()),
            None if n % 3 == 0 => Call::List(ListRequest::prefix("/k/"), store.list(ListRequest::prefix("/k/")).await.unwrap()),
            None => Call::Get(at.clone(), store.get(&at).await.unwrap()),
        };
        let ended = time.fetch_add(1, Ordering::SeqCst);
        match &call {
            Call::Get(_, Some(entry)) | Call::Commit(_, TxnOutcome::Refused { current: Some(entry), .. }) => {
                known.insert(entry.key.clone(), entry.modified);
            }
            Call::List(_, listing) => known = listing.entries.iter().map(|e| (e.key.clone(), e.modified)).collect(),
            Call::Get(..) | Call::Commit(..) => {}
        }
        history.push(Seen { began, ended, call });
    }
    history
}

async fn record(store: Arc<dyn Store>, seed: u64) -> Vec<Seen> {
    let time = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|id| {
        let random = StdRng::seed_from_u64(seed * CLIENTS + id);
        tokio::spawn(client(Arc::clone(&store), Arc::clone(&time), random, id))
    });
    let clients: Vec<_> = clients.collect();
    let mut history = Vec::new();
    for client in clients {
        history.extend(client.await.unwrap());
    }
    history.sort_by_key(|seen| seen.began);
    history
}

async fn check(store: Arc<dyn Store>, seed: u64) {
    let history = record(store, seed).await;
    let overlapping = history.windows(2).filter(|pair| pair[1].began < pair[0].ended).count();
    assert!(overlapping > 20, "the clients of seed {seed} ran one after the other: nothing was tested");
    assert!(linearizable(&history), "seed {seed} is not linearizable: {history:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_histories_of_the_embedded_store_are_linearizable() {
    for seed in 0..HISTORIES {
        let place = Place::new();
        check(Arc::new(place.open_keeping(50).await), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_histories_of_the_memory_store_are_linearizable() {
    for seed in 0..HISTORIES {
        let history = record(Arc::new(MemStore::new(Arc::new(ManualClock::default()))), seed).await;
        assert!(linearizable(&history), "seed {seed} is not linearizable: {history:#?}");
    }
}

#[test]
fn the_checker_refuses_a_stale_read_and_a_lost_update() {
    let put = |value: &str| Txn::put(key("/a"), value.to_owned());
    let mut model = Model::default();
    let first = Call::Commit(put("1"), model.commit(&put("1")));
    let old = model.entries.get(&key("/a")).cloned();
    let second = Call::Commit(put("2"), model.commit(&put("2")));
    let history = |calls: [(Call, u64, u64); 3]| calls.map(|(call, began, ended)| Seen { began, ended, call });
    let read_old = Call::Get(key("/a"), old);
    let stale = history([(first.clone(), 0, 1), (second.clone(), 2, 3), (read_old.clone(), 4, 5)]);
    assert!(!linearizable(&stale), "it read what was overwritten before it began");
    let concurrent = history([(first.clone(), 0, 1), (second, 2, 4), (read_old, 3, 5)]);
    assert!(linearizable(&concurrent), "it may have read before the write");
    let twice = history([(first.clone(), 0, 1), (first.clone(), 2, 3), (first, 4, 5)]);
    assert!(!linearizable(&twice), "one revision was given to three writes");
}
