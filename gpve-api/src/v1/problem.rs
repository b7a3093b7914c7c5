//! Errors on the wire.

use gpve_core::error::{Error, ErrorKind, FieldError, Retry};
use serde::{Deserialize, Serialize};

use crate::error::{kind_of_code, wire};
use crate::route::{Refused, RouteError};

/// An error as `application/problem+json` (RFC 9457), with what a program needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Status code, as in the status line.
    pub status: u16,
    /// The kind of error, one of a closed set of words: `NotFound`, `Conflict`, …
    pub code: String,
    /// One line for people: what happened, and what is allowed or what to do next.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Refused fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// The request's id, to find it in logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Problem {
    /// Its content type.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// The same problem, to be found in logs under `id`.
    #[must_use]
    pub fn traced(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(id.into());
        self
    }

    /// The error that this tells of.
    pub fn to_error(&self) -> Error {
        let kind = kind_of_code(&self.code).unwrap_or(ErrorKind::Internal);
        let retry = if self.retryable { Retry::Later } else { Retry::No };
        Error { fields: self.fields.clone(), ..Error::new(kind, "api", &self.message).on(&self.subject).retry(retry) }
    }
}

impl From<&Error> for Problem {
    fn from(e: &Error) -> Self {
        let row = wire(e.kind);
        Self {
            status: row.native,
            code: row.code.to_owned(),
            message: e.message.clone(),
            retryable: e.retry == Retry::Later,
            subject: e.subject.clone(),
            fields: e.fields.clone(),
            trace_id: None,
        }
    }
}

impl From<RouteError> for Problem {
    fn from(e: RouteError) -> Self {
        let kind = match e {
            RouteError::NotImplemented { .. } => ErrorKind::NotFound,
            RouteError::UnknownMethod(_) => ErrorKind::Unsupported,
            RouteError::Malformed => ErrorKind::InvalidInput,
        };
        Self::from(&Error::new(kind, "api.route", e.to_string()))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::from(&Error::from(refused))
    }
}
