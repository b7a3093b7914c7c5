//! A guest driver written outside gpve's tree: a guest is a plain process.
//!
//! Of gpve's crates it depends on `gpve-core` alone. What a driver owes its engine is all here, with the smallest thing that can be a
//! guest: the process is halted before the first instruction of its program, outlives the daemon, is found again by number *and* start
//! time, and leaves nothing behind. `tests/conformance.rs` proves it with gpve's own suite.
//!
//! | a guest's | is the process's |
//! | --- | --- |
//! | power button | SIGTERM |
//! | reset | SIGHUP |
//! | pause, resume | SIGSTOP, SIGCONT |
//! | memory | address space (`ulimit -v`) |
//!
//! Disks, cards, consoles and an agent are not to be had; a machine that has some is refused by name of the field. Processors are those of
//! the host, shared.

mod live;
mod process;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gpve_core::async_trait;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{Clock, GuestDriver, Live, OpCx, RunRecord, Wired};
use gpve_core::types::Vmid;
use rustix::process::Signal;
use tokio::process::Command;

use live::Guest;
use process::{Process, Stat};

/// What the shell does that becomes the guest: limits itself, is deaf to resets until the program listens, and stops.
const HALTED: &str = r#"ulimit -v "$1" && shift && trap "" HUP && kill -STOP $$ && exec "$@""#;
/// In the environment of every guest: its directory. It tells strays from other people's processes.
const MARK: &str = "GPVE_GUEST_DIRECTORY";
/// Between two looks at a process: the kernel tells only its parent when it stops.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Launches one program as many guests.
#[derive(Clone)]
pub struct ProcessDriver {
    runtime_root: PathBuf,
    program: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl ProcessDriver {
    /// Guests run `program`, an absolute path with arguments; each has a directory below `runtime_root`, which is the driver's alone and is
    /// gone after a boot (`/run/…`).
    pub fn new(runtime_root: impl Into<PathBuf>, program: Vec<String>, clock: Arc<dyn Clock>) -> Self {
        Self { runtime_root: runtime_root.into(), program, clock }
    }

    async fn start(&self, vmid: Vmid, memory_kib: u64) -> Result<Guest> {
        const OP: &str = "guest.launch";
        if self.running()?.iter().any(|(there, _)| *there == vmid) {
            return Err(Error::already_exists(OP, format!("process of vm {vmid}")));
        }
        let directory = self.directory(vmid);
        self.clear(vmid).and_then(|()| fs::create_dir_all(&directory)).map_err(|e| failed(OP, &e))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", HALTED, "guest", &memory_kib.to_string()]).args(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env(MARK, &directory);
        // Its own group, so that what ends the daemon at a terminal does not end its guests.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // The runtime reaps the child; all else is done by number and start time, as after a restart.
        let child = command.spawn().map_err(|e| failed(OP, &e))?;
        let process = child.id().map(Process::with_number).transpose().map_err(|e| failed(OP, &e))?.flatten();
        let unfinished = Unfinished(process);
        let ended = || Error::internal(OP, "the process ended before it was halted").on(vmid);
        let halted = || unfinished.0.as_ref().and_then(Process::stat).map(|s| s.stopped).ok_or_else(ended);
        until(halted).await?;
        let process = unfinished.finish().ok_or_else(ended)?;
        Ok(self.guest(vmid, process))
    }

    fn guest(&self, vmid: Vmid, process: Process) -> Guest {
        let record = RunRecord {
            vmid,
            process: process.id().clone(),
            started: self.clock.now(),
            runtime_dir: self.directory(vmid).to_string_lossy().into_owned(),
            ports: Vec::new(),
            detail: Default::default(),
        };
        Guest::new(record, process)
    }

    /// Every guest of this driver that runs on this host. Costs a look at every process.
    fn running(&self) -> Result<Vec<(Vmid, Process)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(|e| failed("guest.list", &e))? {
            let name = entry.map_err(|e| failed("guest.list", &e))?.file_name();
            let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let Some(vmid) = self.owner(pid) else { continue };
            if let Some(process) = Process::with_number(pid).map_err(|e| failed("guest.list", &e))? {
                found.push((vmid, process));
            }
        }
        Ok(found)
    }

    /// The guest that a process is. Children of a guest inherit its mark but do not lead its group.
    fn owner(&self, pid: u32) -> Option<Vmid> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mark = format!("{MARK}={}/", self.runtime_root.display());
        let marked = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(mark.as_bytes()))?;
        let vmid = std::str::from_utf8(marked).ok()?.parse().ok()?;
        (Stat::of(pid)?.group == pid).then_some(vmid)
    }

    fn directory(&self, vmid: Vmid) -> PathBuf {
        self.runtime_root.join(vmid.to_string())
    }

    fn clear(&self, vmid: Vmid) -> io::Result<()> {
        match fs::remove_dir_all(self.directory(vmid)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl GuestDriver for ProcessDriver {
    fn name(&self) -> &str {
        "process"
    }

    async fn launch(&self, cx: &OpCx, guest: Wired) -> Result<Box<dyn Live>> {
        let vmid = guest.vm().vmid;
        check(&guest)?;
        let memory_kib = u64::from(guest.vm().memory.get()) * 1024;
        match cx.run("guest.launch", self.start(vmid, memory_kib)).await {
            Ok(guest) => Ok(Box::new(guest)),
            Err(e) => Err(e.on(vmid)),
        }
    }

    async fn adopt(&self, _cx: &OpCx, record: &RunRecord) -> Result<Option<Box<dyn Live>>> {
        let process = Process::open(&record.process).map_err(|e| failed("guest.adopt", &e))?;
        Ok(process.map(|p| Box::new(Guest::new(record.clone(), p)) as Box<dyn Live>))
    }

    async fn strays(&self, _cx: &OpCx, known: &[RunRecord]) -> Result<Vec<Box<dyn Live>>> {
        let unknown = |process: &Process| known.iter().all(|record| record.process != *process.id());
        let strays = self.running()?.into_iter().filter(|(_, process)| unknown(process));
        Ok(strays.map(|(vmid, process)| Box::new(self.guest(vmid, process)) as Box<dyn Live>).collect())
    }

    async fn clean(&self, _cx: &OpCx, vmid: Vmid) -> Result<()> {
        self.clear(vmid).map_err(|e| failed("guest.clean", &e).on(vmid))
    }
}

/// A process whose launch is not finished; it does not outlive a launch that fails or is dropped.
struct Unfinished(Option<Process>);

impl Unfinished {
    fn finish(mut self) -> Option<Process> {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            // It is this driver's own child: the only reason to fail is that it is gone.
            let _ = process.signal(Signal::KILL);
        }
    }
}

/// A machine asks for nothing that a process does not have.
fn check(guest: &Wired) -> Result<()> {
    let vm = guest.vm();
    let asked = [
        ("disks", !vm.disks.is_empty()),
        ("networks", !vm.networks.is_empty()),
        ("serials", !vm.serials.is_empty()),
        ("agent", vm.agent.is_some()),
        ("cpu.limit", guest.limits().cpu_milli.is_some()),
        ("cpu.units", guest.limits().cpu_units.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(Error::unsupported("guest.launch", format!("{field}: a process has none")).on(vm.vmid)),
        None => Ok(()),
    }
}

/// Looks until it is so. Cancel safe; put a deadline around it.
async fn until(so: impl Fn() -> Result<bool>) -> Result<()> {
    while !so()? {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

fn failed(op: &str, error: &io::Error) -> Error {
    Error::internal(op, error.to_string())
}
