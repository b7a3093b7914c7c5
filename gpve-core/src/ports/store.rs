//! The `Store` port: durable key-value state with ordered revisions, compare-and-swap, watches and leases.
//!
//! Shaped after etcd v3, so that etcd is an adapter and not an emulation. One machine uses the embedded store of
//! `gpve-store`; a cluster uses etcd.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::types::TextError;

/// A key: `/`-separated parts without empty ones, at most 512 bytes, starting with `/` (`/guests/100`). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(Arc<str>);

impl Key {
    /// Longest key in bytes.
    pub const MAX_BYTES: usize = 512;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Key {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "store key", "'/'-separated non-empty parts, starting with '/', at most 512 bytes");
        let rest = s.strip_prefix('/').ok_or_else(refused)?;
        let plain = |p: &str| !p.is_empty() && !p.contains(|c: char| c.is_control());
        if s.len() > Self::MAX_BYTES || !rest.split('/').all(plain) {
            return Err(refused());
        }
        Ok(Self(s.into()))
    }
}

impl TryFrom<String> for Key {
    type Error = TextError;
    fn try_from(s: String) -> Result<Self, TextError> {
        s.parse()
    }
}

impl From<Key> for String {
    fn from(k: Key) -> String {
        k.0.as_ref().to_owned()
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position in the store's history. Every committed transaction has the next one; 0 is the empty store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease: keys bound to it vanish when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(pub u64);

/// A key with its value and history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, at most [`Txn::MAX_VALUE_BYTES`].
    pub value: Bytes,
    /// Revision that made the key.
    pub created: Revision,
    /// Revision that last wrote it.
    pub modified: Revision,
    /// Writes since it was made, from 1.
    pub version: u64,
    /// The lease it is bound to.
    pub lease: Option<LeaseId>,
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent(Key),
    /// The key exists.
    Present(Key),
    /// The key was last written by this revision.
    Unchanged(Key, Revision),
}

impl Expect {
    /// The key it speaks of.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(k) | Self::Present(k) | Self::Unchanged(k, _) => k,
        }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Writes `value`, bound to `lease` if given (which must be alive).
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// Bound to this lease.
        lease: Option<LeaseId>,
    },
    /// Removes the key; removing an absent key is no change.
    Delete {
        /// Which.
        key: Key,
    },
}

/// If every condition holds, all mutations happen as one revision; otherwise none. Conditions are checked before the
/// mutations, against the state before them; without conditions they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// Conditions.
    pub expect: Vec<Expect>,
    /// Writes. A key may occur once.
    pub then: Vec<Mutation>,
}

impl Txn {
    /// Most conditions plus mutations: etcd's default limit.
    pub const MAX_OPS: usize = 128;
    /// Longest value.
    pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
    /// Longest transaction, keys and values together: etcd's default request limit is 1.5 MiB, less room for framing.
    pub const MAX_BYTES: usize = 1280 * 1024;

    /// Writes `value` unconditionally.
    pub fn put(key: Key, value: impl Into<Bytes>) -> Self {
        Self::default().and_put(key, value)
    }

    /// Removes `key` unconditionally.
    pub fn delete(key: Key) -> Self {
        Self { expect: Vec::new(), then: vec![Mutation::Delete { key }] }
    }

    /// Adds a condition.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect.push(expect);
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn and_put(mut self, key: Key, value: impl Into<Bytes>) -> Self {
        self.then.push(Mutation::Put { key, value: value.into(), lease: None });
        self
    }

    /// Adds a write that vanishes with `lease`.
    #[must_use]
    pub fn and_put_leased(mut self, key: Key, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        self.then.push(Mutation::Put { key, value: value.into(), lease: Some(lease) });
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn and_delete(mut self, key: Key) -> Self {
        self.then.push(Mutation::Delete { key });
        self
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Durable, as this revision. A transaction without effect (nothing but deletes of absent keys) has the current one.
    Committed(Revision),
    /// A condition did not hold; nothing was written.
    Refused {
        /// Index of the first condition that failed.
        expect: usize,
        /// The key's entry now.
        current: Option<Entry>,
    },
}

/// A page of keys under a prefix, in key order, as of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Keys starting with this text; empty for all.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// At most so many; 0 means no limit.
    pub limit: usize,
}

impl ListRequest {
    /// Everything under `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }
}

/// Answer to a [`ListRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The store's revision when they were read: watch from here to miss nothing.
    pub revision: Revision,
    /// More keys follow the last one.
    pub more: bool,
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Keys starting with this text; empty for all.
    pub prefix: String,
    /// Everything committed after this revision, history included. A revision that lies ahead is waited for.
    pub after: Revision,
}

