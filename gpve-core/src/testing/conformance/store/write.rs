use std::sync::Arc;

use super::{StoreFixture, key};
use crate::ports::{Expect, LeaseId, Mutation, Revision, StoreError, Txn, TxnOutcome};

pub(super) async fn a_write_is_read_back_with_its_history(to: &StoreFixture) {
    assert_eq!(to.get("/a").await, None, "an empty store has no entries");
    assert_eq!(to.revision().await, Revision(0), "an empty store is at revision 0");
    let first = to.put("/a", "one").await;
    let second = to.put("/a", "").await;
    let entry = to.get("/a").await.expect("a written key exists");
    assert_eq!(entry.key, key("/a"));
    assert_eq!(&entry.value[..], b"", "an empty value is a value");
    assert_eq!((entry.created, entry.modified, entry.version), (first, second, 2));
    assert_eq!(entry.lease, None);
    assert_eq!(to.get("/a/b").await, None, "a key is not a directory");
}

pub(super) async fn every_commit_with_an_effect_is_the_next_revision(to: &StoreFixture) {
    for n in 1..=5 {
        assert_eq!(to.put("/same", "value").await, Revision(n), "a put of the same value is a revision");
    }
    assert_eq!(to.commit(Txn::delete(key("/absent"))).await, Revision(5), "removing an absent key is no change");
    assert_eq!(to.commit(Txn::default()).await, Revision(5), "an empty transaction is no change");
    assert_eq!(to.commit(Txn::delete(key("/absent")).and_put(key("/b"), "")).await, Revision(6));
    assert_eq!(to.revision().await, Revision(6));
}

pub(super) async fn conditions_that_hold_let_the_writes_happen(to: &StoreFixture) {
    let made = to.commit(Txn::put(key("/a"), "1").expecting(Expect::Absent(key("/a")))).await;
    let changed = to.commit(Txn::put(key("/a"), "2").expecting(Expect::Unchanged(key("/a"), made))).await;
    let both = Txn::put(key("/b"), "1").and_delete(key("/a"));
    let both = both.expecting(Expect::Present(key("/a"))).expecting(Expect::Unchanged(key("/a"), changed));
    let moved = to.commit(both).await;
    assert_eq!(moved, Revision(3), "a transaction is one revision");
    assert_eq!(to.get("/a").await, None);
    assert_eq!(to.get("/b").await.map(|e| e.modified), Some(moved));
}

pub(super) async fn a_condition_that_fails_writes_nothing_and_shows_the_entry(to: &StoreFixture) {
    let first = to.put("/a", "1").await;
    let current = to.get("/a").await;
    let failing = [
        (Expect::Absent(key("/a")), current.clone()),
        (Expect::Present(key("/b")), None),
        (Expect::Unchanged(key("/a"), Revision(first.0 + 1)), current),
        (Expect::Unchanged(key("/b"), first), None),
        (Expect::Unchanged(key("/b"), Revision(0)), None),
    ];
    for (expect, current) in failing {
        let txn = Txn::put(key("/a"), "2").and_put(key("/c"), "2").expecting(Expect::Present(key("/a")));
        let txn = txn.expecting(expect.clone()).expecting(Expect::Present(key("/never")));
        let outcome = to.store.commit(txn).await.expect("a refusal is an answer");
        assert_eq!(outcome, TxnOutcome::Refused { expect: 1, current }, "the first failing condition, {expect:?}, is told");
    }
    assert_eq!(to.revision().await, first, "a refused transaction is no revision");
    assert_eq!(to.get("/c").await, None, "a refused transaction writes nothing");
}

pub(super) async fn conditions_speak_of_the_state_before_the_writes(to: &StoreFixture) {
    let txn = Txn::put(key("/a"), "1").expecting(Expect::Absent(key("/a"))).expecting(Expect::Absent(key("/a")));
    to.commit(txn).await;
    let first = to.revision().await;
    to.commit(Txn::delete(key("/a")).expecting(Expect::Unchanged(key("/a"), first))).await;
    assert_eq!(to.get("/a").await, None);
}

