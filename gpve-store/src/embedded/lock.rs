//! One process has the store open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use gpve_core::ports::StoreError;

use super::error::explain_io;

/// Held as long as the store is open; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = beside(path, "-lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut file = opened.map_err(|e| explain_io(path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file)),
            Err(TryLockError::Error(e)) => return Err(explain_io(path, &e)),
        }
        // Only for the message of whoever is refused: a full disk is no reason not to open.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: a process that is just being started holds a copy of the descriptor until it runs.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the store's lock stays until the process ends");
        }
    }
}

/// A file of the store that lies beside it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn in_use(path: &Path, file: &mut File) -> StoreError {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut pid));
    let by = if read.is_ok() && !pid.is_empty() { format!("process {pid}") } else { "another process".to_owned() };
    StoreError::Unavailable(format!("{} is already open in {by}: stop it, or use another path", path.display()))
}
