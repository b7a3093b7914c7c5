//! Errors as C sees them.

use std::ffi::{CString, c_char};

use engine::{Error, ErrorKind, Retry};

use crate::raw::{self, Mark};

/// What a function came to: 0, or the kind of its error.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum gpve_status {
    /// It succeeded.
    Ok = 0,
    /// An argument or a field of a document is malformed or out of range; the error's `fields` names each.
    InvalidInput = 1,
    /// The caller did not prove who it is.
    Unauthenticated = 2,
    /// The caller is known and may not do this.
    PermissionDenied = 3,
    /// The subject does not exist.
    NotFound = 4,
    /// The subject exists already.
    AlreadyExists = 5,
    /// Somebody changed the subject in between, or a watch's history is gone.
    Conflict = 6,
    /// The subject is in a state that does not allow it, or its task failed and was undone.
    FailedPrecondition = 7,
    /// A limit, quota or the space on a device is used up.
    ResourceExhausted = 8,
    /// This host or version cannot do it.
    Unsupported = 9,
    /// A part needed for it does not answer now.
    Unavailable = 10,
    /// The time passed first.
    Timeout = 11,
    /// It was cancelled.
    Cancelled = 12,
    /// It failed and could not be undone: somebody has to look; the message names the next command to run.
    Stuck = 13,
    /// A defect of the library or of something it trusts.
    Internal = 14,
}

impl From<ErrorKind> for gpve_status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => Self::InvalidInput,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::FailedPrecondition => Self::FailedPrecondition,
            ErrorKind::ResourceExhausted => Self::ResourceExhausted,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Stuck => Self::Stuck,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

/// Why a function failed. Freed by gpve_error_free, with its texts; never NULL in any of them.
#[repr(C)]
#[derive(Debug)]
pub struct gpve_error {
    /// What kind of failure; the same as the function gave.
    pub kind: gpve_status,
    /// Whether the same call can succeed later without anybody changing anything.
    pub retry: bool,
    /// One line for a human: what happened, and what is allowed or what to do next.
    pub message: *const c_char,
    /// The operation that failed ("volume.create"), or the function, if its arguments were refused.
    pub op: *const c_char,
    /// What it failed on ("vm 100"); empty if nothing in particular.
    pub subject: *const c_char,
    /// Refused fields, as JSON: [{"field": "spec.memory.size", "reason": "…"}].
    pub fields: *const c_char,
    /// The chain of causes, outermost first, as JSON: ["…"].
    pub causes: *const c_char,
}

/// An error with what it points to.
#[repr(C)]
pub(crate) struct Told {
    error: gpve_error,
    mark: Mark,
    _texts: [CString; 5],
}

impl Told {
    pub(crate) const MARK: u64 = u64::from_be_bytes(*b"gpve:err");

    pub(crate) fn of(error: &Error) -> Box<Self> {
        let json = |value: serde_json::Result<String>| raw::c_text(value.unwrap_or_else(|_| "[]".to_owned()));
        let texts = [
            raw::c_text(error.message.clone()),
            raw::c_text(error.op.clone()),
            raw::c_text(error.subject.clone()),
            json(serde_json::to_string(&error.fields)),
            json(serde_json::to_string(&error.causes)),
        ];
        let [message, op, subject, fields, causes] = [0, 1, 2, 3, 4].map(|i: usize| texts[i].as_ptr());
        let (kind, retry) = (error.kind.into(), error.retry == Retry::Later);
        let error = gpve_error { kind, retry, message, op, subject, fields, causes };
        Box::new(Self { error, mark: Mark::new(Self::MARK), _texts: texts })
    }

    pub(crate) const fn shown(&self) -> &gpve_error {
        &self.error
    }

    pub(crate) const fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// The name of a status, such as "not_found"; "unknown" for a number that is none. Belongs to the library. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn gpve_status_name(status: i32) -> *const c_char {
    let name = match status {
        0 => c"ok",
        1 => c"invalid_input",
        2 => c"unauthenticated",
        3 => c"permission_denied",
        4 => c"not_found",
        5 => c"already_exists",
        6 => c"conflict",
        7 => c"failed_precondition",
        8 => c"resource_exhausted",
        9 => c"unsupported",
        10 => c"unavailable",
        11 => c"timeout",
        12 => c"cancelled",
        13 => c"stuck",
        14 => c"internal",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Frees an error; nothing for NULL. Not for the error that a gpve_watch_ended function is given. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_error_free(error: *mut gpve_error) {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free_error(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_number_and_the_name_that_rust_gives_it() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            let status = gpve_status::from(kind) as i32;
            assert_eq!(status, i32::try_from(index).unwrap() + 1);
            // SAFETY: it is a literal.
            let name = unsafe { std::ffi::CStr::from_ptr(gpve_status_name(status)) };
            assert_eq!(serde_json::to_value(kind).unwrap(), name.to_str().unwrap());
        }
    }
}
