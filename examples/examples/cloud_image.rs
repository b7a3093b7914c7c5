//! From an image to a running machine: import a disk image into a storage, grow the disk, boot it.
//!
//! `GPVE_GUEST=DIR cargo run -p gpve-examples --example cloud_image`, where DIR holds `guest.raw`, a bootable disk, as
//! `cargo xtask guest-image` makes it; needs `qemu-img`. A distribution's cloud image boots in the same way. What it would read from a
//! cloud-init drive, as its user and keys, comes later: gpve makes no such drives yet. Prints:
//!
//! ```text
//! imported demo:100/vm-100-disk-0.qcow2 (64Mi)
//! grown to 1Gi
//! gpve-guest up …
//! ended: GuestPoweroff
//! ```
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use gpve_core::clock::SystemClock;
use gpve_core::ports::{AttachedVolume, ConsoleKind, GuestDriver, ImportVolume, OpCx, Prepared, StoragePlugin, VolumeAccess, VolumeMode};
use gpve_core::types::{ByteSize, DiskFormat, VmSpec, Vmid};
use gpve_exec::{System, Tools};
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;
use gpve_storage::{DirConfig, DirStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(guest) = std::env::var_os("GPVE_GUEST") else {
        println!("SKIP cloud_image: GPVE_GUEST names no guest image");
        return Ok(());
    };
    let image = PathBuf::from(guest).join("guest.raw");
    let work = tempfile::tempdir()?;
    let cx = OpCx::background().within(Duration::from_secs(300));
    let storage = DirStorage::new(DirConfig::new("demo".parse()?, work.path().join("storage")), Arc::new(System::new(Tools::system())))?;
    let (clock, tools) = (Arc::new(SystemClock::new()), Tools::system());
    let (runtime_root, state_dir) = (work.path().join("run"), work.path().join("state"));
    let driver = QemuDriver::new(QemuConfig { runtime_root, state_dir, identity: None, tools, clock })?;

    // The format is told and never guessed: a guest can write what looks like another into its disk.
    let source = VolumeAccess::File { path: image, format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
    let (owner, format): (Vmid, _) = ("100".parse()?, DiskFormat::Qcow2);
    let name = storage.free_name(&cx, owner, format, &[]).await?;
    let import = ImportVolume { source, snapshot: None, name: name.clone(), owner, format };
    let disk = storage.import().ok_or("no imports here")?.import(&cx, &import).await?.into_inner();
    println!("imported {} ({})", disk.id, disk.size);
    let size = storage.resize().ok_or("no growing here")?.grow(&cx, &name, ByteSize::from_gib(1)).await?;
    println!("grown to {size}");

    let spec: VmSpec = serde_json::from_value(serde_json::json!({
        "memory": { "size": "128Mi" },
        "disks": [{ "name": "virtio0", "source": { "volume": { "volume": disk.id } } }],
        "serials": { "0": "socket" },
        "boot": ["virtio0"],
    }))?;
    let access = storage.attach(&cx, &name, VolumeMode::Write).await?;
    let volumes = BTreeMap::from([("virtio0".parse()?, AttachedVolume { volume: disk.id, access })]);
    let vm = driver.launch(&cx, Prepared::new(spec.resolve(owner, None)?).wire(volumes, BTreeMap::new())?).await?;
    let mut console = vm.console().ok_or("no console")?.open(&cx, ConsoleKind::Serial(0)).await?;
    vm.resume(&cx).await?;
    let mut seen = String::new();
    let up = loop {
        if let Some(line) = seen.lines().find(|l| l.starts_with("gpve-guest up") && seen.ends_with('\n')) {
            break line;
        }
        seen += &String::from_utf8_lossy(&console.read().await?.ok_or("the console closed")?);
    };
    println!("{up}");
    vm.request_shutdown(&cx).await?;
    println!("ended: {:?}", vm.wait().await);
    driver.clean(&cx, owner).await?;
    storage.delete(&cx, &name).await?;
    Ok(())
}
