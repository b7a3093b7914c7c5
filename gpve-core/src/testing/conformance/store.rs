//! The promises of the [`Store`] port.

mod lease;
mod read;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use crate::ports::{Change, Entry, Key, LeaseId, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchBatch, WatchRequest};
use crate::testing::ManualClock;

/// How long the suite waits for what must come. Generous: a loaded machine is no broken store.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store to examine.
pub struct StoreFixture {
    /// An empty store that keeps at least 5,000 revisions of history.
    pub store: Arc<dyn Store>,
    /// The clock its leases live by; `None` if that is real time, which the suite then waits for.
    pub clock: Option<ManualClock>,
}

/// Examines the stores that `make` makes, a new one for each promise. Needs a tokio runtime.
pub async fn store(make: impl AsyncFn() -> StoreFixture) {
    write::a_write_is_read_back_with_its_history(&make().await).await;
    write::every_commit_with_an_effect_is_the_next_revision(&make().await).await;
    write::conditions_that_hold_let_the_writes_happen(&make().await).await;
    write::a_condition_that_fails_writes_nothing_and_shows_the_entry(&make().await).await;
    write::conditions_speak_of_the_state_before_the_writes(&make().await).await;
    write::a_deleted_key_begins_anew(&make().await).await;
    write::requests_beyond_a_limit_are_refused_and_at_the_limit_served(&make().await).await;
    write::compare_and_swap_loses_no_increment(&make().await).await;
    write::a_refused_transaction_does_not_spoil_its_neighbours(&make().await).await;
    read::a_list_is_the_keys_with_the_prefix_in_order(&make().await).await;
    read::pages_join_to_the_whole_list(&make().await).await;
    watch::a_watch_delivers_history_and_then_what_comes(&make().await).await;
    watch::a_watch_sees_only_its_prefix_and_a_transaction_as_one_batch(&make().await).await;
    watch::a_watch_resumes_after_any_batch_without_gap_or_repeat(&make().await).await;
    watch::a_watch_waits_for_a_revision_that_lies_ahead(&make().await).await;
    watch::a_dropped_next_loses_nothing(&make().await).await;
    watch::a_watcher_that_sleeps_through_thousands_of_writes_misses_none(&make().await).await;
    watch::many_watchers_and_writers_agree_on_one_history(&make().await).await;
    watch::compaction_keeps_entries_and_ends_watches_that_need_what_is_gone(&make().await).await;
    watch::compaction_through_a_last_removal_keeps_the_revision(&make().await).await;
    lease::keys_vanish_with_their_lease_as_one_revision(&make().await).await;
    lease::a_renewed_lease_lives_on(&make().await).await;
    lease::a_revoked_lease_takes_its_keys_along(&make().await).await;
    lease::a_key_written_without_its_lease_stays(&make().await).await;
    lease::an_unknown_lease_binds_nothing(&make().await).await;
    lease::a_lease_has_whole_seconds(&make().await).await;
}

impl StoreFixture {
    async fn commit(&self, txn: Txn) -> Revision {
        match self.store.commit(txn).await.expect("a valid transaction is served") {
            TxnOutcome::Committed(revision) => revision,
            refused @ TxnOutcome::Refused { .. } => panic!("a transaction whose conditions hold was refused: {refused:?}"),
        }
    }

    async fn put(&self, at: &str, value: &str) -> Revision {
        self.commit(Txn::put(key(at), value.to_owned())).await
    }

    async fn get(&self, at: &str) -> Option<Entry> {
        self.store.get(&key(at)).await.expect("a read is served")
    }

    async fn revision(&self) -> Revision {
        self.store.revision().await.expect("the revision is told")
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        let request = WatchRequest { prefix: prefix.to_owned(), after };
        self.store.watch(request).await.expect("a watch starts")
    }

    async fn lease(&self, seconds: u64) -> LeaseId {
        self.store.grant(Duration::from_secs(seconds)).await.expect("a lease is granted")
    }

    async fn pass(&self, seconds: u64) {
        match &self.clock {
            Some(clock) => clock.advance(Duration::from_secs(seconds)).await,
            None => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
    }
}

fn key(text: &str) -> Key {
    text.parse().expect("a valid key")
}

async fn next(watch: &mut Box<dyn Watch>) -> WatchBatch {
    try_next(watch).await.expect("the watch goes on")
}

async fn try_next(watch: &mut Box<dyn Watch>) -> Result<WatchBatch, StoreError> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch delivers in time")
}

/// The batch as `put /a=1` or `delete /a`, one per change.
fn told(batch: &WatchBatch) -> Vec<String> {
    let tell = |change: &Change| match change {
        Change::Put(entry) => format!("put {}={}", entry.key, String::from_utf8_lossy(&entry.value)),
        Change::Delete(key) => format!("delete {key}"),
    };
    batch.changes.iter().map(tell).collect()
}
