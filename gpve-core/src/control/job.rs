//! One changing call under way: its operation id, what is remembered under its idempotency key, its audit entry.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use uuid::Uuid;

use super::call::{Accepted, Answer, Call};
use super::create::is_open;
use super::digest::sha256_hex;
use super::keys;
use super::plane::ControlPlane;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ports::{Entry, Expect, Key, LeaseId, Mutation, Revision, Txn, TxnOutcome};
use crate::types::{OperationId, Vmid};

/// How long a result is remembered under its key: a client that retries does so within a day.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Most keys remembered at once; about 50 MiB of records.
pub const IDEMPOTENCY_KEYS_MAX: usize = 100_000;
/// Most changing calls under way at once. Most end within milliseconds; those that wait for their task hold a few KiB.
pub const CALLS_MAX: usize = 4096;
/// Most attempts to take a key: each failed one means that another call with the same key went on.
pub(super) const TAKE_TRIES: usize = 8;

/// What is stored under a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    v: u32,
    /// Digest of the request.
    request: String,
    operation: OperationId,
    uid: Uuid,
    /// The guest whose record this call made.
    made: Option<Vmid>,
    answer: Option<Accepted>,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    revision: Revision,
    lease: LeaseId,
    remembered: Remembered,
}

/// A changing call under way.
#[derive(Debug)]
pub(super) struct Job {
    /// The operation's id: the same for every attempt under one key.
    pub(super) operation: OperationId,
    /// Identity of a guest that the call makes; likewise.
    pub(super) uid: Uuid,
    verb: &'static str,
    subject: String,
    slot: Option<Slot>,
    /// A parallel call with the same key makes the guest: begin again to get its result.
    pub(super) overtaken: bool,
}

/// Whether there is something to do.
pub(super) enum Begun {
    /// Yes.
    Go(Box<Job>),
    /// It was done under this key before.
    Done(Accepted),
}

impl Job {
    /// The guest whose record an earlier attempt of this call made, and the revision that shows it.
    pub(super) fn made(&self) -> Option<(Vmid, Revision)> {
        self.slot.as_ref().and_then(|s| s.remembered.made.map(|vmid| (vmid, s.revision)))
    }

    /// What a transaction that makes the record of `vmid` has to hold besides, so that one call makes one guest.
    pub(super) fn making(&self, vmid: Vmid) -> Result<Txn> {
        let Some(slot) = &self.slot else { return Ok(Txn::default()) };
        let remembered = Remembered { made: Some(vmid), ..slot.remembered.clone() };
        Ok(Txn { expect: vec![Expect::Unchanged(slot.key.clone(), slot.revision)], then: vec![slot.put(&remembered)?] })
    }

    /// Notes that the transaction of [`Job::making`] was committed.
    pub(super) fn made_at(&mut self, vmid: Vmid, revision: Revision) {
        if let Some(slot) = &mut self.slot {
            slot.revision = revision;
            slot.remembered.made = Some(vmid);
        }
    }
}

impl Slot {
    fn put(&self, remembered: &Remembered) -> Result<Mutation> {
        let value = serde_json::to_vec(remembered).map_err(|e| Error::internal("idempotency", e.to_string()))?;
        Ok(Mutation::Put { key: self.key.clone(), value: value.into(), lease: Some(self.lease) })
    }
}