pub(super) async fn a_deleted_key_begins_anew(to: &StoreFixture) {
    to.put("/a", "1").await;
    to.put("/a", "2").await;
    to.commit(Txn::delete(key("/a"))).await;
    assert_eq!(to.get("/a").await, None);
    let again = to.put("/a", "3").await;
    let entry = to.get("/a").await.expect("it was made again");
    assert_eq!((entry.created, entry.modified, entry.version), (again, again, 1));
}

pub(super) async fn requests_beyond_a_limit_are_refused_and_at_the_limit_served(to: &StoreFixture) {
    let many = |n: usize| (0..n).fold(Txn::default(), |txn, i| txn.and_put(key(&format!("/many/{i}")), "v"));
    let large = |n: usize| Txn::put(key("/large"), vec![7; n]);
    let heavy = Txn::put(key("/h/1"), vec![1; Txn::MAX_BYTES / 2]).and_put(key("/h/2"), vec![2; Txn::MAX_BYTES / 2]);
    let twice = Txn::put(key("/twice"), "1").and_delete(key("/twice"));
    for txn in [many(Txn::MAX_OPS + 1), large(Txn::MAX_VALUE_BYTES + 1), heavy, twice] {
        let refused = to.store.commit(txn).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "beyond a limit: {refused:?}");
    }
    assert_eq!(to.revision().await, Revision(0), "a refused request writes nothing");
    to.commit(many(Txn::MAX_OPS)).await;
    to.commit(large(Txn::MAX_VALUE_BYTES)).await;
    let entry = to.get("/large").await.expect("the largest value is stored");
    assert!(entry.value.len() == Txn::MAX_VALUE_BYTES && entry.value.iter().all(|b| *b == 7), "and comes back whole");
}

pub(super) async fn compare_and_swap_loses_no_increment(to: &StoreFixture) {
    const TASKS: u64 = 8;
    const EACH: u64 = 15;
    to.put("/counter", "0").await;
    let increment = |store: Arc<dyn crate::ports::Store>| async move {
        let counter = key("/counter");
        let mut entry = store.get(&counter).await.unwrap().expect("the counter exists");
        for _ in 0..EACH {
            loop {
                let value: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                let txn = Txn::put(counter.clone(), (value + 1).to_string());
                let txn = txn.expecting(Expect::Unchanged(counter.clone(), entry.modified));
                match store.commit(txn).await.expect("a compare-and-swap is served") {
                    TxnOutcome::Committed(_) => break,
                    TxnOutcome::Refused { current, .. } => entry = current.expect("the counter exists"),
                }
            }
            entry = store.get(&counter).await.unwrap().expect("the counter exists");
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(increment(Arc::clone(&to.store)))).collect();
    for task in tasks {
        task.await.expect("a writer ends");
    }
    let entry = to.get("/counter").await.expect("the counter exists");
    assert_eq!(&entry.value[..], (TASKS * EACH).to_string().as_bytes(), "every increment counts once");
    assert_eq!(entry.version, TASKS * EACH + 1);
    assert_eq!(to.revision().await, Revision(TASKS * EACH + 1));
}

pub(super) async fn a_refused_transaction_does_not_spoil_its_neighbours(to: &StoreFixture) {
    to.put("/taken", "").await;
    let bound = |key| Mutation::Put { key, value: "v".into(), lease: Some(LeaseId(u64::MAX >> 1)) };
    let txns = (0..90).map(|n| match n % 3 {
        0 => Txn::put(key(&format!("/good/{n}")), "v"),
        1 => Txn::put(key(&format!("/bad/{n}")), "v").expecting(Expect::Absent(key("/taken"))),
        _ => Txn { expect: Vec::new(), then: vec![bound(key(&format!("/bad/{n}")))] },
    });
    let outcomes = futures_util::future::join_all(txns.map(|txn| to.store.commit(txn))).await;
    let mut revisions: Vec<u64> = Vec::new();
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match (n % 3, outcome) {
            (0, Ok(TxnOutcome::Committed(revision))) => revisions.push(revision.0),
            (1, Ok(TxnOutcome::Refused { expect: 0, .. })) | (2, Err(StoreError::NoSuchLease(_))) => {}
            (_, other) => panic!("transaction {n} ended as {other:?}"),
        }
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..32).collect::<Vec<_>>(), "each good one has its own revision, without gaps");
}
