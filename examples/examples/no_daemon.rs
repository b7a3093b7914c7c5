//! A virtual machine without any daemon: make a disk, boot a kernel, read its console, power it off, delete the disk.
//!
//! `GPVE_GUEST=DIR cargo run -p gpve-examples --example no_daemon`, where DIR holds `vmlinuz` and `initrd` as
//! `cargo xtask guest-image` makes them. Prints:
//!
//! ```text
//! made demo:100/vm-100-disk-0.qcow2 (64Mi)
//! gpve-guest up …
//! ended: GuestPoweroff
//! ```
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gpve_core::clock::SystemClock;
use gpve_core::ports::{AttachedVolume, ConsoleKind, CreateVolume, GuestDriver, OpCx, Prepared, StoragePlugin, VolumeMode};
use gpve_core::types::{ByteSize, DiskFormat, VmSpec, Vmid};
use gpve_exec::{System, Tools};
use gpve_qmp::qemu::config::QemuConfig;
use gpve_qmp::qemu::driver::QemuDriver;
use gpve_storage::{DirConfig, DirStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(guest) = std::env::var("GPVE_GUEST") else {
        println!("SKIP no_daemon: GPVE_GUEST names no guest image");
        return Ok(());
    };
    let work = tempfile::tempdir()?;
    let cx = OpCx::background().within(Duration::from_secs(120));
    let runner = Arc::new(System::new(Tools::system()));
    let storage = DirStorage::new(DirConfig::new("demo".parse()?, work.path().join("storage")), runner)?;
    let (clock, tools) = (Arc::new(SystemClock::new()), Tools::system());
    let (runtime_root, state_dir) = (work.path().join("run"), work.path().join("state"));
    let driver = QemuDriver::new(QemuConfig { runtime_root, state_dir, identity: None, tools, clock })?;

    let vmid: Vmid = "100".parse()?;
    let name = storage.free_name(&cx, vmid, DiskFormat::Qcow2, &[]).await?;
    let disk = CreateVolume { name: name.clone(), owner: vmid, format: DiskFormat::Qcow2, size: ByteSize::from_mib(64) };
    let volume = storage.create(&cx, &disk).await?.into_inner();
    println!("made {} ({})", volume.id, volume.size);

    let spec: VmSpec = serde_json::from_value(serde_json::json!({
        "memory": { "size": "128Mi" },
        "disks": [{ "name": "virtio0", "source": { "volume": { "volume": volume.id } } }],
        "serials": { "0": "socket" },
        "kernel": {
            "kernel": format!("{guest}/vmlinuz"), "initrd": format!("{guest}/initrd"),
            "cmdline": "console=ttyS0 no_timer_check tsc_early_khz=1000000 lpj=4000000 quiet panic=-1",
        },
    }))?;
    let access = storage.attach(&cx, &name, VolumeMode::Write).await?;
    let volumes = BTreeMap::from([("virtio0".parse()?, AttachedVolume { volume: volume.id, access })]);
    let vm = driver.launch(&cx, Prepared::new(spec.resolve(vmid, None)?).wire(volumes, BTreeMap::new())?).await?;
    let mut console = vm.console().ok_or("no console")?.open(&cx, ConsoleKind::Serial(0)).await?;
    vm.resume(&cx).await?;
    let mut seen = String::new();
    while !seen.lines().any(|l| l.starts_with("gpve-guest up") && seen.ends_with('\n')) {
        seen += &String::from_utf8_lossy(&console.read().await?.ok_or("the console closed")?);
    }
    println!("{}", seen.lines().find(|l| l.starts_with("gpve-guest up")).unwrap_or_default());
    vm.request_shutdown(&cx).await?;
    println!("ended: {:?}", vm.wait().await);
    driver.clean(&cx, vmid).await?;
    storage.delete(&cx, &name).await?;
    Ok(())
}
