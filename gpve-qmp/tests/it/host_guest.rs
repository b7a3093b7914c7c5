//! A real guest with a system in it: the image that `cargo xtask guest` makes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use gpve_core::ports::{
    AgentExec, AgentExecStatus, ByteStream, ConsoleKind, Exit, GuestDriver as _, HotplugChange, Live, LiveEvent, LiveEvents, OpCx,
};
use gpve_core::types::{ByteSize, DiskOptions, NicSpec, ResolvedDisk, ResolvedNic, Vmid};

use crate::host_driver::{Home, user_port, volume, wired};
use crate::real::qemu_or_skip;

/// A guest under emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the guest image is, or a `SKIP` line.
fn image_or_skip(test: &str) -> Option<PathBuf> {
    qemu_or_skip(test)?;
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = [set("GPVE_CACHE"), set("XDG_CACHE_HOME").map(|dir| dir.join("gpve")), set("HOME").map(|dir| dir.join(".cache/gpve"))];
    let found = caches.into_iter().flatten().map(|cache| cache.join("guest/current")).find(|image| image.join("complete").exists());
    if found.is_none() {
        println!("SKIP {test}: no guest image (cargo xtask guest)");
    }
    found
}

fn cx() -> OpCx {
    OpCx::background()
}

struct Booted {
    home: Home,
    live: Box<dyn Live>,
    events: Box<dyn LiveEvents>,
    console: Box<dyn ByteStream>,
    seen: String,
}