/// One changed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Written; the entry as of that revision.
    Put(Entry),
    /// Removed, by a transaction or by its lease's end.
    Delete(Key),
}

/// All changes of one revision under the watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// The revision; resume with `after: revision`.
    pub revision: Revision,
    /// At least one change, each key once.
    pub changes: Vec<Change>,
}

/// A running watch. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next batch, in revision order without gaps. Cancel safe.
    ///
    /// Errors end the watch: [`StoreError::Compacted`] asks for a new list (changes that the watch still needs are
    /// gone; one that is not behind never sees it); [`StoreError::Unavailable`] may be resumed after the last seen
    /// revision.
    async fn next(&mut self) -> Result<WatchBatch, StoreError>;
}

/// Why a store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The asked history is gone; list again and watch from the listing's revision.
    #[error("revision {asked} was compacted; history begins after {oldest}: list again and resume from there")]
    Compacted {
        /// Asked revision.
        asked: Revision,
        /// Last compacted revision.
        oldest: Revision,
    },
    /// The lease does not exist or has expired.
    #[error("lease {} does not exist or has expired", (.0).0)]
    NoSuchLease(LeaseId),
    /// The request breaks a rule or a limit of the port; names the field, the value and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// No space on the device; nothing was written.
    #[error("no space left for the store at {0}: free some space and retry; nothing was written")]
    DiskFull(String),
    /// The file cannot be written.
    #[error("the store at {0} is read-only: check the mount and the file's owner")]
    ReadOnly(String),
    /// The file is damaged.
    #[error("the store at {path} is damaged: {detail}")]
    Corrupt {
        /// Path.
        path: String,
        /// What was found.
        detail: String,
    },
    /// The file was written by a newer gpve.
    #[error("the store at {path} has format {found}, and this gpve knows formats up to {known}: run a newer gpve")]
    TooNew {
        /// Path.
        path: String,
        /// The file's format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
    /// The store does not answer or was closed.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Error {
        let kind = match &e {
            StoreError::Compacted { .. } => ErrorKind::Conflict,
            StoreError::NoSuchLease(_) => ErrorKind::NotFound,
            StoreError::Invalid(_) => ErrorKind::InvalidInput,
            StoreError::DiskFull(_) => ErrorKind::ResourceExhausted,
            StoreError::ReadOnly(_) | StoreError::Unavailable(_) => ErrorKind::Unavailable,
            StoreError::TooNew { .. } => ErrorKind::FailedPrecondition,
            StoreError::Corrupt { .. } => ErrorKind::Internal,
        };
        Error::new(kind, "store", e.to_string())
    }
}

/// Durable state. Linearizable: a write that was acknowledged is seen by every later read, and survives `kill -9` and,
/// as far as the disk keeps its word, power loss.
///
/// Cancel safety: dropping [`Store::commit`] leaves it open whether the transaction happened; all else is harmless.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry of `key`.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// A page of entries.
    async fn list(&self, request: ListRequest) -> Result<Listing, StoreError>;

    /// Runs a transaction. Returns once it is durable. After [`StoreError::Unavailable`] it is open whether it happened;
    /// after every other error it did not.
    async fn commit(&self, txn: Txn) -> Result<TxnOutcome, StoreError>;

    /// Watches from a revision, history first. History that is gone is reported by the watch's first
    /// [`Watch::next`].
    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, StoreError>;

    /// A lease that lives `ttl` (whole seconds, 1 s to 30 days) after its grant or last renewal. It survives a restart
    /// of the store with the time that it had left.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Renews a lease for its full time.
    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Ends a lease now; its keys are removed as one revision. Ending an unknown lease is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Forgets history up to and including `through`; entries stay. What is forgotten already is no error; a revision
    /// that lies ahead is [`StoreError::Invalid`].
    async fn compact(&self, through: Revision) -> Result<(), StoreError>;

    /// The current revision.
    async fn revision(&self) -> Result<Revision, StoreError>;
}
