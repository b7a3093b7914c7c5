//! From this crate's errors to the one that crosses its boundary.

use std::io;

use gpve_core::error::{Error, ErrorKind};
use gpve_exec::ExecError;

use crate::protocol::error::{ErrorClass, QmpError};

/// What happened to a command, for whoever asked for the operation.
pub(super) fn qmp(op: &str, error: &QmpError) -> Error {
    let kind = match error {
        QmpError::Connect { .. } | QmpError::Closed { .. } => ErrorKind::Unavailable,
        QmpError::Timeout { .. } => ErrorKind::Timeout,
        QmpError::PoolFull { .. } => ErrorKind::ResourceExhausted,
        QmpError::Refused { class: ErrorClass::CommandNotFound | ErrorClass::KvmMissingCap, .. } => ErrorKind::Unsupported,
        QmpError::Refused { class: ErrorClass::DeviceNotFound, .. } => ErrorKind::NotFound,
        QmpError::Refused { .. } => ErrorKind::FailedPrecondition,
        QmpError::Encode { .. } | QmpError::Decode { .. } => ErrorKind::Internal,
    };
    Error::new(kind, op, error.to_string()).because(error)
}

/// A failure of the host's file system.
pub(super) fn io(op: &str, what: impl std::fmt::Display, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::ResourceExhausted,
        io::ErrorKind::AlreadyExists | io::ErrorKind::AddrInUse => ErrorKind::AlreadyExists,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, op, format!("{what}: {error}"))
}

/// A program that could not be started.
pub(super) fn exec(op: &str, error: &ExecError) -> Error {
    let kind = match error {
        ExecError::ToolMissing { .. } => ErrorKind::Unsupported,
        ExecError::BadArgument { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, op, error.to_string()).because(error)
}
