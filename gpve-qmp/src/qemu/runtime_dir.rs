//! A guest's directory of sockets: `ROOT/VMID`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use gpve_core::types::Vmid;
use gpve_exec::Identity;

/// Bytes of QEMU's output that an error quotes: its last message, not its life.
const LOG_TAIL_BYTES: usize = 2_000;

/// The paths of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuntimeDir(PathBuf);

impl RuntimeDir {
    pub(super) fn of(root: &Path, vmid: Vmid) -> Self {
        Self(root.join(vmid.to_string()))
    }

    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn qmp(&self) -> PathBuf {
        self.0.join("qmp")
    }

    pub(super) fn agent(&self) -> PathBuf {
        self.0.join("qga")
    }

    pub(super) fn serial(&self, number: u8) -> PathBuf {
        self.0.join(format!("serial{number}"))
    }

    pub(super) fn vnc(&self) -> PathBuf {
        self.0.join("vnc")
    }

    pub(super) fn pidfile(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// Where the TPM's emulator writes its number.
    pub(super) fn tpm_pidfile(&self) -> PathBuf {
        self.0.join("tpm.pid")
    }

    fn tpm_log(&self) -> PathBuf {
        self.0.join("tpm.log")
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Makes the directory anew, for `identity` alone (and root); what an earlier guest left goes.
    pub(super) fn make(&self, identity: Option<&Identity>) -> io::Result<()> {
        self.remove()?;
        if let Some(root) = self.0.parent() {
            // Guests' users pass through it to their own directory.
            DirBuilder::new().recursive(true).mode(0o711).create(root)?;
        }
        DirBuilder::new().mode(0o700).create(&self.0)?;
        match identity {
            Some(identity) => std::os::unix::fs::chown(&self.0, Some(identity.uid), Some(identity.gid)),
            None => Ok(()),
        }
    }

    /// A socket that listens before QEMU does; only its owner may connect.
    pub(super) fn listen(path: &Path) -> io::Result<OwnedFd> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener.into())
    }

    /// Where QEMU's own messages go.
    pub(super) fn open_log(&self) -> io::Result<File> {
        open_log(&self.log())
    }

    /// Where the messages of the TPM's emulator go.
    pub(super) fn open_tpm_log(&self) -> io::Result<File> {
        open_log(&self.tpm_log())
    }

    /// The end of the emulator's messages on one line.
    pub(super) fn tpm_log_tail(&self) -> String {
        tail_of(&self.tpm_log())
    }

    /// The end of QEMU's messages on one line.
    pub(super) fn log_tail(&self) -> String {
        tail_of(&self.log())
    }

    /// Removes the directory; one that is gone is fine.
    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn tail_of(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    text.lines().map(message).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What a line says, without the program's name and the whole of the option that it is about.
fn message(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix("qemu-system-x86_64: ").unwrap_or(line);
    if line.starts_with("-blockdev {") { line.rsplit_once("}: ").map_or(line, |(_, said)| said) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_without_the_option_it_is_about() {
        assert_eq!(message("qemu-system-x86_64: -blockdev {\"a\":{}}: Failed to get \"write\" lock"), "Failed to get \"write\" lock");
        assert_eq!(message(" Is another process using the image? "), "Is another process using the image?");
    }
}
