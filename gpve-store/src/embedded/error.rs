//! What SQLite's and the system's errors mean to whoever has to act on them.

use std::io::ErrorKind as IoKind;
use std::path::Path;

use gpve_core::ports::StoreError;
use rusqlite::ErrorCode;
use rustix::fs::StatVfsMountFlags;

/// What SQLite needs beside a store to open it: the index of its log.
const LEAST_SPACE_BYTES: u64 = 64 * 1024;

/// What `error` means for the store at `path`.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let shown = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull(shown),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(shown),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => corrupt(path, error),
        // SQLite does not say why a file could not be opened or written; the system does.
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => match probe(path) {
            Some(found) => found,
            None => StoreError::Unavailable(format!("{shown}: {error}")),
        },
        Some(_) => StoreError::Unavailable(format!("{shown}: {error}")),
        // Not SQLite's error but a column that does not hold what it should.
        None => corrupt(path, error),
    }
}

/// What a system error means for the store at `path`.
pub(super) fn explain_io(path: &Path, error: &std::io::Error) -> StoreError {
    let shown = path.display().to_string();
    match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded => StoreError::DiskFull(shown),
        IoKind::ReadOnlyFilesystem | IoKind::PermissionDenied => StoreError::ReadOnly(shown),
        IoKind::NotFound => StoreError::Unavailable(format!("{shown}: its directory does not exist: make it first")),
        _ => StoreError::Unavailable(format!("{shown}: {error}")),
    }
}

/// The directory the store lies in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn corrupt(path: &Path, error: &rusqlite::Error) -> StoreError {
    StoreError::Corrupt { path: path.display().to_string(), detail: error.to_string() }
}

/// Asks the system what keeps the store's files from being written.
fn probe(path: &Path) -> Option<StoreError> {
    let shown = path.display().to_string();
    if let Ok(space) = rustix::fs::statvfs(directory(path)) {
        if space.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Some(StoreError::ReadOnly(shown));
        }
        if space.f_bavail.saturating_mul(space.f_frsize) < LEAST_SPACE_BYTES {
            return Some(StoreError::DiskFull(shown));
        }
    }
    let files = [path.to_owned(), super::lock::beside(path, "-wal"), super::lock::beside(path, "-lock")];
    files.iter().find_map(|file| match std::fs::OpenOptions::new().write(true).open(file) {
        Err(e) if e.kind() != IoKind::NotFound => Some(explain_io(path, &e)),
        _ => None,
    })
}
