//! A guest's process.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::guest::Script;
use crate::ports::{AttachedPort, AttachedVolume, Exit, LimitSpec, LiveEvent, ProcessId, RunState, Wired};
use crate::types::{ByteSize, DiskSlot, GuestUsage, MemMib, NicIndex, ResolvedVm, Timestamp, Vmid};

/// A process of the host. Dropped when it ends.
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) vm: ResolvedVm,
    pub(super) volumes: BTreeMap<DiskSlot, AttachedVolume>,
    pub(super) ports: BTreeMap<NicIndex, AttachedPort>,
    pub(super) unplugged: std::collections::BTreeSet<NicIndex>,
    pub(super) limits: LimitSpec,
    pub(super) balloon: MemMib,
    pub(super) state: RunState,
    pub(super) script: Script,
    pub(super) launched: Timestamp,
    /// Time that the processors ran, up to `running_since`.
    pub(super) ran: Duration,
    pub(super) running_since: Option<Timestamp>,
    pub(super) acpi_pressed: bool,
    pub(super) agent_connected: bool,
    /// What of its hardware has failed.
    pub(super) trouble: Option<String>,
    pub(super) programs: BTreeMap<i64, crate::ports::AgentExecStatus>,
    pub(super) consoles: BTreeMap<u8, Line>,
    pub(super) events: broadcast::Sender<LiveEvent>,
    pub(super) exit: watch::Sender<Option<Exit>>,
}

impl Process {
    /// Most events that a listener may be behind; a guest's whole life has about ten.
    const MAX_EVENTS: usize = 64;

    pub(super) fn launch(id: ProcessId, guest: Wired, script: Script, launched: Timestamp) -> Self {
        let vm = guest.vm().clone();
        let consoles = vm.serials.keys().map(|n| (*n, Line::default())).collect();
        Self {
            id,
            volumes: guest.volumes().clone(),
            ports: guest.ports().clone(),
            unplugged: vm.networks.iter().filter(|(_, n)| n.spec.link_down == Some(true)).map(|(i, _)| *i).collect(),
            limits: guest.limits().clone(),
            balloon: vm.memory,
            vm,
            state: RunState::Prelaunch,
            script,
            launched,
            ran: Duration::ZERO,
            running_since: None,
            acpi_pressed: false,
            agent_connected: false,
            trouble: None,
            programs: BTreeMap::new(),
            consoles,
            events: broadcast::Sender::new(Self::MAX_EVENTS),
            exit: watch::Sender::new(None),
        }
    }

    pub(super) fn vmid(&self) -> Vmid {
        self.vm.vmid
    }

    /// Changes the run state and tells, if it is another.
    pub(super) fn set_state(&mut self, state: RunState, now: Timestamp) {
        if self.state == state {
            return;
        }
        if let Some(since) = self.running_since.take() {
            self.ran += now.since(since);
        }
        if state == RunState::Running {
            self.running_since = Some(now);
        }
        self.state = state;
        self.tell(LiveEvent::State(state));
    }

    /// Tells whoever listens; nobody may.
    pub(super) fn tell(&self, event: LiveEvent) {
        let _ = self.events.send(event);
    }

    pub(super) fn end(self, exit: Exit) {
        self.exit.send_replace(Some(exit));
    }

    /// Use since launch, made up from the time that the processors ran so that it differs from guest to guest and
    /// only grows: one core in ten at most, all memory, a little input and output.
    pub(super) fn usage(&self, now: Timestamp) -> GuestUsage {
        if self.state == RunState::Prelaunch {
            return GuestUsage { memory: self.balloon.bytes(), ..GuestUsage::default() };
        }
        let ran = self.ran + self.running_since.map_or(Duration::ZERO, |since| now.since(since));
        let ran_ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        let percent = u64::from(1 + self.vmid().get() % 10) * u64::from(self.vm.cpu.total());
        let running = self.running_since.is_some();
        let bytes = |per_s: u64| ByteSize::from_bytes((ran_ms / 1000).saturating_mul(per_s));
        GuestUsage {
            cpu_time_ms: ran_ms.saturating_mul(percent) / 100,
            cpu_cores: if running { percent as f64 / 100.0 } else { 0.0 },
            memory: self.balloon.bytes(),
            disk_read: bytes(40_960),
            disk_write: bytes(8192),
            net_in: bytes(1500),
            net_out: bytes(900),
        }
    }
}

/// A serial line: what the guest wrote lately, who listens, and what was typed.
pub(super) struct Line {
    kept: VecDeque<u8>,
    listeners: broadcast::Sender<Bytes>,
    typed: VecDeque<u8>,
}

impl Default for Line {
    fn default() -> Self {
        Self { kept: VecDeque::new(), listeners: broadcast::Sender::new(Self::MAX_CHUNKS), typed: VecDeque::new() }
    }
}

impl Line {
    /// Most bytes kept in each direction: some screens of text.
    const MAX_KEPT: usize = 64 * 1024;
    /// Most chunks that a listener may be behind; more is lost, as on a real line without flow control.
    const MAX_CHUNKS: usize = 16;

    /// The guest writes.
    pub(super) fn guest_writes(&mut self, bytes: &[u8]) {
        keep(&mut self.kept, bytes);
        let _ = self.listeners.send(Bytes::copy_from_slice(bytes));
    }

    /// Somebody types; the guest's terminal echoes.
    pub(super) fn typed(&mut self, bytes: &[u8]) {
        keep(&mut self.typed, bytes);
        self.guest_writes(bytes);
    }

    /// What was typed so far.
    pub(super) fn input(&self) -> Vec<u8> {
        self.typed.iter().copied().collect()
    }

    /// What was kept, and what comes.
    pub(super) fn listen(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        (self.kept.iter().copied().collect(), self.listeners.subscribe())
    }
}

fn keep(queue: &mut VecDeque<u8>, bytes: &[u8]) {
    queue.extend(bytes);
    let excess = queue.len().saturating_sub(Line::MAX_KEPT);
    queue.drain(..excess);
}
