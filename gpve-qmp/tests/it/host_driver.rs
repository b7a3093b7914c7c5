//! The driver with real QEMUs: the port's own suite, then what only QEMU has.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gpve_core::clock::SystemClock;
use gpve_core::ports::{GuestDriver, Prepared, Wired};
use gpve_core::testing::conformance;
use gpve_core::types::{VmSpec, Vmid};
use gpve_exec::{Identity, Tools};
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;

use crate::real::qemu_or_skip;

/// A driver with a directory of its own.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Guests run as someone else, who must get through to their own directories.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn driver(&self) -> QemuDriver {
        let is_root = rustix::process::geteuid().is_root();
        QemuDriver::new(QemuConfig {
            runtime_root: self.dir.path().join("run"),
            state_dir: self.dir.path().join("state"),
            identity: is_root.then(nobody),
            tools: Tools::system(),
            clock: Arc::new(SystemClock::new()),
        })
        .unwrap()
    }
}

fn nobody() -> Identity {
    Identity { uid: 65_534, gid: 65_534, groups: Vec::new() }
}

/// A machine by its spec in JSON, with nothing to wire.
pub(crate) fn wired(vmid: Vmid, spec: &str) -> Wired {
    let spec: VmSpec = serde_json::from_str(spec).unwrap();
    Prepared::new(spec.resolve(vmid, None).unwrap()).wire(BTreeMap::new(), BTreeMap::new()).unwrap()
}

struct Bare<'a>(&'a Home);

#[async_trait]
impl conformance::GuestFixture for Bare<'_> {
    async fn wired(&self, vmid: Vmid) -> Wired {
        wired(
            vmid,
            r#"{"memory": {"size": "32Mi"}, "machine": {"kind": "q35"}, "accel": "tcg", "vga": "none", "tablet": false,
                "agent": {}, "serials": {"0": "socket"}}"#,
        )
    }

    fn restarted(&self) -> Box<dyn GuestDriver> {
        Box::new(self.0.driver())
    }

    fn obeys_power_button(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_the_promises_of_its_port() {
    if qemu_or_skip("the_driver_keeps_the_promises_of_its_port").is_none() {
        return;
    }
    let home = Home::new();
    conformance::guest(&home.driver(), &Bare(&home)).await;
    assert_eq!(std::fs::read_dir(home.path().join("run")).unwrap().count(), 0, "nothing is left");
}