impl Booted {
    async fn boot(image: &std::path::Path, more: &str) -> Self {
        let home = Home::new();
        let disk = home.path().join("disk.raw");
        std::fs::File::create(&disk).unwrap().set_len(32 << 20).unwrap();
        let file = |name: &str| serde_json::json!(image.join(name).canonicalize().unwrap());
        let (kernel, initrd) = (file("vmlinuz"), file("initrd"));
        let spec = format!(
            r#"{{"memory": {{"size": "256Mi"}}, "accel": "tcg", "vga": "none", "tablet": false, "osType": "l26", "agent": {{}},
                "serials": {{"0": "socket"}}, "scsiController": "virtio-scsi-single", "rng": {{"source": "/dev/urandom"}},
                "disks": [{{"name": "scsi0", "source": {{"volume": {{"volume": "local:disk.raw"}}}}}}],
                "kernel": {{"kernel": {kernel}, "initrd": {initrd}, "cmdline": "console=ttyS0 no_timer_check panic=-1"}}{more}}}"#
        );
        let live = home.driver().launch(&cx(), wired(Vmid::MIN, &spec, home.path())).await.unwrap();
        let events = live.events();
        let console = live.console().unwrap().open(&cx(), ConsoleKind::Serial(0)).await.unwrap();
        live.resume(&cx()).await.unwrap();
        let mut booted = Self { home, live, events, console, seen: String::new() };
        booted.sees("gpve-guest up").await;
        booted
    }

    /// Reads the console until `text` comes.
    async fn sees(&mut self, text: &str) {
        let read = async {
            while !self.seen.contains(text) {
                let bytes = self.console.read().await.unwrap().expect("the console goes on");
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        let late = tokio::time::timeout(PATIENCE, read).await.is_err();
        assert!(!late, "no {text:?} on the console:\n{}", self.seen);
    }

    async fn types(&mut self, line: &str) {
        self.seen.clear();
        self.console.write(Bytes::from(format!("{line}\n"))).await.unwrap();
    }

    async fn hears(&mut self, wanted: &LiveEvent) {
        let hear = async { while self.events.next().await.expect("events go on") != *wanted {} };
        assert!(tokio::time::timeout(PATIENCE, hear).await.is_ok(), "no {wanted:?}");
    }

    async fn ends(self, exit: Exit) {
        assert_eq!(tokio::time::timeout(PATIENCE, self.live.wait()).await.expect("an end"), exit);
        self.home.driver().clean(&cx(), Vmid::MIN).await.unwrap();
    }

    async fn runs(&self, command: &[&str], input: Option<&[u8]>) -> AgentExecStatus {
        let agent = self.live.agent().unwrap();
        let command = command.iter().map(|&part| part.to_owned()).collect();
        let pid = agent.exec(&cx(), AgentExec { command, input: input.map(<[u8]>::to_vec) }).await.unwrap();
        loop {
            let status = agent.exec_status(&cx(), pid).await.unwrap();
            if status.exited {
                return status;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_boots_answers_and_powers_off_when_asked() {
    let Some(image) = image_or_skip("a_guest_boots_answers_and_powers_off_when_asked") else { return };
    let mut guest = Booted::boot(&image, "").await;
    guest.hears(&LiveEvent::AgentConnected(true)).await;
    let agent = guest.live.agent().unwrap();
    agent.ping(&cx()).await.unwrap();
    let info = agent.query(&cx(), "get-osinfo", BTreeMap::new()).await.unwrap();
    assert!(info["kernel-release"].as_str().is_some_and(|release| !release.is_empty()), "{info}");
    let status = guest.runs(&["/bin/busybox", "cat"], Some(b"through the agent")).await;
    assert_eq!((status.exit_code, status.out_data.as_slice()), (Some(0), &b"through the agent"[..]));
    let usage = guest.live.observe(&cx()).await.unwrap().usage;
    assert!(usage.cpu_time_ms > 100 && usage.memory > ByteSize::from_mib(16) && usage.disk_read > ByteSize::ZERO, "{usage:?}");

    // A second viewer sees what the first saw, and both see the answer to either.
    let mut second = guest.live.console().unwrap().open(&cx(), ConsoleKind::Serial(0)).await.unwrap();
    let kept = second.read().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&kept).contains("gpve-guest up"));
    guest.types("echo $((6 * 7))-answered").await;
    guest.sees("42-answered").await;

    guest.live.request_shutdown(&cx()).await.unwrap();
    guest.hears(&LiveEvent::PoweringOff).await;
    guest.ends(Exit::GuestPoweroff).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_sees_its_hardware_change() {
    let Some(image) = image_or_skip("a_guest_sees_its_hardware_change") else { return };
    let mut guest = Booted::boot(&image, "").await;
    let grow = HotplugChange::ResizeDisk { slot: "scsi0".parse().unwrap(), size: ByteSize::from_mib(48) };
    guest.live.hotplug().unwrap().apply(&cx(), grow).await.unwrap();
    guest.types("cat /sys/block/sda/size; echo grown").await;
    guest.sees("98304").await;

    let more = guest.home.path().join("more.raw");
    std::fs::File::create(more).unwrap().set_len(8 << 20).unwrap();
    let slot = "virtio1".parse().unwrap();
    let id = "local:more.raw".parse().unwrap();
    let attached = volume(&id, guest.home.path());
    let disk = ResolvedDisk { volume: Some(id), host: None, cdrom: false, options: DiskOptions::default() };
    guest.live.hotplug().unwrap().apply(&cx(), HotplugChange::AddDisk { slot, disk: Box::new(disk), volume: attached }).await.unwrap();
    guest.types("until [ -e /sys/block/vda ]; do usleep 1000; done; echo vda=$(cat /sys/block/vda/size)").await;
    guest.sees("vda=16384").await;
    guest.live.hotplug().unwrap().apply(&cx(), HotplugChange::RemoveDisk { slot }).await.unwrap();
    guest.types("until [ ! -e /sys/block/vda ]; do usleep 1000; done; echo vda-is-$(echo gone)").await;
    guest.sees("vda-is-gone").await;

    let index = "net1".parse().unwrap();
    let spec: NicSpec = serde_json::from_str(r#"{"name": "net1", "model": "virtio"}"#).unwrap();
    let nic = ResolvedNic { mac: "BC:24:11:00:00:77".parse().unwrap(), spec };
    let add = HotplugChange::AddNic { index, nic, port: user_port(Vmid::MIN, index) };
    guest.live.hotplug().unwrap().apply(&cx(), add).await.unwrap();
    guest.types("until grep -qi bc:24:11:00:00:77 /sys/class/net/*/address; do usleep 1000; done; echo card-is-$(echo there)").await;
    guest.sees("card-is-there").await;
    for up in [false, true] {
        guest.live.hotplug().unwrap().apply(&cx(), HotplugChange::SetLink { index, up }).await.unwrap();
    }
    guest.live.hotplug().unwrap().apply(&cx(), HotplugChange::RemoveNic { index }).await.unwrap();
    guest.types("until ! grep -qi bc:24:11:00:00:77 /sys/class/net/*/address; do usleep 1000; done; echo card-is-$(echo gone)").await;
    guest.sees("card-is-gone").await;
    guest.live.kill(&cx()).await.unwrap();
    guest.ends(Exit::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_own_reset_and_poweroff_are_heard() {
    let Some(image) = image_or_skip("a_guests_own_reset_and_poweroff_are_heard") else { return };
    let mut guest = Booted::boot(&image, "").await;
    guest.types("reboot -f").await;
    guest.hears(&LiveEvent::Reset).await;
    guest.seen.clear();
    guest.sees("gpve-guest up").await;
    guest.types("poweroff -f").await;
    guest.hears(&LiveEvent::PoweringOff).await;
    guest.ends(Exit::GuestPoweroff).await;
}
