//! The one error that crosses a crate boundary.
//!
//! Inside a crate an operation has its own `thiserror` enum; at the boundary it becomes an [`Error`]: what kind of
//! failure, during which operation, on which subject, and whether trying again can help. Dialects (PVE REST, native
//! REST, CLI exit codes, C, Python) map the [`ErrorKind`] by one table in `gpve-api`, never the text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Result with the boundary error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it. The set is closed: dialect tables match on it exhaustively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A field of the request is malformed or out of range; [`Error::fields`] names each.
    InvalidInput,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// The subject does not exist.
    NotFound,
    /// The subject exists already and the request wanted to make it.
    AlreadyExists,
    /// Somebody changed the subject in between (digest, revision or generation mismatch).
    Conflict,
    /// The subject is in a state that does not allow the request.
    FailedPrecondition,
    /// A limit, quota or the space on a device is used up.
    ResourceExhausted,
    /// This backend, host or version cannot do it.
    Unsupported,
    /// A part needed for it does not answer now.
    Unavailable,
    /// The deadline passed first.
    Timeout,
    /// The caller or an administrator cancelled it.
    Cancelled,
    /// It failed and could not be undone: somebody has to look. The message names the next command to run.
    Stuck,
    /// A defect of gpve or of something it trusts.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [ErrorKind; 14] = [
        Self::InvalidInput,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::FailedPrecondition,
        Self::ResourceExhausted,
        Self::Unsupported,
        Self::Unavailable,
        Self::Timeout,
        Self::Cancelled,
        Self::Stuck,
        Self::Internal,
    ];
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::Unauthenticated => "not authenticated",
            Self::PermissionDenied => "permission denied",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::FailedPrecondition => "failed precondition",
            Self::ResourceExhausted => "resource exhausted",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Stuck => "stuck",
            Self::Internal => "internal error",
        })
    }
}

/// Whether the same call can succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It will fail again.
    No,
    /// It may succeed later; retry with back-off.
    Later,
}

/// One refused field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Name of the field as the caller wrote it (`net0`, `spec.memory.size`).
    pub field: String,
    /// What is wrong with the value and what is allowed.
    pub reason: String,
}

/// The boundary error. `Display` is one line and never repeats its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// The operation that failed, in words of the port (`volume.create`).
    pub op: String,
    /// What it failed on (`local:100/vm-100-disk-0.qcow2`, `vm 100`), empty if nothing in particular.
    pub subject: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// One line for a human: what happened, and what is allowed or what to do next.
    pub message: String,
    /// Refused fields, for [`ErrorKind::InvalidInput`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// The chain of causes, outermost first, as text: an error crosses processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl Error {
    /// An error of `kind` in operation `op`, with a one-line `message`.
    pub fn new(kind: ErrorKind, op: impl Into<String>, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::Timeout => Retry::Later,
            _ => Retry::No,
        };
        let message = message.into().replace(['\n', '\r'], " ");
        Self { kind, op: op.into(), subject: String::new(), retry, message, fields: Vec::new(), causes: Vec::new() }
    }

    /// The same error, about `subject`.
    #[must_use]
    pub fn on(mut self, subject: impl fmt::Display) -> Self {
        self.subject = subject.to_string();
        self
    }

    /// The same error with its cause chain taken from `source`.
    #[must_use]
    pub fn because(mut self, source: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// The same error, marked as worth (or not worth) a retry.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Refused fields.
    pub fn invalid(op: impl Into<String>, fields: Vec<FieldError>) -> Self {
        let message = match fields.as_slice() {
            [one] => format!("{}: {}", one.field, one.reason),
            many => format!("{} fields were refused", many.len()),
        };
        Self { fields, ..Self::new(ErrorKind::InvalidInput, op, message) }
    }

    /// One refused field.
    pub fn field(op: impl Into<String>, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::invalid(op, vec![FieldError { field: field.into(), reason: reason.into() }])
    }

    /// `subject` does not exist.
    pub fn not_found(op: impl Into<String>, subject: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, op, format!("{subject} does not exist")).on(subject)
    }

    /// `subject` exists already.
    pub fn already_exists(op: impl Into<String>, subject: impl fmt::Display) -> Self {
        Self::new(ErrorKind::AlreadyExists, op, format!("{subject} already exists")).on(subject)
    }

    /// The backend cannot do it.
    pub fn unsupported(op: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, op, message)
    }

    /// The state of the subject forbids it.
    pub fn precondition(op: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, op, message)
    }

    /// A defect.
    pub fn internal(op: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, op, message)
    }

    /// The message with its causes, for logs.
    pub fn report(&self) -> String {
        let mut out = self.message.clone();
        for cause in &self.causes {
            if !out.contains(cause.as_str()) {
                out.push_str(": ");
                out.push_str(cause);
            }
        }
        out
    }
}
