//! Keeps the cache equal to the store.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use super::keys;
use crate::error::Result;
use crate::ports::{ListRequest, Revision, Store, StoreError, WatchRequest};

/// First pause after the store failed; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: a store that comes back is used again within this time.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Fills the cache.
pub(super) async fn load(store: &dyn Store, cache: &Cache) -> Result<Revision> {
    let listing = store.list(ListRequest::prefix(keys::ROOT)).await?;
    cache.reset(&listing);
    Ok(listing.revision)
}

/// Follows the store for ever, from `after` on. History that was compacted away is replaced by a new list.
pub(super) async fn follow(store: Arc<dyn Store>, cache: Arc<Cache>, mut after: Revision) {
    let mut pause = PAUSE_MIN;
    loop {
        let error = match store.watch(WatchRequest { prefix: keys::ROOT.to_owned(), after }).await {
            Ok(mut watch) => loop {
                match watch.next().await {
                    Ok(batch) => {
                        cache.apply(&batch);
                        after = batch.revision;
                        pause = PAUSE_MIN;
                    }
                    Err(e) => break e,
                }
            },
            Err(e) => e,
        };
        tracing::warn!(error = %error, after = after.0, "the store's watch ended");
        if matches!(error, StoreError::Compacted { .. }) {
            match load(store.as_ref(), &cache).await {
                Ok(revision) => after = revision,
                Err(e) => tracing::warn!(error = %e.report(), "the store cannot be listed"),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
