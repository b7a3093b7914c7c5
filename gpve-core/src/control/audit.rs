//! The audit log in the store: append-only, each entry chained to the one before by its hash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Mutex, oneshot};

use super::call::Call;
use super::digest::sha256_hex;
use super::keys;
use super::plane::ControlPlane;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Audit, AuditEntry, Expect, ListRequest, Store, Txn, TxnOutcome};
use crate::types::Namespace;

/// Entries kept; the oldest makes room. At 1 KiB each about 10 MiB.
pub const AUDIT_MAX: u64 = 10_000;
/// Most entries in one transaction: each is a write and a removal, next to the chain's end.
const GROUP_MAX: usize = (Txn::MAX_OPS - 2) / 2;
/// Most attempts to append: each failed one means that another server appended.
const APPEND_TRIES: usize = 16;

/// An entry as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Link {
    v: u32,
    position: u64,
    /// Hash of the link before; empty for the first.
    previous: String,
    entry: AuditEntry,
    /// SHA-256 over position, previous and entry.
    hash: String,
}

/// The end of the chain.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Head {
    v: u32,
    /// Position of the next link.
    next: u64,
    hash: String,
}

impl Link {
    fn new(head: &Head, entry: AuditEntry) -> Self {
        let hash = sha256_hex(&(head.next, &head.hash, &entry));
        Self { v: 1, position: head.next, previous: head.hash.clone(), entry, hash }
    }

    fn is_intact(&self) -> bool {
        self.hash == sha256_hex(&(self.position, &self.previous, &self.entry))
    }
}

/// The audit log in the store. Keeps the newest [`AUDIT_MAX`] entries.
pub struct StoreAudit {
    store: Arc<dyn Store>,
    /// Entries of calls that wait for their turn: at most as many as there are calls, [`CALLS_MAX`](super::CALLS_MAX).
    waiting: std::sync::Mutex<VecDeque<Waiting>>,
    /// One append at a time in this process; between processes the store decides.
    turn: Mutex<()>,
}

type Waiting = (AuditEntry, oneshot::Sender<Result<()>>);

impl std::fmt::Debug for StoreAudit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreAudit").finish_non_exhaustive()
    }
}

impl StoreAudit {
    /// The log in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, waiting: std::sync::Mutex::default(), turn: Mutex::new(()) }
    }

    /// Checks that no kept entry was changed, removed or added behind the log's back; how many there are. An error
    /// names the first position that is wrong.
    pub async fn verify(&self) -> Result<usize> {
        let wrong = |position: u64| Error::internal("audit.verify", format!("the audit log was tampered with at position {position}"));
        let links = self.links().await?;
        let head = self.head().await?.0;
        let mut before: Option<&Link> = None;
        for link in &links {
            let follows = before.is_none_or(|b| link.position == b.position + 1 && link.previous == b.hash);
            if !link.is_intact() || !follows {
                return Err(wrong(link.position));
            }
            before = Some(link);
        }
        let (position, hash) = before.map_or((0, ""), |l| (l.position + 1, l.hash.as_str()));
        if (position, hash) != (head.next, head.hash.as_str()) || (links.len() as u64) < head.next.min(AUDIT_MAX) {
            return Err(wrong(position));
        }
        Ok(links.len())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the entries that wait, as many as fit in one transaction, and tells their callers.
    async fn write_gathered(&self) {
        let (entries, tell): (Vec<_>, Vec<_>) = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(GROUP_MAX);
            waiting.drain(..count).unzip()
        };
        let result = self.append(entries).await;
        for tell in tell {
            // A caller that is gone does not want to know.
            let _ = tell.send(result.clone());
        }
    }

    /// Appends entries as one transaction.
    async fn append(&self, entries: Vec<AuditEntry>) -> Result<()> {
        for _ in 0..APPEND_TRIES {
            let (mut head, expect) = self.head().await?;
            let mut txn = Txn::default().expecting(expect);
            for entry in &entries {
                let link = Link::new(&head, entry.clone());
                txn = txn.and_put(keys::audit(link.position)?, encoded(&link)?);
                if let Some(oldest) = link.position.checked_sub(AUDIT_MAX) {
                    txn = txn.and_delete(keys::audit(oldest)?);
                }
                head = Head { v: 1, next: link.position + 1, hash: link.hash };
            }
            if let TxnOutcome::Committed(_) = self.store.commit(txn.and_put(keys::audit_head()?, encoded(&head)?)).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Conflict, "audit.record", "too many servers append at once: retry"))
    }

    async fn links(&self) -> Result<Vec<Link>> {
        let listing = self.store.list(ListRequest::prefix(keys::AUDIT)).await?;
        listing.entries.iter().map(|e| serde_json::from_slice(&e.value).map_err(|err| damaged(&err))).collect()
    }

    async fn head(&self) -> Result<(Head, Expect)> {
        let key = keys::audit_head()?;
        match self.store.get(&key).await? {
            None => Ok((Head { v: 1, ..Head::default() }, Expect::Absent(key))),
            Some(entry) => Ok((serde_json::from_slice(&entry.value).map_err(|e| damaged(&e))?, Expect::Unchanged(key, entry.modified))),
        }
    }
}

