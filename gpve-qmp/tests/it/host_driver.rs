//! The driver with real QEMUs: the port's own suite, then what only QEMU has.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gpve_core::clock::SystemClock;
use gpve_core::ports::{AttachedPort, AttachedVolume, BackingFile, GuestDriver, Port, PortAccess, PortId, Prepared, VolumeAccess, Wired};
use gpve_core::testing::conformance;
use gpve_core::types::{DiskFormat, NicIndex, VmSpec, Vmid, VolumeId};
use gpve_exec::{Identity, Signal, Tools};
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

    pub(crate) fn config(&self) -> QemuConfig {
        let is_root = rustix::process::geteuid().is_root();
        QemuConfig {
            runtime_root: self.dir.path().join("run"),
            state_dir: self.dir.path().join("state"),
            identity: is_root.then(nobody),
            tools: Tools::system(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    pub(crate) fn driver(&self) -> QemuDriver {
        QemuDriver::new(self.config()).unwrap()
    }
}

impl Drop for Home {
    /// Ends what a failed test left running.
    fn drop(&mut self) {
        let guests = std::fs::read_dir(self.dir.path().join("run")).into_iter().flatten().flatten();
        for pidfile in guests.map(|guest| guest.path().join("pid")) {
            let Ok(Ok(pid)) = std::fs::read_to_string(&pidfile).map(|text| text.trim().parse::<i32>()) else { continue };
            let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| cmdline.contains(pidfile.to_str().unwrap())) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn nobody() -> Identity {
    Identity { uid: 65_534, gid: 65_534, groups: Vec::new() }
}

/// A machine by its spec in JSON: its disks in files below `images`, its cards on user networking.
pub(crate) fn wired(vmid: Vmid, spec: &str, images: &Path) -> Wired {
    let spec: VmSpec = serde_json::from_str(spec).unwrap();
    let vm = spec.resolve(vmid, None).unwrap();
    let volumes = vm.disks.iter().filter_map(|(slot, disk)| Some((*slot, volume(disk.volume.as_ref()?, images))));
    let volumes = volumes.collect();
    let ports = vm.networks.keys().map(|nic| (*nic, user_port(vmid, *nic))).collect();
    Prepared::new(vm).wire(volumes, ports).unwrap()
}

/// A volume as the file of its name's last part; `NAME.qcow2+BASE.raw` is a linked clone of `BASE.raw`.
pub(crate) fn volume(volume: &VolumeId, images: &Path) -> AttachedVolume {
    let name = volume.name().to_string();
    let mut layers = name.rsplit('/').next().unwrap().split('+').map(|file| images.join(file));
    let format = |path: &Path| if path.extension().is_some_and(|e| e == "qcow2") { DiskFormat::Qcow2 } else { DiskFormat::Raw };
    let path = layers.next().unwrap();
    let backing = layers.map(|path| BackingFile { format: format(&path), path }).collect();
    let access = VolumeAccess::File { format: format(&path), path, read_only: false, backing };
    AttachedVolume { volume: volume.clone(), access }
}

pub(crate) fn user_port(vmid: Vmid, nic: NicIndex) -> AttachedPort {
    AttachedPort { port: Port { id: PortId { vmid, nic }, access: PortAccess::User, mtu: None, up: true } }
}

struct Bare<'a>(&'a Home);

#[async_trait]
impl conformance::GuestFixture for Bare<'_> {
    async fn wired(&self, vmid: Vmid) -> Wired {
        wired(
            vmid,
            r#"{"memory": {"size": "32Mi"}, "machine": {"kind": "q35"}, "accel": "tcg", "vga": "none", "tablet": false,
                "agent": {}, "serials": {"0": "socket"}}"#,
            self.0.path(),
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
