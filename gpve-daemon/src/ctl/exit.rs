//! Errors as users see them: what happened, what to do next, and the exit status of the one table.

use std::process::ExitCode;

use gpve_api::error::wire;
use gpve_core::error::{Error, ErrorKind};

/// Prints an error with its fields and a hint; gives its exit status.
pub(super) fn show(e: &Error) -> ExitCode {
    eprintln!("error: {}", e.report());
    if e.fields.len() > 1 {
        for field in &e.fields {
            eprintln!("  {}: {}", field.field, field.reason);
        }
    }
    if let Some(hint) = hint(e.kind) {
        eprintln!("hint:  {hint}");
    }
    ExitCode::from(wire(e.kind).exit)
}

fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unauthenticated => Some("log in with: gpvectl login --server https://HOST:8006"),
        ErrorKind::PermissionDenied => Some("ask the administrator for the privilege, or use another --token"),
        ErrorKind::NotFound => Some("see what there is with: gpvectl vm list --all"),
        ErrorKind::AlreadyExists => Some("choose another name or number, or change the one there is with: gpvectl apply -f FILE"),
        ErrorKind::Conflict => Some("somebody changed it in the meantime: read it again and retry, or apply with --force"),
        ErrorKind::ResourceExhausted => Some("free some space or raise the limit, then retry"),
        ErrorKind::Unavailable => Some("is the server up? check --server, and its /readyz"),
        ErrorKind::Timeout => Some("it may still be done: see gpvectl task list"),
        ErrorKind::Stuck => Some("somebody has to look: the message names the next command"),
        ErrorKind::Internal => Some("this is a defect: please report it with the server's log of this request"),
        ErrorKind::InvalidInput | ErrorKind::FailedPrecondition | ErrorKind::Unsupported | ErrorKind::Cancelled => None,
    }
}
