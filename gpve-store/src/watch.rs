//! Watches: every commit is handed once to the groups of watchers that it concerns, and each watcher reads at its own pace.
//!
//! A [`Group`] is everybody who watches the same prefix. It keeps the latest batches, shared by `Arc`; who has fallen
//! further behind reads from the store's history until it has caught up. So a slow watcher costs the writer nothing,
//! needs no buffer of its own, and loses nothing as long as the history it needs is not compacted.

mod group;
mod hub;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use group::Group;
pub(crate) use hub::Hub;
pub(crate) use hub::closed;
pub(crate) use stream::{History, Page, Stream, under};

/// Most batches that a group keeps; who is further behind reads the history, which is the better read then.
pub(crate) const MAX_GROUP_BATCHES: usize = 1024;
/// Most bytes of keys and values that a group keeps.
pub(crate) const MAX_GROUP_BYTES: usize = 1024 * 1024;
/// Most bytes that all groups keep together; beyond it all of them let go and their watchers read the history.
pub(crate) const MAX_HUB_BYTES: usize = 32 * 1024 * 1024;
/// Most watches of a store: some per guest and client of the largest cluster that is planned for.
pub const MAX_WATCHES: usize = 16_384;
