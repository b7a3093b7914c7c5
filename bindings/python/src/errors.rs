//! Errors as Python's exceptions: one class for each kind.

use gpve::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyDict};

/// Why work failed: gpve's error, or an exception of the caller's own code.
pub(crate) enum Failure {
    Gpve(Box<Error>),
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Gpve(Box::new(error))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl Failure {
    pub(crate) fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Gpve(error) => exception(py, &error).unwrap_or_else(|e| e),
            Self::Python(error) => error,
        }
    }
}

/// The same, for what fails before any work begins.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| Failure::from(error).into_python(py))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = py.import("gpve._errors")?.getattr(class_of(error.kind))?;
    let fields = error.fields.iter().map(|f| (f.field.as_str(), f.reason.as_str())).into_py_dict(py)?;
    let attributes = PyDict::new(py);
    attributes.set_item("op", &error.op)?;
    attributes.set_item("subject", &error.subject)?;
    attributes.set_item("retry", may_retry(error))?;
    attributes.set_item("fields", fields)?;
    attributes.set_item("causes", &error.causes)?;
    Ok(PyErr::from_value(class.call((&error.message,), Some(&attributes))?))
}

fn may_retry(error: &Error) -> bool {
    match error.retry {
        gpve::Retry::Later => true,
        gpve::Retry::No => false,
    }
}

const fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "InvalidInput",
        ErrorKind::Unauthenticated => "Unauthenticated",
        ErrorKind::PermissionDenied => "PermissionDenied",
        ErrorKind::NotFound => "NotFound",
        ErrorKind::AlreadyExists => "AlreadyExists",
        ErrorKind::Conflict => "Conflict",
        ErrorKind::FailedPrecondition => "PreconditionFailed",
        ErrorKind::ResourceExhausted => "ResourceExhausted",
        ErrorKind::Unsupported => "Unsupported",
        ErrorKind::Unavailable => "Unavailable",
        ErrorKind::Timeout => "Timeout",
        ErrorKind::Cancelled => "Cancelled",
        ErrorKind::Stuck => "Stuck",
        ErrorKind::Internal => "Internal",
    }
}