impl ControlPlane {
    /// Runs a changing call to its end even if its caller goes away: nobody escapes the audit log by hanging up.
    pub(super) async fn to_the_end<T, F>(&self, call: &Call, work: impl FnOnce(Self, Call) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let place = self.inner.calls.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{CALLS_MAX} changing calls are under way: retry when some have ended");
            Error::new(ErrorKind::ResourceExhausted, "control", message).retry(Retry::Later)
        })?;
        let work = work(self.clone(), call.clone()).in_current_span();
        let ended = tokio::spawn(async move {
            let result = work.await;
            drop(place);
            result
        });
        let ended = ended.await;
        ended.map_err(|e| Error::internal("control", "a call ended without a result").because(&e))?
    }

    /// A changing call: gives what is remembered under its key, or does `work`, remembers the result and writes the audit
    /// entry.
    pub(super) async fn called<F>(
        &self,
        call: &Call,
        verb: &'static str,
        subject: String,
        request: impl Serialize + Send + Sync + 'static,
        work: impl FnOnce(Self, Call, OperationId) -> F + Send + 'static,
    ) -> Result<Answer>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        let whole = move |plane: Self, call: Call| async move {
            let job = match plane.begin(&call, verb, subject, &request).await? {
                Begun::Go(job) => *job,
                Begun::Done(accepted) => return Ok(Answer::Accepted(accepted)),
            };
            let result = Box::pin(work(plane.clone(), call.clone(), job.operation.clone())).await;
            plane.end(&call, job, result).await
        };
        self.to_the_end(call, whole).await
    }

    /// Begins a changing call. A key that is taken by another request is [`ErrorKind::Conflict`].
    pub(super) async fn begin(
        &self,
        call: &Call,
        verb: &'static str,
        subject: impl std::fmt::Display,
        request: &impl Serialize,
    ) -> Result<Begun> {
        let subject = subject.to_string();
        let slot = match &call.idempotency_key {
            None => None,
            Some(key) => {
                let key = keys::idempotency(&sha256_hex(&(&call.user, key.as_str())))?;
                Some(self.take(key, sha256_hex(&(verb, &subject, request))).await?)
            }
        };
        if let Some(answer) = slot.as_ref().and_then(|s| s.remembered.answer.clone()) {
            return Ok(Begun::Done(answer));
        }
        let (operation, uid) = match &slot {
            Some(slot) => (slot.remembered.operation.clone(), slot.remembered.uid),
            None => (new_operation()?, Uuid::new_v4()),
        };
        Ok(Begun::Go(Box::new(Job { operation, uid, verb, subject, slot, overtaken: false })))
    }

    /// Takes a key for a request, or finds what is remembered under it.
    async fn take(&self, key: Key, request: String) -> Result<Slot> {
        let store = &self.inner.records.store;
        for _ in 0..TAKE_TRIES {
            if let Some(entry) = store.get(&key).await? {
                return found(key, &entry, &request);
            }
            if self.inner.records.cache.remembered() >= IDEMPOTENCY_KEYS_MAX {
                let message = format!("{IDEMPOTENCY_KEYS_MAX} idempotency keys are in use: retry without one or later");
                return Err(Error::new(ErrorKind::ResourceExhausted, "idempotency", message));
            }
            let lease = store.grant(IDEMPOTENCY_TTL).await?;
            let remembered =
                Remembered { v: 1, request: request.clone(), operation: new_operation()?, uid: Uuid::new_v4(), made: None, answer: None };
            let slot = Slot { key: key.clone(), revision: Revision(0), lease, remembered };
            let txn = Txn { expect: vec![Expect::Absent(key.clone())], then: vec![slot.put(&slot.remembered)?] };
            match store.commit(txn).await? {
                TxnOutcome::Committed(revision) => return Ok(Slot { revision, ..slot }),
                TxnOutcome::Refused { .. } => store.revoke(lease).await?,
            }
        }
        Err(Error::new(ErrorKind::Conflict, "idempotency", "the idempotency key is in use by too many calls at once: retry"))
    }

    /// Ends a changing call: remembers its result and writes its audit entry.
    pub(super) async fn end(&self, call: &Call, job: Job, result: Result<Answer>) -> Result<Answer> {
        if let Some(slot) = &job.slot
            && let Err(e) = self.remember(slot, &result).await
        {
            tracing::warn!(error = %e.report(), "the result of a call was not remembered under its idempotency key");
        }
        self.audit(call, job.verb, ("virtualmachines", &job.subject), &result).await;
        result
    }

    async fn remember(&self, slot: &Slot, result: &Result<Answer>) -> Result<()> {
        let store = &self.inner.records.store;
        match result {
            Ok(Answer::Accepted(accepted)) => {
                let remembered = Remembered { answer: Some(accepted.clone()), ..slot.remembered.clone() };
                let expect = vec![Expect::Unchanged(slot.key.clone(), slot.revision)];
                // Refused means that a parallel call with the same key has remembered the same answer.
                store.commit(Txn { expect, then: vec![slot.put(&remembered)?] }).await?;
            }
            // Whether it happened is open; a repetition finds out.
            Err(e) if is_open(e.kind) => {}
            Ok(_) | Err(_) => {
                // Unless a parallel call with the same key went on.
                let txn = Txn::delete(slot.key.clone()).expecting(Expect::Unchanged(slot.key.clone(), slot.revision));
                if let TxnOutcome::Committed(_) = store.commit(txn).await? {
                    store.revoke(slot.lease).await?;
                }
            }
        }
        Ok(())
    }
}

fn found(key: Key, entry: &Entry, request: &str) -> Result<Slot> {
    let remembered: Remembered = serde_json::from_slice(&entry.value)
        .map_err(|e| Error::internal("idempotency", "what is remembered under the key cannot be read").because(&e))?;
    if remembered.request != request {
        let message = "the idempotency key was used for another request: use a new key for a new request";
        return Err(Error::new(ErrorKind::Conflict, "idempotency", message));
    }
    let lease = entry.lease.ok_or_else(|| Error::internal("idempotency", "a remembered key has no lease"))?;
    Ok(Slot { key, revision: entry.modified, lease, remembered })
}

fn new_operation() -> Result<OperationId> {
    Uuid::new_v4().to_string().parse().map_err(|e: crate::types::TextError| Error::internal("operation.id", e.to_string()))
}
