//! The guests' records in the store: every write of one is a compare-and-swap.

use std::sync::Arc;

use super::cache::Cache;
use super::keys;
use super::objects::GuestObject;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Entry, Expect, Guest as _, Key, Revision, Store, StoreError, Txn, TxnOutcome};
use crate::types::Vmid;

/// Most attempts at one record before the write is given up: each failed one means that another writer succeeded, and
/// an object has few writers.
pub(super) const CAS_TRIES: usize = 16;

/// Reads and writes guests' records.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) store: Arc<dyn Store>,
    pub(super) cache: Arc<Cache>,
}

/// Why a guest was not inserted.
#[derive(Debug)]
pub(super) enum NotInserted {
    /// Its number is taken, since this revision.
    VmidTaken(Revision),
    /// Its object name is taken.
    NameTaken,
    /// Another condition of the transaction does not hold.
    Overtaken,
    /// The store failed.
    Failed(Error),
}

impl From<Error> for NotInserted {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

impl From<StoreError> for NotInserted {
    fn from(e: StoreError) -> Self {
        Self::Failed(e.into())
    }
}

impl Records {
    /// Writes a new guest with its name in one transaction, together with `also`.
    pub(super) async fn insert(&self, guest: &GuestObject, also: Txn) -> Result<Revision, NotInserted> {
        let meta = &guest.object.metadata;
        let (record, name) = (keys::guest(guest.id())?, keys::name(&meta.namespace, &meta.name)?);
        // What goes along is checked first: whoever overtook this call has taken number and name too.
        let first = also.expect.len();
        let txn = also
            .expecting(Expect::Absent(record.clone()))
            .expecting(Expect::Absent(name.clone()))
            .and_put(record, guest.encode()?)
            .and_put(name, guest.id().to_string())
            .and_delete(keys::vmid_lease(guest.id())?);
        match self.store.commit(txn).await? {
            TxnOutcome::Committed(revision) => Ok(revision),
            TxnOutcome::Refused { expect, .. } if expect < first => Err(NotInserted::Overtaken),
            TxnOutcome::Refused { expect, current } if expect == first => {
                Err(NotInserted::VmidTaken(current.map(|e| e.modified).unwrap_or_default()))
            }
            TxnOutcome::Refused { .. } => Err(NotInserted::NameTaken),
        }
    }

    /// Changes a guest's record until `change` says that nothing is to do (`None`) or the write succeeded; gives the
    /// record before and after, the latter with its revision. A guest that is gone is no error.
    pub(super) async fn update(
        &self,
        vmid: Vmid,
        change: impl Fn(&GuestObject) -> Result<Option<GuestObject>>,
    ) -> Result<Option<(Arc<GuestObject>, GuestObject)>> {
        let key = keys::guest(vmid)?;
        let mut before = self.cache.guest(vmid);
        for attempt in 0..CAS_TRIES {
            let Some(old) = before else {
                // The cache may lag behind the guest's making.
                match self.read(&key).await? {
                    Some(found) if attempt == 0 => before = Some(found),
                    _ => return Ok(None),
                }
                continue;
            };
            let Some(new) = change(&old)? else { return Ok(None) };
            let expect = Expect::Unchanged(key.clone(), old.revision);
            match self.store.commit(Txn::put(key.clone(), new.encode()?).expecting(expect)).await? {
                TxnOutcome::Committed(revision) => return Ok(Some((old, GuestObject { revision, ..new }))),
                TxnOutcome::Refused { current: None, .. } => return Ok(None),
                TxnOutcome::Refused { current: Some(entry), .. } => before = Some(decode(&entry)?),
            }
        }
        let message = format!("vm {vmid} is being changed by too many at once: retry");
        Err(Error::new(ErrorKind::Conflict, "guest.update", message).on(format!("vm {vmid}")))
    }

    /// Removes a guest's record and name unless `spare` says that it is another one by now; gives what was removed and
    /// the revision that did it. A guest that is gone is no error.
    pub(super) async fn remove(&self, vmid: Vmid, spare: impl Fn(&GuestObject) -> bool) -> Result<Option<(Arc<GuestObject>, Revision)>> {
        let key = keys::guest(vmid)?;
        for _ in 0..CAS_TRIES {
            let Some(old) = self.read(&key).await? else { return Ok(None) };
            if spare(&old) {
                return Ok(None);
            }
            let meta = &old.object.metadata;
            let txn = Txn::delete(key.clone())
                .and_delete(keys::name(&meta.namespace, &meta.name)?)
                .expecting(Expect::Unchanged(key.clone(), old.revision));
            if let TxnOutcome::Committed(revision) = self.store.commit(txn).await? {
                return Ok(Some((old, revision)));
            }
        }
        Err(Error::new(ErrorKind::Conflict, "guest.remove", format!("vm {vmid} is being changed by too many at once: retry")))
    }

    /// A guest's record as it is in the store now.
    async fn read(&self, key: &Key) -> Result<Option<Arc<GuestObject>>> {
        self.store.get(key).await?.as_ref().map(decode).transpose()
    }
}

fn decode(entry: &Entry) -> Result<Arc<GuestObject>> {
    GuestObject::decode(&entry.value, entry.modified).map(Arc::new)
}
