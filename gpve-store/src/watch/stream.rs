//! One watcher: history first, then what its group receives.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use gpve_core::ports::{Change, Revision, StoreError, Watch, WatchBatch, WatchRequest};

use super::group::Next;
use super::hub::{Hub, Seat, closed};
use crate::request::check_prefix;

/// Where a watcher that is behind reads from.
#[async_trait]
pub(crate) trait History: Send + Sync + 'static {
    /// Batches of `prefix` after `after`, some or all of those up to `through`.
    ///
    /// [`StoreError::Compacted`] if history after `after` is missing.
    async fn page(&self, prefix: &str, after: Revision, through: Revision) -> Result<Page, StoreError>;
}

/// A piece of history.
#[derive(Debug)]
pub(crate) struct Page {
    /// In order, each with at least one change.
    pub(crate) batches: VecDeque<WatchBatch>,
    /// The piece is complete up to here; more than what was asked after.
    pub(crate) through: Revision,
}

/// A running watch.
pub(crate) struct Stream {
    seat: Seat,
    history: Arc<dyn History>,
    prefix: String,
    /// Everything up to here was returned or is in `replay`.
    position: Revision,
    replay: VecDeque<WatchBatch>,
}

impl Stream {
    /// Starts watching.
    pub(crate) fn start(hub: &Arc<Hub>, history: Arc<dyn History>, request: WatchRequest) -> Result<Self, StoreError> {
        check_prefix(&request.prefix)?;
        let seat = hub.join(&request.prefix)?;
        Ok(Self { seat, history, prefix: request.prefix, position: request.after, replay: VecDeque::new() })
    }
}

#[async_trait]
impl Watch for Stream {
    async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            if let Some(batch) = self.replay.pop_front() {
                return Ok(batch);
            }
            let arrival = self.seat.group.arrival();
            match self.seat.group.after(self.position) {
                Next::Batch(batch) => {
                    self.position = batch.revision;
                    return Ok(WatchBatch::clone(&batch));
                }
                Next::Behind(floor) => {
                    let page = self.history.page(&self.prefix, self.position, floor).await?;
                    self.position = page.through;
                    self.replay = page.batches;
                }
                Next::Nothing => arrival.await,
                Next::Closed => return Err(closed()),
            }
        }
    }
}

/// The part of `changes` that lies under `prefix`.
pub(crate) fn under<'a>(changes: &'a [Change], prefix: &str) -> impl Iterator<Item = &'a Change> {
    changes.iter().filter(move |change| match change {
        Change::Put(entry) => entry.key.as_str().starts_with(prefix),
        Change::Delete(key) => key.as_str().starts_with(prefix),
    })
}
