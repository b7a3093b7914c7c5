//! What runs in a guest, played by a test.

use super::host::MemHost;
use super::process::Process;
use crate::error::Result;
use crate::ports::{Exit, LimitSpec, LiveEvent, RunState};
use crate::types::{DiskSlot, MemMib, NicIndex, ResolvedVm, VolumeId};

/// What the guest does when its power button is pressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acpi {
    /// It powers off at once.
    #[default]
    Obeys,
    /// Nothing.
    Ignores,
}

/// What the guest does when its processors are set going for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Boot {
    /// It comes up: writes to its console and starts its agent.
    #[default]
    Up,
    /// Its kernel panics.
    Panics,
    /// It powers off at once.
    PowersOff,
}

/// How a guest behaves by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// At its start.
    pub boot: Boot,
    /// At a press of its power button.
    pub acpi: Acpi,
    /// Has an agent that answers, if the machine has the channel.
    pub agent: bool,
    /// Written to its first serial port when it comes up.
    pub greeting: String,
}

impl Default for Script {
    fn default() -> Self {
        Self { boot: Boot::Up, acpi: Acpi::Obeys, agent: true, greeting: "gpve simulated guest\r\nlogin: ".to_owned() }
    }
}

/// A running guest from inside. Every method panics if the guest is gone: the test played on without noticing.
#[derive(Debug, Clone)]
pub struct MemGuest {
    host: MemHost,
    pid: u32,
}

impl MemGuest {
    pub(super) fn new(host: MemHost, pid: u32) -> Self {
        Self { host, pid }
    }

    /// Its process number on the host.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Changes how it behaves from now on.
    pub fn set_script(&self, script: Script) {
        self.with(|p| p.script = script);
    }

    /// It powers off.
    pub fn power_off(&self) {
        self.with(|p| p.tell(LiveEvent::PoweringOff));
        self.host.state().end(self.pid, Exit::GuestPoweroff);
    }

    /// It resets itself.
    pub fn reset(&self) {
        self.with(|p| p.tell(LiveEvent::Reset));
    }

    /// Its kernel panics.
    pub fn panic(&self) {
        let now = self.host.now();
        self.with(|p| panicked(p, now));
    }

    /// A device fails and halts it.
    pub fn io_error(&self) {
        let now = self.host.now();
        self.with(|p| p.set_state(RunState::IoError, now));
    }

    /// Some of its hardware fails, and it goes on.
    pub fn lose(&self, what: &str) {
        self.with(|p| {
            p.trouble = Some(what.to_owned());
            p.tell(LiveEvent::Lagged);
        });
    }

    /// Its process dies, for a reason in words.
    pub fn crash(&self, reason: &str) {
        self.with(|_| ());
        self.host.state().end(self.pid, Exit::Crashed(reason.to_owned()));
    }

    /// Its agent comes or goes.
    pub fn set_agent(&self, connected: bool) {
        self.with(|p| connect_agent(p, connected));
    }

    /// It writes to a serial port.
    pub fn print(&self, port: u8, text: &str) {
        self.with(|p| {
            if let Some(line) = p.consoles.get_mut(&port) {
                line.guest_writes(text.as_bytes());
            }
        });
    }

    /// What was typed on a serial port.
    pub fn typed(&self, port: u8) -> Vec<u8> {
        self.with(|p| p.consoles.get(&port).map(super::process::Line::input).unwrap_or_default())
    }

    /// It writes to a disk.
    pub fn write(&self, slot: DiskSlot, offset: u64, bytes: &[u8]) -> Result<()> {
        self.host.write(&self.volume(slot), offset, bytes)
    }

    /// It reads from a disk.
    pub fn read(&self, slot: DiskSlot, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.host.read(&self.volume(slot), offset, len)
    }

    /// The hardware that it has now.
    pub fn hardware(&self) -> ResolvedVm {
        self.with(|p| p.vm.clone())
    }

    /// The cable of a card is plugged.
    pub fn link_up(&self, index: NicIndex) -> bool {
        self.with(|p| p.ports.contains_key(&index) && !p.unplugged.contains(&index))
    }

    /// The limits of its process, and the memory that its balloon leaves it.
    pub fn limits(&self) -> (LimitSpec, MemMib) {
        self.with(|p| (p.limits.clone(), p.balloon))
    }

    #[expect(clippy::panic, reason = "documented: the test is wrong")]
    fn volume(&self, slot: DiskSlot) -> VolumeId {
        match self.with(|p| p.volumes.get(&slot).map(|v| v.volume.clone())) {
            Some(volume) => volume,
            None => panic!("the guest has no disk in {slot}"),
        }
    }

    #[expect(clippy::panic, reason = "documented: the test is wrong")]
    fn with<T>(&self, act: impl FnOnce(&mut Process) -> T) -> T {
        match self.host.state().processes.get_mut(&self.pid) {
            Some(process) => act(process),
            None => panic!("the guest with pid {} is gone", self.pid),
        }
    }
}

pub(super) fn panicked(process: &mut Process, now: crate::types::Timestamp) {
    process.set_state(RunState::Panicked, now);
    process.tell(LiveEvent::Panicked);
}

pub(super) fn connect_agent(process: &mut Process, connected: bool) {
    if process.vm.agent.is_some() && process.agent_connected != connected {
        process.agent_connected = connected;
        process.tell(LiveEvent::AgentConnected(connected));
    }
}
