//! The emulator of a guest's TPM: swtpm, one beside each QEMU that has one.
//!
//! The two hold the ends of one pair of sockets. So swtpm ends by itself as soon as QEMU does, or never starts, whatever
//! becomes of this process; and nobody else can reach it, for the pair has no name. Its state is a raw volume that is
//! opened here and held under a lock until swtpm ends: no two emulators ever write the same state.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use gpve_core::error::Result;
use gpve_core::ports::VolumeAccess;
use gpve_core::types::{DiskFormat, TpmVersion};
use gpve_exec::{Identity, Launch, Process, ProcessId, Signal, Tool, Tools};
use rustix::fs::{FlockOperation, OFlags, fchown, flock};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Gid, Uid};

use super::argv::refusal::Refusal;
use super::fault;
use super::runtime_dir::RuntimeDir;

const OP: &str = "guest.launch";

/// The setting, by Proxmox VE's name.
const SETTING: &str = "tpmstate0";

/// Under these numbers the emulator finds its state and its connection to QEMU.
const STATE: i32 = 3;
const CHANNEL: i32 = 4;

/// How long the emulator may take to end after QEMU, and again after it was asked to: it writes a few kilobytes.
const END_GRACE: Duration = Duration::from_secs(2);

/// QEMU's end and the emulator's end come together; so long after the one it is no longer that of the other.
const TOGETHER: Duration = Duration::from_secs(3);

/// An emulator that can start: everything that it needs is open.
#[derive(Debug)]
pub(super) struct Prepared {
    version: TpmVersion,
    state: File,
    channel: OwnedFd,
}

impl Prepared {
    /// Opens the state and makes the connection; with it comes QEMU's end.
    pub(super) fn open(
        access: &VolumeAccess,
        version: Option<TpmVersion>,
        identity: Option<&Identity>,
        tools: &Tools,
    ) -> Result<(Self, OwnedFd)> {
        tools.find(Tool::SWTPM).map_err(|error| Refusal::host(SETTING, error.to_string()).into_error(OP))?;
        let state = open_state(access, identity)?;
        let failed = |error: rustix::io::Errno| fault::io(OP, SETTING, &error.into());
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (channel, of_qemu) = pair.map_err(failed)?;
        Ok((Self { version: version.unwrap_or(TpmVersion::V12), state, channel }, of_qemu))
    }

    /// Starts the emulator. Call within a tokio runtime.
    pub(super) fn start(self, dir: &RuntimeDir, identity: Option<&Identity>, tools: &Tools) -> Result<Process> {
        let pid = dir.tpm_pidfile();
        let state = format!("backend-uri=file:///dev/fd/{STATE}");
        let channel = format!("type=unixio,clientfd={CHANNEL}");
        let mut launch = Launch::new(Tool::SWTPM).args(["socket", "--tpmstate", &state, "--ctrl", &channel, "--terminate"]);
        launch = launch.args(["--pid".to_owned(), format!("file={}", pid.display())]);
        if self.version == TpmVersion::V20 {
            launch = launch.args(["--tpm2"]);
        }
        if let Some(identity) = identity {
            launch = launch.identity(identity.clone());
        }
        let log = dir.open_tpm_log().map_err(|error| fault::io(OP, dir.path().display(), &error))?;
        let launch = launch.descriptor(STATE, self.state).descriptor(CHANNEL, self.channel).log(log).directory(dir.path());
        launch.spawn(tools).map_err(|error| fault::exec(OP, &error))
    }
}

/// Opens the state for an emulator that runs as `identity`. It opens the descriptor's name again, which asks for the
/// file's own permissions: so the file becomes its user's.
fn open_state(access: &VolumeAccess, identity: Option<&Identity>) -> Result<File> {
    let refuse = |reason: String| Refusal::host(SETTING, reason).into_error(OP);
    let path = match access {
        VolumeAccess::File { path, format: DiskFormat::Raw, read_only: false, backing } if backing.is_empty() => path,
        VolumeAccess::Block { path, read_only: false } => path,
        VolumeAccess::File { format, .. } if *format != DiskFormat::Raw => {
            return Err(refuse(format!("the state of a TPM must be a raw volume, not {format}")));
        }
        _ => return Err(refuse("the state of a TPM must be a writable volume with a file or device of its own".to_owned())),
    };
    let failed = |error: io::Error| fault::io(OP, format_args!("{SETTING}: {}", path.display()), &error);
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = File::options().read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Err(rustix::io::Errno::WOULDBLOCK) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        return Err(refuse(format!("{} is in use by another program", path.display())));
    }
    if let Some(identity) = identity.filter(|identity| identity.uid != metadata.uid()) {
        let owner = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        fchown(&file, Some(owner.0), Some(owner.1)).map_err(|error| failed(error.into()))?;
    }
    Ok(file)
}

/// The emulator of a guest that runs.
#[derive(Debug)]
pub(super) struct Emulator {
    /// `None` when it had ended before anybody looked.
    process: Option<Process>,
}

impl Emulator {
    /// One that was started just now.
    pub(super) fn started(process: Process) -> Self {
        Self { process: Some(process) }
    }

    /// One that was started earlier, also by another process.
    pub(super) fn adopted(id: &ProcessId) -> io::Result<Self> {
        Process::open(id).map(|process| Self { process })
    }

    /// What is wrong with it while its QEMU runs.
    pub(super) fn trouble(&self) -> Option<String> {
        let runs = self.process.as_ref().is_some_and(Process::is_running);
        (!runs).then(|| format!("{SETTING}: the emulator of its TPM has ended; stop the guest and start it again"))
    }

    /// Waits for its end without its QEMU's; never returns if they end together.
    pub(super) async fn lost(&self, qemu: &Process) {
        if let Some(process) = &self.process {
            // An error means that the reactor is gone, and with it whoever would be told.
            let _ = process.exited().await;
        }
        if tokio::time::timeout(TOGETHER, qemu.exited()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for its end after its QEMU's and helps when it does not end.
    pub(super) async fn end(&self) {
        let Some(process) = &self.process else { return };
        for signal in [Signal::TERM, Signal::KILL] {
            if tokio::time::timeout(END_GRACE, process.exited()).await.is_ok() {
                return;
            }
            if let Err(error) = process.signal(signal) {
                tracing::warn!(%error, "a TPM's emulator cannot be ended");
            }
        }
    }
}

/// Ends the emulator that an earlier life of the guest left in `dir`, if there is one.
pub(super) async fn end_leftover(dir: &RuntimeDir) -> io::Result<()> {
    let pidfile = dir.tpm_pidfile();
    let Some(pid) = std::fs::read_to_string(&pidfile).ok().and_then(|text| text.trim().parse().ok()) else { return Ok(()) };
    if !is_emulator(pid, &pidfile) {
        return Ok(());
    }
    if let Some(id) = ProcessId::of(pid)? {
        Emulator::adopted(&id)?.end().await;
    }
    Ok(())
}

/// Whether the process is the emulator with this pid file.
fn is_emulator(pid: u32, pidfile: &Path) -> bool {
    let Ok(cmdline) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut arguments = cmdline.split(|&byte| byte == 0);
    let program = arguments.next().and_then(|program| std::str::from_utf8(program).ok()).unwrap_or_default();
    let wanted = format!("file={}", pidfile.display());
    program.ends_with("/swtpm") && arguments.any(|argument| argument == wanted.as_bytes())
}
