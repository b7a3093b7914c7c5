//! Who asks, how, and what the answer to a change is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ports::Revision;
use crate::types::{ByteSize, DiskFormat, NodeName, StorageId, TextError, Upid, UserId, VmSpec, Vmid};

/// Who asks and how. Every changing call takes one.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks, as shown in tasks and the audit log.
    pub user: UserId,
    /// Groups of the user, for the audit log.
    pub groups: Vec<String>,
    /// The request's id, as in logs.
    pub request_id: String,
    /// From where.
    pub source_ip: String,
    /// With what.
    pub user_agent: String,
    /// The same key with the same request has the same result, once.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Only say what would be done; nothing is written anywhere.
    pub dry_run: bool,
}

impl Call {
    /// A call of `user` with nothing else known.
    pub fn by(user: UserId) -> Self {
        Self {
            user,
            groups: Vec::new(),
            request_id: String::new(),
            source_ip: String::new(),
            user_agent: String::new(),
            idempotency_key: None,
            dry_run: false,
        }
    }

    /// The same call under an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// The same call as a dry run.
    #[must_use]
    pub fn dry(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// A caller's name for one request, to repeat it safely: 1 to 255 printable ASCII characters, as in HTTP's
/// `Idempotency-Key`. Keys of different users never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        if (1..=255).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            Ok(Self(s.to_owned()))
        } else {
            Err(TextError::new(s, "idempotency key", "1 to 255 printable ASCII characters"))
        }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a changing call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A task does it.
    Accepted(Accepted),
    /// It is so already; no task was made.
    Unchanged(Vmid),
    /// What would be done, for a dry run.
    Plan(Box<Plan>),
}

impl Answer {
    /// The accepted task; an error for the other answers.
    pub fn accepted(self) -> Result<Accepted> {
        match self {
            Self::Accepted(a) => Ok(a),
            Self::Unchanged(vmid) => Err(Error::internal("control", "no task was needed").on(format!("vm {vmid}"))),
            Self::Plan(_) => Err(Error::internal("control", "a dry run has no task")),
        }
    }
}

/// What was accepted. Reads made after it show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The guest; for a clone, the new one.
    pub vmid: Vmid,
    /// The node that works on it.
    pub node: NodeName,
    /// The task.
    pub upid: Upid,
    /// The store's revision that shows it: watch from here.
    pub revision: Revision,
}

/// What a call would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What (`create`, `start`).
    pub verb: String,
    /// To which guest; a number that was not asked for is a preview and is not reserved.
    pub vmid: Vmid,
    /// On which node.
    pub node: NodeName,
    /// Why there, for a placement.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placement: String,
    /// What would be done, in order, one line each.
    pub steps: Vec<String>,
    /// Volumes that would be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<PlannedVolume>,
    /// Fields of the spec that would change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The spec afterwards, where the call sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<VmSpec>,
}

impl Plan {
    pub(super) fn of(verb: &str, vmid: Vmid, node: NodeName, steps: Vec<String>) -> Self {
        let verb = verb.to_owned();
        Self { verb, vmid, node, placement: String::new(), steps, volumes: Vec::new(), changes: Vec::new(), spec: None }
    }
}

/// A volume that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVolume {
    /// For which slot.
    pub slot: String,
    /// Where.
    pub storage: StorageId,
    /// How large, where it is not that of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Layout; absent: the storage's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
}
