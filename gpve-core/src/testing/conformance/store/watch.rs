use std::sync::Arc;
use std::time::Duration;

use super::{StoreFixture, key, next, told, try_next};
use crate::ports::{Change, Revision, StoreError, Txn};

pub(super) async fn a_watch_delivers_history_and_then_what_comes(to: &StoreFixture) {
    to.put("/a", "1").await;
    to.put("/b", "1").await;
    let mut watch = to.watch("", Revision(0)).await;
    assert_eq!(told(&next(&mut watch).await), ["put /a=1"]);
    assert_eq!(told(&next(&mut watch).await), ["put /b=1"]);
    to.put("/a", "2").await;
    to.commit(Txn::delete(key("/b"))).await;
    let second = next(&mut watch).await;
    assert_eq!(second.revision, Revision(3));
    let [Change::Put(entry)] = second.changes.as_slice() else { panic!("one put: {second:?}") };
    assert_eq!(Some(entry.clone()), to.get("/a").await, "a put carries the whole entry");
    assert_eq!(told(&next(&mut watch).await), ["delete /b"]);
}

pub(super) async fn a_watch_sees_only_its_prefix_and_a_transaction_as_one_batch(to: &StoreFixture) {
    let mut live = to.watch("/g/", Revision(0)).await;
    to.put("/g", "not below").await;
    to.put("/h/1", "elsewhere").await;
    let all = Txn::put(key("/g/1"), "x").and_put(key("/h/2"), "y").and_put(key("/g/2"), "z").and_delete(key("/h/1"));
    let both = to.commit(all).await;
    to.commit(Txn::delete(key("/g/1")).and_delete(key("/g/absent"))).await;
    let mut late = to.watch("/g/", Revision(0)).await;
    for watch in [&mut live, &mut late] {
        let batch = next(watch).await;
        assert_eq!((batch.revision, told(&batch)), (both, vec!["put /g/1=x".to_owned(), "put /g/2=z".to_owned()]));
        assert_eq!(told(&next(watch).await), ["delete /g/1"], "removing what is absent is no change");
    }
}

pub(super) async fn a_watch_resumes_after_any_batch_without_gap_or_repeat(to: &StoreFixture) {
    for n in 1..=20 {
        to.put(&format!("/k/{}", n % 3), &n.to_string()).await;
    }
    for after in 0..20 {
        let mut watch = to.watch("/k/", Revision(after)).await;
        for expected in after + 1..=20 {
            assert_eq!(next(&mut watch).await.revision, Revision(expected));
        }
    }
}

pub(super) async fn a_watch_waits_for_a_revision_that_lies_ahead(to: &StoreFixture) {
    let mut watch = to.watch("", Revision(3)).await;
    for n in 1..=5 {
        to.put("/a", &n.to_string()).await;
    }
    assert_eq!(told(&next(&mut watch).await), ["put /a=4"]);
    assert_eq!(told(&next(&mut watch).await), ["put /a=5"]);
}

pub(super) async fn a_dropped_next_loses_nothing(to: &StoreFixture) {
    const WRITES: u64 = 300;
    let store = Arc::clone(&to.store);
    let writer = tokio::spawn(async move {
        for n in 0..WRITES {
            store.commit(Txn::put(key("/a"), n.to_string())).await.expect("a write is served");
        }
    });
    let mut watch = to.watch("", Revision(0)).await;
    let mut seen = 0;
    while seen < WRITES {
        // As a select! with other branches would: polled a little, then dropped.
        let polled = tokio::time::timeout(Duration::from_micros(seen % 7 * 20), watch.next()).await;
        if let Ok(batch) = polled {
            seen += 1;
            assert_eq!(batch.expect("the watch goes on").revision, Revision(seen));
        }
    }
    writer.await.expect("the writer ends");
}

pub(super) async fn a_watcher_that_sleeps_through_thousands_of_writes_misses_none(to: &StoreFixture) {
    const WRITES: u64 = 2_500;
    let mut watch = to.watch("/w/", Revision(0)).await;
    let mut other = to.watch("/x", Revision(0)).await;
    let writes = (0..WRITES).map(|n| to.store.commit(Txn::put(key(&format!("/w/{}", n % 50)), vec![b'v'; 1000])));
    for outcome in futures_util::future::join_all(writes).await {
        outcome.expect("a write is served");
    }
    for expected in 1..=WRITES {
        assert_eq!(next(&mut watch).await.revision, Revision(expected));
    }
    let last = to.put("/x", "").await;
    assert_eq!(next(&mut other).await.revision, last);
}

pub(super) async fn many_watchers_and_writers_agree_on_one_history(to: &StoreFixture) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 50;
    let mut watching = Vec::new();
    for n in 0..20_u64 {
        let mut watch = to.watch(if n % 2 == 0 { "/" } else { "/w/" }, Revision(0)).await;
        watching.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < usize::try_from(WRITERS * EACH).unwrap() {
                seen.push(next(&mut watch).await);
            }
            seen
        }));
    }
    let write = |store: Arc<dyn crate::ports::Store>, writer: u64| async move {
        for n in 0..EACH {
            store.commit(Txn::put(key(&format!("/w/{writer}")), n.to_string())).await.expect("a write is served");
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|w| tokio::spawn(write(Arc::clone(&to.store), w))).collect();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let mut first = None;
    for task in watching {
        let seen = task.await.expect("a watcher ends");
        let gapless = seen.iter().zip(1..).all(|(batch, n)| batch.revision == Revision(n));
        assert!(gapless, "revisions arrive in order without gaps");
        assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen, "all see the same");
    }
}

pub(super) async fn compaction_keeps_entries_and_ends_watches_that_need_what_is_gone(to: &StoreFixture) {
    for n in 1..=10 {
        to.put(&format!("/k/{}", n % 4), &n.to_string()).await;
    }
    to.commit(Txn::delete(key("/k/0"))).await;
    let before = to.store.list(Default::default()).await.expect("a list is served");
    to.store.compact(Revision(7)).await.expect("history is forgotten");
    to.store.compact(Revision(7)).await.expect("again is no error");
    to.store.compact(Revision(3)).await.expect("what is forgotten already is no error");
    assert_eq!(to.store.list(Default::default()).await.expect("a list is served"), before, "entries stay");
    for after in 0..7 {
        let ended = try_next(&mut to.watch("", Revision(after)).await).await;
        assert_eq!(ended, Err(StoreError::Compacted { asked: Revision(after), oldest: Revision(7) }));
    }
    let mut watch = to.watch("", Revision(7)).await;
    for expected in 8..=11 {
        assert_eq!(next(&mut watch).await.revision, Revision(expected));
    }
    let ahead = to.store.compact(Revision(12)).await;
    assert!(matches!(ahead, Err(StoreError::Invalid(_))), "what has not happened cannot be forgotten: {ahead:?}");
    let resumed = to.put("/k/1", "on").await;
    assert_eq!(next(&mut watch).await.revision, resumed);
}

pub(super) async fn compaction_through_a_last_removal_keeps_the_revision(to: &StoreFixture) {
    to.put("/a", "1").await;
    to.put("/b", "1").await;
    let last = to.commit(Txn::delete(key("/a")).and_delete(key("/b"))).await;
    to.store.compact(last).await.expect("history is forgotten");
    assert_eq!(to.revision().await, last);
    assert_eq!(to.put("/c", "1").await, Revision(last.0 + 1));
    let entry = to.get("/c").await.expect("it was written");
    assert_eq!(entry.created, Revision(last.0 + 1));
}
