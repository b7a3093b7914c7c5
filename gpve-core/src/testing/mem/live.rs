//! The handle on a guest in memory.

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::guest::{Acpi, Boot, connect_agent, panicked};
use super::host::{MemHost, State};
use super::process::Process;
use crate::error::{Error, Result};
use crate::ports::{Agent, Console, Exit, Hotplug, Live, LiveEvent, LiveEvents, LiveSnapshots, LiveStatus, OpCx, RunRecord, RunState};
use crate::types::Timestamp;

/// A [`Live`] over a [`MemHost`].
pub(super) struct MemLive {
    pub(super) host: MemHost,
    record: RunRecord,
    has_agent: bool,
    events: broadcast::Sender<LiveEvent>,
    exit: watch::Receiver<Option<Exit>>,
}

impl MemLive {
    pub(super) fn new(host: MemHost, record: RunRecord, process: &Process) -> Self {
        let has_agent = process.vm.agent.is_some();
        Self { host, record, has_agent, events: process.events.clone(), exit: process.exit.subscribe() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.record.process.pid
    }

    /// Does something to the process as one effect.
    pub(super) async fn act<T>(&self, cx: &OpCx, op: &str, act: impl FnOnce(&mut Process) -> Result<T> + Send) -> Result<T> {
        let pid = self.pid();
        self.host.effect(cx, op, format!("vm {}", self.record.vmid), |state| act(state.process(op, pid)?)).await
    }

    /// Asks the process something.
    pub(super) async fn ask<T>(&self, cx: &OpCx, op: &str, ask: impl FnOnce(&mut Process) -> Result<T> + Send) -> Result<T> {
        self.host.look(cx, op, |state| ask(state.process(op, self.pid())?)).await
    }
}

#[async_trait]
impl Live for MemLive {
    fn record(&self) -> &RunRecord {
        &self.record
    }

    async fn pause(&self, cx: &OpCx) -> Result<()> {
        let now = self.host.now();
        self.act(cx, "guest.pause", |p| {
            if p.state == RunState::Running {
                p.set_state(RunState::Paused, now);
            }
            Ok(())
        })
        .await
    }

    async fn resume(&self, cx: &OpCx) -> Result<()> {
        let (now, pid) = (self.host.now(), self.pid());
        self.host.effect(cx, "guest.resume", format!("vm {}", self.record.vmid), |state| resume(state, pid, now)).await
    }

    async fn reset(&self, cx: &OpCx) -> Result<()> {
        let now = self.host.now();
        self.act(cx, "guest.reset", |p| {
            p.tell(LiveEvent::Reset);
            if p.state == RunState::Panicked {
                p.set_state(RunState::Running, now);
            }
            Ok(())
        })
        .await
    }

    async fn request_shutdown(&self, cx: &OpCx) -> Result<()> {
        let pid = self.pid();
        self.host
            .effect(cx, "guest.request_shutdown", format!("vm {}", self.record.vmid), |state| {
                state.process("guest.request_shutdown", pid)?.acpi_pressed = true;
                react_to_button(state, pid);
                Ok(())
            })
            .await
    }

    async fn kill(&self, cx: &OpCx) -> Result<()> {
        let pid = self.pid();
        self.host
            .effect(cx, "guest.kill", format!("vm {}", self.record.vmid), |state| {
                state.end(pid, Exit::Killed);
                Ok(())
            })
            .await
    }

    async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or(Exit::Killed),
            // The process was dropped without an end: its host is gone.
            Err(_) => Exit::Crashed("the host is gone".to_owned()),
        }
    }

    async fn observe(&self, cx: &OpCx) -> Result<LiveStatus> {
        let now = self.host.now();
        self.ask(cx, "guest.observe", |p| Ok(LiveStatus { state: p.state, usage: p.usage(now), trouble: p.trouble.clone() })).await
    }

    fn events(&self) -> Box<dyn LiveEvents> {
        Box::new(MemEvents { events: self.events.subscribe(), exit: self.exit.clone() })
    }

    fn hotplug(&self) -> Option<&dyn Hotplug> {
        Some(self)
    }

    fn snapshots(&self) -> Option<&dyn LiveSnapshots> {
        Some(self)
    }

    fn agent(&self) -> Option<&dyn Agent> {
        self.has_agent.then_some(self)
    }

    fn console(&self) -> Option<&dyn Console> {
        Some(self)
    }
}

fn resume(state: &mut State, pid: u32, now: Timestamp) -> Result<()> {
    let process = state.process("guest.resume", pid)?;
    match process.state {
        RunState::Running => {}
        RunState::Paused | RunState::IoError => process.set_state(RunState::Running, now),
        RunState::Prelaunch => {
            process.set_state(RunState::Running, now);
            boot(state, pid, now);
        }
        RunState::Panicked | RunState::Suspended | RunState::Shutdown | RunState::Halted => {
            return Err(Error::precondition("guest.resume", "the guest can only be reset or ended"));
        }
    }
    react_to_button(state, pid);
    Ok(())
}

/// The guest's first moments.
fn boot(state: &mut State, pid: u32, now: Timestamp) {
    let Some(process) = state.processes.get_mut(&pid) else { return };
    match process.script.boot {
        Boot::Up => {
            let greeting = process.script.greeting.clone();
            if let Some(line) = process.consoles.values_mut().next() {
                line.guest_writes(greeting.as_bytes());
            }
            let agent = process.script.agent;
            connect_agent(process, agent);
        }
        Boot::Panics => panicked(process, now),
        Boot::PowersOff => {
            process.tell(LiveEvent::PoweringOff);
            state.end(pid, Exit::GuestPoweroff);
        }
    }
}

/// A guest whose processors run looks at its power button.
fn react_to_button(state: &mut State, pid: u32) {
    let Some(process) = state.processes.get_mut(&pid) else { return };
    if !process.acpi_pressed || process.state != RunState::Running {
        return;
    }
    process.acpi_pressed = false;
    if process.script.acpi == Acpi::Obeys {
        process.tell(LiveEvent::PoweringOff);
        state.end(pid, Exit::GuestPoweroff);
    }
}

struct MemEvents {
    events: broadcast::Receiver<LiveEvent>,
    exit: watch::Receiver<Option<Exit>>,
}

#[async_trait]
impl LiveEvents for MemEvents {
    async fn next(&mut self) -> Option<LiveEvent> {
        use broadcast::error::{RecvError, TryRecvError};
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(event),
                Err(RecvError::Lagged(_)) => Some(LiveEvent::Lagged),
                Err(RecvError::Closed) => None,
            },
            _ = self.exit.wait_for(Option::is_some) => match self.events.try_recv() {
                Ok(event) => Some(event),
                Err(TryRecvError::Lagged(_)) => Some(LiveEvent::Lagged),
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            },
        }
    }
}
