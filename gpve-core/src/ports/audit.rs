//! The `Audit` port: who did what to which object.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::types::{Namespace, Timestamp};

/// One entry (the design documents' fields, EVT-04). Holds no secret: callers pass names, not values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When.
    pub timestamp: Timestamp,
    /// The request's id, as in logs.
    pub request_id: String,
    /// Who; empty before login.
    pub user: String,
    /// Groups of the user.
    pub user_groups: Vec<String>,
    /// What was done (`create`, `start`).
    pub verb: String,
    /// To which kind of object.
    pub resource: String,
    /// Which one.
    pub name: String,
    /// In which namespace.
    pub namespace: Namespace,
    /// From where.
    pub source_ip: String,
    /// With what.
    pub user_agent: String,
    /// The answer's status code.
    pub status_code: u16,
    /// The answer's message, for failures.
    pub message: String,
    /// Anything else.
    pub extra: BTreeMap<String, String>,
}

/// Where entries go. Append-only.
#[async_trait]
pub trait Audit: Send + Sync + 'static {
    /// Appends an entry; returns once it is durable. Not idempotent: an entry given twice is there twice.
    async fn record(&self, entry: AuditEntry) -> Result<()>;

    /// The newest `limit` entries, newest first.
    async fn recent(&self, limit: usize) -> Result<Vec<AuditEntry>>;
}
