//! The [`GuestDriver`] of virtual machines.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{GuestDriver, Live, OpCx, ProcessId, RunRecord, Wired};
use gpve_core::types::{Accel, IfName, MemMib, VmSpec, Vmid};
use gpve_exec::Process;
use tokio::sync::OnceCell;

use super::argv::compose::Facts;
use super::argv::switches::Accelerator;
use super::cgroup::Cgroups;
use super::config::{QemuConfig, TapOpener};
use super::facts;
use super::fault;
use super::live::QemuLive;
use super::monitor::{ConnectionKey, Monitor};
use super::probe::{self, Verdict};
use super::procfs;
use super::record::Detail;
use super::runtime_dir::RuntimeDir;
use super::tpm::{self, Emulator};
use crate::protocol::client::Options;
use crate::protocol::pool::{DEFAULT_MAX_CONNECTIONS, QmpPool};

/// Longest runtime root: with `/999999999/serial3` behind it a unix socket's path has room.
const ROOT_BYTES_MAX: usize = 80;

/// Launches and adopts virtual machines. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct QemuDriver(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) config: QemuConfig,
    pub(super) cgroups: Cgroups,
    pub(super) pool: Arc<QmpPool<ConnectionKey>>,
    verdict: OnceCell<Verdict>,
    facts: OnceCell<Facts>,
    taps: OnceLock<Arc<dyn TapOpener>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).field("cgroups", &self.cgroups).finish_non_exhaustive()
    }
}

impl QemuDriver {
    /// A driver. Touches nothing.
    ///
    /// # Errors
    /// A runtime root that no socket path can begin with, or an identity that this process cannot give.
    pub fn new(config: QemuConfig) -> Result<Self> {
        let root = config.runtime_root.to_str();
        if !root.is_some_and(|root| root.starts_with('/') && root.len() <= ROOT_BYTES_MAX && !root.contains(['\0', '\n', '\r'])) {
            return Err(Error::field("driver.new", "runtime_root", "must be an absolute path in UTF-8 of at most 80 bytes"));
        }
        if config.identity.is_some() && !rustix::process::geteuid().is_root() {
            return Err(Error::field("driver.new", "identity", "only root can run guests as someone else"));
        }
        let pool = Arc::new(QmpPool::new(Options::default(), DEFAULT_MAX_CONNECTIONS));
        Ok(Self(Arc::new(Inner {
            config,
            cgroups: Cgroups::of_host(),
            pool,
            verdict: OnceCell::new(),
            facts: OnceCell::new(),
            taps: OnceLock::new(),
        })))
    }

    /// The same driver, whose guests get their tap interfaces as descriptors from `opener`. Without one QEMU opens
    /// `/dev/net/tun` itself, which its user must be allowed to. The first opener stays.
    #[must_use]
    pub fn with_taps(self, opener: Arc<dyn TapOpener>) -> Self {
        // An opener that is there already stays.
        let _ = self.0.taps.set(opener);
        self
    }

    /// What `auto` means here: found out once, then remembered.
    pub async fn accelerator(&self) -> &Verdict {
        self.0.verdict.get_or_init(|| probe::verdict(&self.0.config)).await
    }
}

impl Inner {
    /// What this host and its QEMU can do: found out once.
    pub(super) async fn facts(&self) -> Result<&Facts> {
        self.facts.get_or_try_init(|| facts::of_host(&self.config)).await
    }

    pub(super) fn dir(&self, vmid: Vmid) -> RuntimeDir {
        RuntimeDir::of(&self.config.runtime_root, vmid)
    }

    fn root(&self) -> &Path {
        &self.config.runtime_root
    }

    pub(super) fn monitor(&self, vmid: Vmid, dir: RuntimeDir, process: Process, tpm: Option<Emulator>) -> Monitor {
        let key = (vmid, process.id().start_time_ticks);
        Monitor::new(process, key, tpm, dir, Arc::clone(&self.pool))
    }

    /// Descriptors for a tap interface's queues, if someone can open them for the guest.
    pub(super) fn open_tap(&self, interface: &IfName, queues: u8) -> io::Result<Option<Vec<OwnedFd>>> {
        self.taps.get().map(|opener| opener.open(interface, queues)).transpose()
    }

    /// Whether a QEMU with the guest's directory runs.
    pub(super) fn is_running(&self, vmid: Vmid) -> bool {
        let pid = std::fs::read_to_string(self.dir(vmid).pidfile()).ok().and_then(|text| text.trim().parse().ok());
        pid.is_some_and(|pid| procfs::guest_of(pid, self.root()) == Some(vmid.to_string()))
    }

    /// Takes up a process that is certainly the record's.
    fn take_up(self: &Arc<Self>, record: &RunRecord, process: Process) -> Result<QemuLive> {
        let detail: Detail = serde_json::from_value(record.detail.clone())
            .map_err(|error| Error::internal("guest.adopt", "the run record's detail cannot be read").because(&error))?;
        let tpm = detail.tpm.as_ref().map(|id| Emulator::adopted(&procfs::from_port(id))).transpose();
        let tpm = tpm.map_err(|error| fault::io("guest.adopt", "the emulator of the guest's TPM", &error))?;
        let monitor = self.monitor(record.vmid, RuntimeDir::at(&*record.runtime_dir), process, tpm);
        Ok(QemuLive::new(record.clone(), detail, monitor, Arc::clone(self), false))
    }

