//! One table from error kinds to what each interface answers.

use gpve_core::error::ErrorKind;

/// What an [`ErrorKind`] is in each interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// Status in the Proxmox VE dialect. Only 400, 401, 403, 500 and 501 occur: clients take any other as success.
    pub pve: u16,
    /// Status in the native dialect.
    pub native: u16,
    /// Word in the native dialect's error body.
    pub code: &'static str,
    /// Exit status of the command-line tool.
    pub exit: u8,
    /// Whether the native dialect's client may try again without being told so by the error itself.
    pub retryable: bool,
}

/// What `kind` is in each interface.
pub const fn wire(kind: ErrorKind) -> Wire {
    const fn row(pve: u16, native: u16, code: &'static str, exit: u8, retryable: bool) -> Wire {
        Wire { pve, native, code, exit, retryable }
    }
    match kind {
        ErrorKind::InvalidInput => row(400, 400, "InvalidInput", 2, false),
        ErrorKind::Unauthenticated => row(401, 401, "Unauthenticated", 3, false),
        ErrorKind::PermissionDenied => row(403, 403, "PermissionDenied", 4, false),
        ErrorKind::NotFound => row(500, 404, "NotFound", 5, false),
        ErrorKind::AlreadyExists => row(500, 409, "AlreadyExists", 6, false),
        ErrorKind::Conflict => row(500, 409, "Conflict", 7, false),
        ErrorKind::FailedPrecondition => row(500, 412, "FailedPrecondition", 8, false),
        ErrorKind::ResourceExhausted => row(500, 507, "ResourceExhausted", 9, false),
        ErrorKind::Unsupported => row(501, 501, "Unsupported", 10, false),
        ErrorKind::Unavailable => row(500, 503, "Unavailable", 11, true),
        ErrorKind::Timeout => row(500, 504, "Timeout", 12, true),
        ErrorKind::Cancelled => row(500, 499, "Cancelled", 13, false),
        ErrorKind::Stuck => row(500, 500, "Stuck", 14, false),
        ErrorKind::Internal => row(500, 500, "Internal", 1, false),
    }
}

/// The kind that a word of the native dialect stands for.
pub fn kind_of_code(code: &str) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| wire(*kind).code == code)
}
