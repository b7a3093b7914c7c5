//! A cloud image with cloud-init: import the image, tell it its name, user and address, boot it, and see what it reads.
//!
//! `GPVE_GUEST=DIR cargo run -p gpve-examples --example cloud_image`, where DIR holds `guest.raw`, a bootable disk, as
//! `cargo xtask guest-image` makes it; needs `qemu-img`. A distribution's cloud image, which has cloud-init, acts on the drive; this
//! small one only shows it. Prints:
//!
//! ```text
//! made demo: virtio0 local:100/vm-100-disk-0.qcow2, ide2 local:100/vm-100-cloudinit.qcow2
//! gpve-guest up …
//! hostname: "demo"
//! fqdn: "demo.example.com"
//! user: "admin"
//! address: "192.168.1.100"
//! demo is gone
//! ```
use std::path::PathBuf;

use gpve::{ByteStream, Local};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(guest) = std::env::var_os("GPVE_GUEST").map(PathBuf::from) else {
        println!("SKIP cloud_image: GPVE_GUEST names no guest image");
        return Ok(());
    };
    let work = tempfile::tempdir()?;
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let local = Local::builder(work.path()).open().await?;
    let machines = local.client().virtual_machines("default");
    let import = json!({ "storage": "local", "from": { "file": guest.join("guest.raw") }, "sourceFormat": "raw" });
    let machine = json!({ "metadata": { "name": "demo" }, "spec": {
        "memory": { "size": "128Mi" },
        "disks": [
            { "name": "virtio0", "source": { "import": import } },
            { "name": "ide2", "source": { "cloudInit": { "storage": "local" } }, "media": "cdrom" },
        ],
        "networks": [{ "name": "net0", "macAddress": "02:67:70:00:00:01" }],
        "serials": { "0": "socket" },
        "boot": ["virtio0"],
        "cloudInit": {
            "user": "admin", "password": "hashed before it is stored", "sshKeys": "ssh-ed25519 AAAA admin@home",
            "searchDomain": "example.com", "addresses": { "0": { "ip": "192.168.1.100/24", "gateway": "192.168.1.1" } },
        },
    } });
    machines.create(&machine).await?.job.await?;
    let disks = machines.get("demo").await?.spec.vm.disks;
    let volume = |slot: &str| Some(disks.get(&slot.parse().ok()?)?.volume()?.to_string());
    println!("made demo: virtio0 {}, ide2 {}", volume("virtio0").ok_or("no disk")?, volume("ide2").ok_or("no drive")?);

    machines.start("demo").await?.await?;
    let mut console = machines.console("demo", 0).await?;
    let up = read_until(&mut *console, "gpve-guest up").await?;
    println!("{}", up.lines().find(|l| l.starts_with("gpve-guest up")).unwrap_or_default());
    let read = "stty -echo; modprobe -a sr_mod isofs; mount -r $(findfs LABEL=cidata) /tmp; cat /tmp/user-data /tmp/network-config; echo the-\"end\"\n";
    console.write(read.into()).await?;
    let files = read_until(&mut *console, "the-end").await?;
    for line in files.lines().map(str::trim) {
        if ["hostname: ", "fqdn: ", "user: ", "address: "].iter().any(|key| line.starts_with(key)) {
            println!("{line}");
        }
    }
    machines.delete("demo", true).await?.await?;
    println!("demo is gone");
    local.close().await;
    Ok(())
}

/// What the console says, to the end of the line with `text` in it.
async fn read_until(console: &mut dyn ByteStream, text: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut seen = String::new();
    while seen.split_once(text).is_none_or(|(_, rest)| !rest.contains('\n')) {
        seen += &String::from_utf8_lossy(&console.read().await?.ok_or("the console closed")?);
    }
    Ok(seen)
}
