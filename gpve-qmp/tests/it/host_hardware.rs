//! Real QEMUs without a system in them: what they inherit, how they end, and their hardware.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gpve_core::error::ErrorKind;
use gpve_core::ports::{ConsoleKind, Exit, GuestDriver as _, HotplugChange, Live, LiveEvent, OpCx, RunState};
use gpve_core::types::{ByteSize, DiskOptions, DiskSlot, ResolvedDisk, SnapName, Vmid};
use gpve_exec::{Process, ProcessId, Signal};
use serde_json::Value;

use crate::host_driver::{Home, volume, wired};
use crate::real::qemu_or_skip;

const SCSI: &str = r#""memory": {"size": "32Mi"}, "machine": {"kind": "q35"}, "accel": "tcg", "vga": "none", "tablet": false,
    "scsiController": "virtio-scsi-single""#;

fn vmid() -> Vmid {
    Vmid::MIN
}

fn cx() -> OpCx {
    OpCx::background()
}

/// A home with a directory of images that only its owner enters, or a loud skip.
struct Bench {
    home: Home,
    images: PathBuf,
}

impl Bench {
    fn or_skip(test: &str) -> Option<Self> {
        qemu_or_skip(test)?;
        if Command::new("qemu-img").arg("--version").output().is_err() {
            println!("SKIP {test}: no qemu-img (apt-get install qemu-utils)");
            return None;
        }
        let home = Home::new();
        let images = home.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::set_permissions(&images, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Some(Self { home, images })
    }

    fn make(&self, args: &[&str]) {
        let output = self.qemu_img(&[&["create", "-q"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn qemu_img(&self, args: &[&str]) -> std::process::Output {
        Command::new("qemu-img").args(args).current_dir(&self.images).output().unwrap()
    }

    async fn launch(&self, spec: &str) -> Box<dyn Live> {
        let spec = format!("{{{SCSI}{spec}}}");
        self.home.driver().launch(&cx(), wired(vmid(), &spec, &self.images)).await.unwrap()
    }

    async fn end(&self, live: Box<dyn Live>) {
        live.kill(&cx()).await.unwrap();
        assert_eq!(live.wait().await, Exit::Killed);
        self.home.driver().clean(&cx(), vmid()).await.unwrap();
    }
}

fn disk(name: &str, more: &str) -> String {
    format!(r#", "disks": [{{"name": "scsi0", "source": {{"volume": {{"volume": "local:{name}"}}}}{more}}}]"#)
}

fn slot(name: &str) -> DiskSlot {
    name.parse().unwrap()
}

fn proc_file(live: &dyn Live, name: &str) -> PathBuf {
    Path::new("/proc").join(live.record().process.pid.to_string()).join(name)
}

fn status_field(live: &dyn Live, field: &str) -> String {
    let status = std::fs::read_to_string(proc_file(live, "status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_runs_unprivileged_filtered_and_with_nothing_else_open() {
    let Some(bench) = Bench::or_skip("a_guest_runs_unprivileged_filtered_and_with_nothing_else_open") else { return };
    bench.make(&["-f", "raw", "base.raw", "1M"]);
    bench.make(&["-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2"]);
    // Stands for the daemon's own files.
    let own = std::fs::File::open("/etc/hostname").unwrap();
    let live = bench.launch(&disk("top.qcow2+base.raw", "")).await;
    live.resume(&cx()).await.unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(status_field(&*live, "Uid"), "65534");
        assert_eq!(status_field(&*live, "CapEff"), "0000000000000000");
    } else {
        println!("SKIP part of a_guest_runs_unprivileged: only root can run guests as someone else");
    }
    assert_eq!(status_field(&*live, "NoNewPrivs"), "1");
    assert_eq!(status_field(&*live, "Seccomp"), "2", "filtered");
    let open = std::fs::read_dir(proc_file(&*live, "fd")).unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let open: Vec<_> = open.map(|path| path.display().to_string()).collect();
    assert!(open.iter().any(|path| path.ends_with("top.qcow2")) && open.iter().any(|path| path.ends_with("base.raw")), "{open:?}");
    assert!(!open.iter().any(|path| path == "/etc/hostname"), "{open:?}");
    drop(own);
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_in_use_is_not_opened_twice_and_its_guest_runs_on() {
    let Some(bench) = Bench::or_skip("an_image_in_use_is_not_opened_twice_and_its_guest_runs_on") else { return };
    bench.make(&["-f", "qcow2", "disk.qcow2", "1M"]);
    let live = bench.launch(&disk("disk.qcow2", "")).await;
    let other = Vmid::try_from(101).unwrap();
    let spec = format!("{{{SCSI}{}}}", disk("disk.qcow2", ""));
    let Err(error) = bench.home.driver().launch(&cx(), wired(other, &spec, &bench.images)).await else { panic!("launched") };
    assert_eq!(error.kind, ErrorKind::FailedPrecondition, "{error:?}");
    assert!(error.message.contains("lock"), "the message tells why: {}", error.message);
    assert!(!bench.home.path().join("run/101").exists(), "a failed launch leaves nothing");
    assert_eq!(live.observe(&cx()).await.unwrap().state, RunState::Prelaunch);
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_named_and_nothing_is_left() {
    let Some(bench) = Bench::or_skip("a_missing_image_is_named_and_nothing_is_left") else { return };
    let spec = format!("{{{SCSI}{}}}", disk("gone.qcow2", ""));
    let Err(error) = bench.home.driver().launch(&cx(), wired(vmid(), &spec, &bench.images)).await else { panic!("launched") };
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("scsi0") && error.message.contains("gone.qcow2"), "{}", error.message);
    assert!(!bench.home.path().join("run/100").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_shot_from_outside_has_crashed() {
    let Some(bench) = Bench::or_skip("a_guest_that_is_shot_from_outside_has_crashed") else { return };
    let live = bench.launch("").await;
    let mut events = live.events();
    signal(&*live, Signal::KILL);
    assert_eq!(live.wait().await, Exit::Crashed("QEMU was ended by signal 9".to_owned()));
    while events.next().await.is_some() {}
    bench.home.driver().clean(&cx(), vmid()).await.unwrap();
}

fn signal(live: &dyn Live, signal: Signal) {
    let id = &live.record().process;
    let id = ProcessId { pid: id.pid, start_time_ticks: id.start_ticks, boot_id: id.boot_id.clone() };
    assert!(Process::open(&id).unwrap().unwrap().signal(signal).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_answer_is_ended_all_the_same() {
    let Some(bench) = Bench::or_skip("a_guest_that_does_not_answer_is_ended_all_the_same") else { return };
    let live = bench.launch("").await;
    signal(&*live, Signal::STOP);
    let late = live.observe(&cx().within(Duration::from_millis(100))).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Timeout);
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_display_is_reached_through_its_socket() {
    let Some(bench) = Bench::or_skip("the_display_is_reached_through_its_socket") else { return };
    let spec = format!("{{{SCSI}}}").replace(r#""vga": "none""#, r#""vga": "std""#);
    let live = bench.home.driver().launch(&cx(), wired(vmid(), &spec, &bench.images)).await.unwrap();
    let mut display = live.console().unwrap().open(&cx(), ConsoleKind::Vnc).await.unwrap();
    let greeting = display.read().await.unwrap().unwrap();
    assert!(greeting.starts_with(b"RFB 003."), "{greeting:?}");
    bench.end(live).await;
    let live = bench.launch("").await;
    let Err(none) = live.console().unwrap().open(&cx(), ConsoleKind::Vnc).await else { panic!("a display without an adapter") };
    assert_eq!(none.kind, ErrorKind::NotFound);
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_taken_in_the_images_of_a_running_guest() {
    let Some(bench) = Bench::or_skip("snapshots_are_taken_in_the_images_of_a_running_guest") else { return };
    bench.make(&["-f", "qcow2", "disk.qcow2", "1M"]);
    bench.make(&["-f", "raw", "plain.raw", "1M"]);
    let disks = disk("disk.qcow2", "").replace("}]", r#"}, {"name": "scsi1", "source": {"volume": {"volume": "local:plain.raw"}}}]"#);
    let live = bench.launch(&disks).await;
    live.resume(&cx()).await.unwrap();
    let snapshots = live.snapshots().unwrap();
    assert!(snapshots.covers(&[slot("scsi0")]) && !snapshots.covers(&[slot("scsi0"), slot("scsi1")]));
    let (one, two): (SnapName, SnapName) = ("one".parse().unwrap(), "two".parse().unwrap());
    for name in [&one, &one, &two] {
        snapshots.take(&cx(), name, &[slot("scsi0")]).await.unwrap();
    }
    for _ in 0..2 {
        snapshots.delete(&cx(), &one, &[slot("scsi0")]).await.unwrap();
    }
    let refused = snapshots.take(&cx(), &one, &[slot("scsi1")]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    bench.end(live).await;
    let info = bench.qemu_img(&["info", "--output=json", "disk.qcow2"]);
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    let names: Vec<_> = info["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_grow_come_and_go_while_the_guest_runs() {
    let Some(bench) = Bench::or_skip("disks_grow_come_and_go_while_the_guest_runs") else { return };
    bench.make(&["-f", "qcow2", "disk.qcow2", "1M"]);
    bench.make(&["-f", "raw", "base.raw", "1M"]);
    bench.make(&["-f", "qcow2", "-b", "base.raw", "-F", "raw", "more.qcow2"]);
    let live = bench.launch(&disk("disk.qcow2", "")).await;
    live.resume(&cx()).await.unwrap();
    let hotplug = live.hotplug().unwrap();
    let size = ByteSize::from_mib(3);
    for _ in 0..2 {
        hotplug.apply(&cx(), HotplugChange::ResizeDisk { slot: slot("scsi0"), size }).await.unwrap();
    }
    let more = "local:more.qcow2+base.raw".parse().unwrap();
    let options = DiskOptions { iothread: Some(true), ..DiskOptions::default() };
    let resolved = ResolvedDisk { volume: Some(more), host: None, cdrom: false, options };
    let add = || HotplugChange::AddDisk {
        slot: slot("scsi1"),
        disk: Box::new(resolved.clone()),
        volume: volume(resolved.volume.as_ref().unwrap(), &bench.images),
    };
    // Twice round: whatever the first leaves behind is in the way of the second.
    for _ in 0..2 {
        assert!(hotplug.can(&add()));
        hotplug.apply(&cx(), add()).await.unwrap();
        assert!(!hotplug.can(&add()) && live.snapshots().unwrap().covers(&[slot("scsi1")]));
        hotplug.apply(&cx(), HotplugChange::RemoveDisk { slot: slot("scsi1") }).await.unwrap();
        assert!(hotplug.can(&add()));
    }
    hotplug.apply(&cx(), add()).await.unwrap();
    // A daemon that comes later sees the hardware as it is, not as it was launched.
    let record = live.record().clone();
    drop(live);
    let live = bench.home.driver().adopt(&cx(), &record).await.unwrap().unwrap();
    assert!(live.hotplug().unwrap().can(&HotplugChange::RemoveDisk { slot: slot("scsi1") }));
    assert!(live.snapshots().unwrap().covers(&[slot("scsi0"), slot("scsi1")]));
    bench.end(live).await;
    let info: Value = serde_json::from_slice(&bench.qemu_img(&["info", "--output=json", "disk.qcow2"]).stdout).unwrap();
    assert_eq!(info["virtual-size"], size.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cannot_be_added_leaves_the_machine_as_it_was() {
    let Some(bench) = Bench::or_skip("a_disk_that_cannot_be_added_leaves_the_machine_as_it_was") else { return };
    bench.make(&["-f", "qcow2", "disk.qcow2", "1M"]);
    std::fs::write(bench.images.join("text.qcow2"), "no image at all").unwrap();
    let live = bench.launch(&disk("disk.qcow2", "")).await;
    let hotplug = live.hotplug().unwrap();
    let add = |name: &str| {
        let id = format!("local:{name}").parse().unwrap();
        let attached = volume(&id, &bench.images);
        let disk = ResolvedDisk {
            volume: Some(id),
            host: None,
            cdrom: false,
            options: DiskOptions { iothread: Some(true), ..DiskOptions::default() },
        };
        HotplugChange::AddDisk { slot: slot("scsi1"), disk: Box::new(disk), volume: attached }
    };
    let refused = hotplug.apply(&cx(), add("text.qcow2")).await.unwrap_err();
    assert!(refused.message.contains("qcow2"), "{}", refused.message);
    bench.make(&["-f", "qcow2", "good.qcow2", "1M"]);
    hotplug.apply(&cx(), add("good.qcow2")).await.expect("nothing of the failed attempt is in the way");
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_are_changed_and_ejected() {
    let Some(bench) = Bench::or_skip("media_are_changed_and_ejected") else { return };
    bench.make(&["-f", "raw", "one.iso", "1M"]);
    bench.make(&["-f", "raw", "two.iso", "2M"]);
    let live = bench.launch(r#", "disks": [{"name": "ide2", "source": "empty", "media": "cdrom"}]"#).await;
    live.resume(&cx()).await.unwrap();
    let hotplug = live.hotplug().unwrap();
    let medium = |name: Option<&str>| HotplugChange::ChangeMedium {
        slot: slot("ide2"),
        medium: name.map(|name| volume(&format!("local:{name}").parse().unwrap(), &bench.images)),
    };
    for name in [Some("one.iso"), Some("two.iso"), Some("one.iso"), None, None, Some("two.iso")] {
        hotplug.apply(&cx(), medium(name)).await.unwrap_or_else(|error| panic!("{name:?}: {}", error.report()));
        let open = std::fs::read_dir(proc_file(&*live, "fd")).unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        let mut open: Vec<_> =
            open.filter_map(|path| path.file_name()?.to_str().filter(|name| name.ends_with(".iso")).map(str::to_owned)).collect();
        open.dedup();
        assert_eq!(open, name.map(str::to_owned).into_iter().collect::<Vec<_>>());
    }
    bench.end(live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_from_the_first_instruction_and_go_with_the_guest() {
    let Some(bench) = Bench::or_skip("limits_hold_from_the_first_instruction_and_go_with_the_guest") else { return };
    let v1 = Path::new("/sys/fs/cgroup/cpu");
    if !rustix::process::geteuid().is_root() || !v1.join("cgroup.procs").exists() {
        println!("SKIP limits_hold_from_the_first_instruction_and_go_with_the_guest: needs root and cgroup v1");
        return;
    }
    let live = bench.launch(r#", "cpu": {"limit": "0.5", "units": 512}"#).await;
    let group = v1.join("gpve/100");
    let read = |name: &str| std::fs::read_to_string(group.join(name)).unwrap().trim().to_owned();
    assert_eq!((read("cpu.cfs_quota_us"), read("cpu.shares")), ("50000".to_owned(), "512".to_owned()));
    assert!(read("cgroup.procs").lines().any(|pid| pid == live.record().process.pid.to_string()));
    let lift = HotplugChange::CpuLimits { limit: Some("2".parse().unwrap()), units: None };
    live.hotplug().unwrap().apply(&cx(), lift).await.unwrap();
    assert_eq!((read("cpu.cfs_quota_us"), read("cpu.shares")), ("200000".to_owned(), "1024".to_owned()));
    bench.end(live).await;
    assert!(!group.exists(), "the group goes with the guest");
}

/// A multiboot kernel that writes 1 to port 0x505, which is what a panicking Linux does, and halts.
const PANICKING_KERNEL: [u8; 42] = {
    let mut bytes = [0; 42];
    let words: [u32; 8] = [0x1BAD_B002, 0x0001_0000, 0xE451_4FFE, 0x10_0000, 0x10_0000, 0, 0, 0x10_0020];
    let code = [0x66, 0xBA, 0x05, 0x05, 0xB0, 0x01, 0xEE, 0xF4, 0xEB, 0xFD];
    let mut at = 0;
    while at < 42 {
        bytes[at] = if at < 32 { words[at / 4].to_le_bytes()[at % 4] } else { code[at - 32] };
        at += 1;
    }
    bytes
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_heard_and_left_to_the_guest() {
    let Some(bench) = Bench::or_skip("a_panic_is_heard_and_left_to_the_guest") else { return };
    // Readable by its owner only, as the directory is: QEMU gets it all the same.
    let kernel = bench.images.join("kernel");
    std::fs::write(&kernel, PANICKING_KERNEL).unwrap();
    std::fs::set_permissions(&kernel, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let live = bench.launch(&format!(r#", "kernel": {{"kernel": {kernel:?}}}"#)).await;
    let mut events = live.events();
    live.resume(&cx()).await.unwrap();
    while events.next().await.expect("events go on") != LiveEvent::Panicked {}
    assert_eq!(live.observe(&cx()).await.unwrap().state, RunState::Running);
    bench.end(live).await;
}
