//! What the composition root decides for the driver.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use gpve_core::ports::Clock;
use gpve_core::types::IfName;
use gpve_exec::{Identity, Tools};

/// Opens queues of tap interfaces for guests that may not open them themselves. The adapter of the host's network has
/// the means; the composition root joins the two.
pub trait TapOpener: Send + Sync {
    /// A descriptor for each of the interface's `queues`, at least one.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, interface: &IfName, queues: u8) -> io::Result<Vec<OwnedFd>>;
}

/// Configuration of a [`QemuDriver`](super::driver::QemuDriver).
#[derive(Clone)]
pub struct QemuConfig {
    /// Where each guest has a directory for its sockets, `ROOT/VMID`. Absolute, UTF-8, short (a unix socket's path
    /// holds 107 bytes), gone after a boot (`/run/gpve/qemu`).
    pub runtime_root: PathBuf,
    /// Where the verdict on KVM is remembered.
    pub state_dir: PathBuf,
    /// Whom guests run as; `None` is the daemon's own user, and the only choice unless that is root.
    pub identity: Option<Identity>,
    /// Where programs are.
    pub tools: Tools,
    /// The time that records are stamped with.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for QemuConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QemuConfig")
            .field("runtime_root", &self.runtime_root)
            .field("state_dir", &self.state_dir)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
