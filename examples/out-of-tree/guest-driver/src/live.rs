//! The handle on a guest.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use gpve_core::async_trait;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{Exit, KILL_TIMEOUT, Live, LiveEvent, LiveEvents, LiveStatus, OpCx, RunRecord, RunState};
use gpve_core::types::{ByteSize, GuestUsage};
use rustix::process::Signal;
use tokio::sync::broadcast;

use crate::process::{Process, Stat};
use crate::{HALTED, failed, until};

/// Events that wait for a slow listener; beyond, it is told that it lost some.
const EVENTS_MAX: usize = 64;
/// A file in the guest's directory: what was asked of it last. The kernel tells only a process's parent why it ended, and a guest outlives
/// the daemon that launched it.
const ASKED: &str = "asked";

/// A guest that was launched.
pub(crate) struct Guest {
    record: RunRecord,
    process: Arc<Process>,
    events: broadcast::Sender<LiveEvent>,
    exit: OnceLock<Exit>,
}

impl Guest {
    pub(crate) fn new(record: RunRecord, process: Process) -> Self {
        Self { record, process: Arc::new(process), events: broadcast::Sender::new(EVENTS_MAX), exit: OnceLock::new() }
    }

    fn stat(&self, op: &str) -> Result<Stat> {
        let gone = || Error::precondition(op, "the guest's process is gone").on(self.record.vmid);
        self.process.stat().ok_or_else(gone)
    }

    fn state(&self, stat: &Stat) -> RunState {
        match stat.stopped {
            true if is_halted(self.process.id().pid) => RunState::Prelaunch,
            true => RunState::Paused,
            false => RunState::Running,
        }
    }

    fn signal(&self, op: &str, signal: Signal) -> Result<()> {
        self.stat(op)?;
        self.process.signal(signal).map_err(|e| failed(op, &e).on(self.record.vmid))
    }

    fn ask(&self, op: &str, what: &str, signal: Signal) -> Result<()> {
        self.stat(op)?;
        fs::write(Path::new(&self.record.runtime_dir).join(ASKED), what).map_err(|e| failed(op, &e))?;
        self.signal(op, signal)
    }

    fn tell(&self, event: LiveEvent) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}

/// True before the guest's program runs: the shell that will become it is still there.
fn is_halted(pid: u32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|argument| argument == HALTED.as_bytes())
}

#[async_trait]
impl Live for Guest {
    fn record(&self) -> &RunRecord {
        &self.record
    }

    async fn pause(&self, cx: &OpCx) -> Result<()> {
        if self.stat("guest.pause")?.stopped {
            return Ok(());
        }
        self.signal("guest.pause", Signal::STOP)?;
        cx.run("guest.pause", until(|| Ok(self.stat("guest.pause")?.stopped))).await?;
        self.tell(LiveEvent::State(RunState::Paused));
        Ok(())
    }

    async fn resume(&self, cx: &OpCx) -> Result<()> {
        if !self.stat("guest.resume")?.stopped {
            return Ok(());
        }
        self.signal("guest.resume", Signal::CONT)?;
        cx.run("guest.resume", until(|| Ok(!is_halted(self.process.id().pid)))).await?;
        self.tell(LiveEvent::State(RunState::Running));
        Ok(())
    }

    /// By old custom, a server that is hung up on begins anew. A program that knows nothing of that goes on.
    async fn reset(&self, _cx: &OpCx) -> Result<()> {
        self.signal("guest.reset", Signal::HUP)?;
        self.tell(LiveEvent::Reset);
        Ok(())
    }

    async fn request_shutdown(&self, _cx: &OpCx) -> Result<()> {
        self.ask("guest.request-shutdown", "shutdown", Signal::TERM)
    }

    async fn kill(&self, cx: &OpCx) -> Result<()> {
        if self.process.stat().is_some() {
            self.ask("guest.kill", "kill", Signal::KILL)?;
        }
        let ended = async {
            self.process.ended().await;
            Ok(())
        };
        cx.within(KILL_TIMEOUT).run("guest.kill", ended).await
    }

    async fn wait(&self) -> Exit {
        self.process.ended().await;
        let asked = || fs::read_to_string(Path::new(&self.record.runtime_dir).join(ASKED));
        let exit = self.exit.get_or_init(|| match asked().as_deref() {
            Ok("kill") => Exit::Killed,
            Ok("shutdown") => Exit::GuestPoweroff,
            _ => Exit::Crashed("its process ended without having been asked to".to_owned()),
        });
        exit.clone()
    }

    async fn observe(&self, _cx: &OpCx) -> Result<LiveStatus> {
        let stat = self.stat("guest.observe")?;
        let usage = GuestUsage {
            cpu_time_ms: stat.cpu_ticks * 1000 / rustix::param::clock_ticks_per_second(),
            memory: ByteSize::from_bytes(stat.memory_pages * rustix::param::page_size() as u64),
            ..GuestUsage::default()
        };
        Ok(LiveStatus { state: self.state(&stat), usage, trouble: None })
    }

    fn events(&self) -> Box<dyn LiveEvents> {
        Box::new(Events { events: self.events.subscribe(), process: Arc::clone(&self.process) })
    }
}

struct Events {
    events: broadcast::Receiver<LiveEvent>,
    process: Arc<Process>,
}

#[async_trait]
impl LiveEvents for Events {
    async fn next(&mut self) -> Option<LiveEvent> {
        tokio::select! {
            // What was told before the end is heard before it.
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(LiveEvent::Lagged),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            () = self.process.ended() => None,
        }
    }
}