    /// A record for a guest that nobody wrote one for: enough to end it.
    fn stray_record(&self, vmid: Vmid, process: ProcessId) -> Result<RunRecord> {
        let unknown = |error: &dyn std::fmt::Display| Error::internal("guest.strays", error.to_string());
        let memory = MemMib::try_from(16).map_err(|error| unknown(&error))?;
        let vm = VmSpec::of(memory).resolve(vmid, None)?;
        let detail = Detail::of_unknown(vm);
        Ok(RunRecord {
            vmid,
            process,
            started: self.config.clock.now(),
            runtime_dir: self.dir(vmid).path().to_string_lossy().into_owned(),
            ports: Vec::new(),
            detail: serde_json::to_value(detail).map_err(|error| unknown(&error))?,
        })
    }
}

#[async_trait]
impl GuestDriver for QemuDriver {
    fn name(&self) -> &str {
        "qemu"
    }

    async fn launch(&self, cx: &OpCx, guest: Wired) -> Result<Box<dyn Live>> {
        let vmid = guest.vm().vmid;
        let launch = async {
            let accelerator = match guest.vm().accel {
                Accel::Kvm => Accelerator::Kvm,
                Accel::Tcg => Accelerator::Tcg,
                Accel::Auto => {
                    let verdict = self.accelerator().await;
                    cx.log(format!("accelerator {}: {}", verdict.accelerator().as_str(), verdict.reason));
                    verdict.accelerator()
                }
            };
            super::launch::launch(&self.0, cx, guest, accelerator).await
        };
        let live = Box::pin(cx.run("guest.launch", launch)).await.map_err(|error| error.on(vmid))?;
        Ok(Box::new(live))
    }

    async fn adopt(&self, cx: &OpCx, record: &RunRecord) -> Result<Option<Box<dyn Live>>> {
        let opened = Process::open(&procfs::from_port(&record.process));
        let Some(process) = opened.map_err(|error| fault::io("guest.adopt", "the guest's process", &error))? else {
            return Ok(None);
        };
        // The process is the one that was written down; it must also be this guest's QEMU.
        if procfs::guest_of(process.id().pid, self.0.root()) != Some(record.vmid.to_string()) {
            return Ok(None);
        }
        let live = self.0.take_up(record, process).map_err(|error| error.on(record.vmid))?;
        // One that does not answer is adopted all the same: it is there, and may have to be ended.
        if let Err(error) = cx.run("guest.adopt", async { live.refresh().await.map_err(|error| fault::qmp("guest.adopt", &error)) }).await {
            cx.log(format!("warning: guest {} does not answer: {}", record.vmid, error.message));
        }
        Ok(Some(Box::new(live)))
    }

    async fn strays(&self, _cx: &OpCx, known: &[RunRecord]) -> Result<Vec<Box<dyn Live>>> {
        let inner = Arc::clone(&self.0);
        let found = tokio::task::spawn_blocking(move || procfs::guests_below(inner.root())).await;
        let found = found.map_err(|error| Error::internal("guest.strays", error.to_string()))?;
        let found = found.map_err(|error| fault::io("guest.strays", "/proc", &error))?;
        let mut strays: Vec<Box<dyn Live>> = Vec::new();
        for (guest, id) in found {
            let is_known = known.iter().any(|record| record.process == procfs::to_port(&id));
            let Some(vmid) = guest.parse::<Vmid>().ok().filter(|_| !is_known) else { continue };
            let process = Process::open(&id).map_err(|error| fault::io("guest.strays", "a guest's process", &error))?;
            if let Some(process) = process {
                let record = self.0.stray_record(vmid, procfs::to_port(&id))?;
                strays.push(Box::new(self.0.take_up(&record, process)?));
            }
        }
        Ok(strays)
    }

    async fn clean(&self, _cx: &OpCx, vmid: Vmid) -> Result<()> {
        const OP: &str = "guest.clean";
        let inner = Arc::clone(&self.0);
        let still_runs = move || Error::new(ErrorKind::FailedPrecondition, OP, "its QEMU still runs").on(vmid);
        if inner.is_running(vmid) {
            return Err(still_runs());
        }
        let ended = tpm::end_leftover(&inner.dir(vmid)).await;
        ended.map_err(|error| fault::io(OP, "the emulator of the guest's TPM", &error).on(vmid))?;
        let clean = move || {
            if inner.is_running(vmid) {
                return Err(still_runs());
            }
            let dir = inner.dir(vmid);
            dir.remove().map_err(|error| fault::io(OP, dir.path().display(), &error).on(vmid))?;
            inner.cgroups.remove(vmid).map_err(|error| Error::new(ErrorKind::Unavailable, OP, error.to_string()).on(vmid))
        };
        tokio::task::spawn_blocking(clean).await.map_err(|error| Error::internal(OP, error.to_string()))?
    }
}
