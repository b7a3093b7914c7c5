//! Real QEMUs for tests, or a loud reason why there are none.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where QEMU is, or a `SKIP` line for the test that needs it.
pub(crate) fn qemu_or_skip(test: &str) -> Option<PathBuf> {
    let found = Some(PathBuf::from("/usr/bin/qemu-system-x86_64")).filter(|path| path.exists());
    if found.is_none() {
        println!("SKIP {test}: no qemu-system-x86_64 (apt-get install qemu-system-x86)");
    }
    found
}

/// A process that does not outlive its test.
pub(crate) struct KillOnDrop(pub(crate) Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until QEMU serves a socket, or says how it ended instead.
pub(crate) fn wait_for_socket(qemu: &mut KillOnDrop, socket: &Path) -> Result<(), ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !socket.exists() {
        if let Some(status) = qemu.0.try_wait().unwrap() {
            return Err(status);
        }
        assert!(Instant::now() < deadline, "{} does not appear", socket.display());
        std::thread::yield_now();
    }
    Ok(())
}

/// A paused QEMU without devices, killed when dropped.
pub(crate) struct RealQemu {
    _child: KillOnDrop,
    dir: tempfile::TempDir,
}

impl RealQemu {
    /// Starts one with a QMP socket per name and further arguments.
    pub(crate) fn start(binary: &Path, monitors: &[&str], more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35", "-accel", "tcg"]);
        command.args(["-m", "64"]).args(more);
        for name in monitors {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", dir.path().join(name).display()));
        }
        Self { _child: KillOnDrop(command.stdin(Stdio::null()).spawn().unwrap()), dir }
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
