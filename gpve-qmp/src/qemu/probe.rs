//! Whether KVM really runs a 64-bit kernel here.
//!
//! That `/dev/kvm` opens proves little: under nested or partial virtualisation the firmware runs and a kernel hangs, or
//! every instruction is emulated. So a kernel of 360 bytes is booted once and must be done in time; the answer is
//! remembered for this boot, kernel and QEMU.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpve_exec::{Launch, Process, Signal, Status, Tool};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use super::argv::switches::Accelerator;
use super::config::QemuConfig;

/// The kernel: `probe/kernel.s`.
const KERNEL: &[u8] = include_bytes!("probe/kernel.bin");

/// How QEMU ends when the kernel got through.
const PROVEN: i32 = 33;

/// Where KVM works the kernel takes 0.15 s, most of it firmware; on a busy host a few times that.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// The device node.
const KVM_DEVICE: &str = "/dev/kvm";

/// The descriptor that the kernel is inherited under.
const KERNEL_DESCRIPTOR: i32 = 3;

/// What was found, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// KVM ran the kernel.
    pub proven: bool,
    /// One line for people.
    pub reason: String,
}

impl Verdict {
    /// The accelerator for guests that leave the choice to us.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        if self.proven { Accelerator::Kvm } else { Accelerator::Tcg }
    }
}

/// What a remembered verdict is about; any change asks for a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    boot_id: String,
    kernel: String,
    qemu: PathBuf,
    qemu_size: u64,
    qemu_modified_s: i64,
    uid: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    subject: Subject,
    verdict: Verdict,
}

/// The verdict on this host's KVM: the remembered one, else that of a probe, which is then remembered.
///
/// Dropping the future kills the probe.
pub async fn verdict(config: &QemuConfig) -> Verdict {
    if !Path::new(KVM_DEVICE).exists() {
        return Verdict { proven: false, reason: format!("there is no {KVM_DEVICE}") };
    }
    let subject = Subject::of_host(config);
    let file = config.state_dir.join("kvm-probe.json");
    if let Some(subject) = &subject
        && let Some(verdict) = recall(&file, subject)
    {
        return verdict;
    }
    let verdict = probe(config, Accelerator::Kvm).await;
    tracing::info!(proven = verdict.proven, reason = %verdict.reason, "probed KVM");
    if let Some(subject) = subject {
        remember(&file, &Remembered { subject, verdict: verdict.clone() });
    }
    verdict
}

/// Boots the kernel with an accelerator.
pub async fn probe(config: &QemuConfig, accelerator: Accelerator) -> Verdict {
    let failed = |reason: String| Verdict { proven: false, reason };
    let process = match start(config, accelerator) {
        Ok(process) => Killed(process),
        Err(reason) => return failed(reason),
    };
    let name = accelerator.as_str();
    match tokio::time::timeout(PROBE_DEADLINE, process.0.exited()).await {
        Ok(Ok(exit)) if exit.status == Some(Status::Exited(PROVEN)) => {
            Verdict { proven: true, reason: format!("{name} ran a 64-bit kernel") }
        }
        Ok(Ok(exit)) => failed(format!("QEMU could not run a kernel with {name} ({:?})", exit.status)),
        Ok(Err(error)) => failed(format!("the probe was lost: {error}")),
        Err(_) => failed(format!("a kernel did not get through within {PROBE_DEADLINE:?} with {name}")),
    }
}

fn start(config: &QemuConfig, accelerator: Accelerator) -> Result<Process, String> {
    let kernel = kernel_file().map_err(|error| format!("no memory file: {error}"))?;
    let kernel_path = format!("/dev/fd/{KERNEL_DESCRIPTOR}");
    let fixed = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16", "-no-reboot"];
    let exit = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"];
    let mut launch = Launch::new(Tool::QEMU_SYSTEM_X86_64)
        .args(fixed)
        .args(exit)
        .args(["-accel", accelerator.as_str(), "-kernel", &kernel_path])
        .descriptor(KERNEL_DESCRIPTOR, kernel);
    if let Some(identity) = &config.identity {
        launch = launch.identity(identity.clone());
    }
    launch.spawn(&config.tools).map_err(|error| error.to_string())
}

fn kernel_file() -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("gpve-probe", MemfdFlags::CLOEXEC)?);
    file.write_all(KERNEL)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// A probe that does not outlive its caller: under a broken KVM it would run for ever.
struct Killed(Process);

impl Drop for Killed {
    fn drop(&mut self) {
        // Failure means that it has ended.
        let _ = self.0.signal(Signal::KILL);
    }
}

impl Subject {
    fn of_host(config: &QemuConfig) -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let qemu = config.tools.find(Tool::QEMU_SYSTEM_X86_64).ok()?;
        let metadata = std::fs::metadata(&qemu).ok()?;
        Some(Self {
            boot_id: read("/proc/sys/kernel/random/boot_id")?,
            kernel: read("/proc/sys/kernel/osrelease")?,
            qemu,
            qemu_size: metadata.len(),
            qemu_modified_s: metadata.mtime(),
            uid: config.identity.as_ref().map(|identity| identity.uid),
        })
    }
}

/// A file that cannot be read is a verdict that is not there.
fn recall(file: &Path, subject: &Subject) -> Option<Verdict> {
    let remembered: Remembered = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (remembered.subject == *subject).then_some(remembered.verdict)
}

/// Failure costs the next daemon a probe, no more.
fn remember(file: &Path, remembered: &Remembered) {
    let write = || -> std::io::Result<()> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(remembered)?)?;
        std::fs::rename(new, file)
    };
    if let Err(error) = write() {
        tracing::warn!(file = %file.display(), %error, "the verdict on KVM is not remembered");
    }
}