fn damaged(e: &serde_json::Error) -> Error {
    Error::internal("audit", "the stored audit log cannot be read").because(e)
}

fn encoded(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::internal("audit", "an entry cannot be stored").because(&e))
}

#[async_trait]
impl Audit for StoreAudit {
    async fn record(&self, entry: AuditEntry) -> Result<()> {
        let (tell, mut written) = oneshot::channel();
        self.waiting().push_back((entry, tell));
        // Whoever has the turn writes what has gathered meanwhile: one durable write for many calls.
        let _turn = self.turn.lock().await;
        loop {
            match written.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Empty) => self.write_gathered().await,
                Err(TryRecvError::Closed) => return Err(Error::internal("audit.record", "the entry may not have been written")),
            }
        }
    }

    async fn recent(&self, limit: usize) -> Result<Vec<AuditEntry>> {
        let (head, _) = self.head().await?;
        let wanted = (limit as u64).min(AUDIT_MAX).min(head.next);
        let mut request = ListRequest::prefix(keys::AUDIT);
        if let Some(before) = (head.next - wanted).checked_sub(1) {
            request.after = Some(keys::audit(before)?);
        }
        let listing = self.store.list(request).await?;
        let links = listing.entries.iter().rev().map(|e| serde_json::from_slice::<Link>(&e.value).map_err(|err| damaged(&err)));
        links.map(|l| l.map(|l| l.entry)).take(limit).collect()
    }
}

impl ControlPlane {
    /// Writes the audit entry of a call. The call has happened by now: a log that cannot be written is an alarm in the
    /// program's log, and no failure of the call.
    pub(super) async fn audit<T>(&self, call: &Call, verb: &str, (resource, name): (&str, &str), result: &Result<T>) {
        let entry = AuditEntry {
            timestamp: self.inner.clock.now(),
            request_id: call.request_id.clone(),
            user: call.user.to_string(),
            user_groups: call.groups.clone(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            namespace: Namespace::default(),
            source_ip: call.source_ip.clone(),
            user_agent: call.user_agent.clone(),
            status_code: result.as_ref().map_or_else(|e| status_code(e.kind), |_| 200),
            message: result.as_ref().err().map(|e| e.message.clone()).unwrap_or_default(),
            extra: BTreeMap::new(),
        };
        if let Err(e) = self.inner.audit.record(entry).await {
            tracing::error!(error = %e.report(), verb, name, user = %call.user, "the audit log cannot be written");
        }
    }
}

/// The audit log's status code of a failure: HTTP's, as the design documents want it, whatever dialect asked.
fn status_code(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::InvalidInput => 400,
        ErrorKind::Unauthenticated => 401,
        ErrorKind::PermissionDenied => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => 409,
        ErrorKind::FailedPrecondition => 412,
        ErrorKind::ResourceExhausted => 429,
        ErrorKind::Cancelled => 499,
        ErrorKind::Stuck | ErrorKind::Internal => 500,
        ErrorKind::Unsupported => 501,
        ErrorKind::Unavailable => 503,
        ErrorKind::Timeout => 504,
    }
}
