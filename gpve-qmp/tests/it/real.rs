//! Real QEMUs for tests, or a loud reason why there are none.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where QEMU is, or a `SKIP` line for the test that needs it.
pub(crate) fn qemu_or_skip(test: &str) -> Option<PathBuf> {
    let found = ["/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64"].iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        println!("SKIP {test}: no qemu-system-x86_64 (apt-get install qemu-system-x86)");
    }
    found
}

/// A paused QEMU without devices, killed when dropped.
pub(crate) struct RealQemu {
    child: Child,
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
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { child, dir }
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for RealQemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
