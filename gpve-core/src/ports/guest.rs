//! The `GuestDriver` port: who launches guests, and the handle on one that runs.
//!
//! Only a wired guest can launch: [`Prepared`] → [`Wired`] → [`Live`] consume each other, so that no process starts
//! before its volumes are attached and its ports exist.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cx::OpCx;
use super::guest_facets::{Agent, Console, Hotplug, LiveSnapshots};
use super::network::{Port, PortId};
use super::storage::VolumeAccess;
use crate::error::{Error, Result};
use crate::types::{DiskSlot, GuestName, GuestPhase, GuestUsage, NicIndex, ResolvedVm, Timestamp, Vmid, VolumeId};

/// Kinds of guests. All share one lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestType {
    /// A virtual machine.
    Vm,
    /// A virtual Kubernetes cluster.
    Vcluster,
}

/// What every guest shows, whatever its type: the cheap view that lists, quotas and schedulers use.
pub trait Guest: Send + Sync {
    /// Its number.
    fn id(&self) -> Vmid;
    /// Its type.
    fn guest_type(&self) -> GuestType;
    /// Its name, if it has one.
    fn name(&self) -> Option<&GuestName>;
    /// Where it is in its life.
    fn phase(&self) -> GuestPhase;
}

/// A volume attached to the host, for one slot of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// Which volume.
    pub volume: VolumeId,
    /// How it is reached.
    pub access: VolumeAccess,
}

/// A port of the host's network, for one card of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedPort {
    /// The port.
    pub port: Port,
}

/// A resolved machine that has neither volumes nor ports yet.
#[derive(Debug, Clone)]
pub struct Prepared {
    vm: ResolvedVm,
    limits: LimitSpec,
}

impl Prepared {
    /// From a resolved machine; its CPU limit and weight become the process's limits.
    pub fn new(vm: ResolvedVm) -> Self {
        let limits = LimitSpec { cpu_milli: vm.cpu.limit.map(|l| l.get().get()), cpu_units: vm.cpu.units, memory_max: None };
        Self { vm, limits }
    }

    /// The machine.
    pub fn vm(&self) -> &ResolvedVm {
        &self.vm
    }

    /// Joins it with what was attached. Every disk with a volume must have its volume and every card its port, no
    /// more and no less.
    pub fn wire(
        self,
        volumes: std::collections::BTreeMap<DiskSlot, AttachedVolume>,
        ports: std::collections::BTreeMap<NicIndex, AttachedPort>,
    ) -> Result<Wired> {
        let wanted: Vec<DiskSlot> = self.vm.disks.iter().filter(|(_, d)| d.volume.is_some()).map(|(s, _)| *s).collect();
        if wanted != volumes.keys().copied().collect::<Vec<_>>() {
            return Err(Error::internal("guest.wire", "attached volumes are not those of the machine").on(self.vm.vmid));
        }
        if !self.vm.networks.keys().eq(ports.keys()) {
            return Err(Error::internal("guest.wire", "attached ports are not those of the machine").on(self.vm.vmid));
        }
        Ok(Wired { vm: self.vm, volumes, ports, limits: self.limits })
    }
}

/// A machine with everything that it needs to launch. Only [`Prepared::wire`] makes one.
#[derive(Debug, Clone)]
pub struct Wired {
    vm: ResolvedVm,
    volumes: std::collections::BTreeMap<DiskSlot, AttachedVolume>,
    ports: std::collections::BTreeMap<NicIndex, AttachedPort>,
    limits: LimitSpec,
}

impl Wired {
    /// The machine.
    pub fn vm(&self) -> &ResolvedVm {
        &self.vm
    }

    /// The volume in each slot.
    pub fn volumes(&self) -> &std::collections::BTreeMap<DiskSlot, AttachedVolume> {
        &self.volumes
    }

    /// The port of each card.
    pub fn ports(&self) -> &std::collections::BTreeMap<NicIndex, AttachedPort> {
        &self.ports
    }

    /// Limits of the process.
    pub fn limits(&self) -> &LimitSpec {
        &self.limits
    }
}

/// Limits of a guest's process, applied before its first instruction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSpec {
    /// CPU time per second in thousandths of a core.
    pub cpu_milli: Option<u32>,
    /// Relative CPU weight (cgroup v1 shares scale: 1024 is normal).
    pub cpu_units: Option<u32>,
    /// Host memory in bytes; absent means no limit.
    pub memory_max: Option<u64>,
}

/// A process that cannot be mistaken for another: its number, when it started (clock ticks after boot, field 22 of
/// `/proc/PID/stat`) and which boot that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process number.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's boot id.
    pub boot_id: String,
}

/// What a node writes down of a launched guest, enough to find it again after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The guest.
    pub vmid: Vmid,
    /// Its process.
    pub process: ProcessId,
    /// When it was launched.
    pub started: Timestamp,
    /// Where its sockets are; the driver's own layout.
    pub runtime_dir: String,
    /// Ports it uses, to be taken down after it.
    pub ports: Vec<PortId>,
    /// What the driver needs besides (its own words).
    pub detail: serde_json::Value,
}

/// What runs, as the driver sees it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Processors run.
    Running,
    /// Processors are halted on request.
    Paused,
    /// Launched and not yet set going.
    Prelaunch,
    /// Halted by an I/O error; resumable.
    IoError,
    /// The guest's kernel panicked.
    Panicked,
    /// Asleep (ACPI S3).
    Suspended,
    /// The guest has shut down and its process is about to end.
    Shutdown,
    /// Something else; processors do not run.
    Halted,
}

/// A measurement of a live guest.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStatus {
    /// State.
    pub state: RunState,
    /// Use since launch.
    pub usage: GuestUsage,
    /// What of its hardware has failed although it goes on, and what to do about it; a [`LiveEvent::Lagged`] tells of a
    /// change.
    pub trouble: Option<String>,
}

/// Why a live guest ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The guest powered itself off (also on request).
    GuestPoweroff,
    /// It was killed on request.
    Killed,
    /// The process ended otherwise; says what is known.
    Crashed(String),
}

/// What a live guest tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveEvent {
    /// The state changed.
    State(RunState),
    /// The guest reset itself or was reset.
    Reset,
    /// The guest's kernel panicked.
    Panicked,
    /// The agent's channel was opened (`true`) or closed by the guest.
    AgentConnected(bool),
    /// The guest is powering off.
    PoweringOff,
    /// A background job of the driver changed.
    Job {
        /// Its name.
        name: String,
        /// Its state in the driver's words.
        state: String,
    },
    /// Some events were lost: ask for the state.
    Lagged,
}

/// A stream of [`LiveEvent`]s; `None` after the guest's end. Cancel safe.
#[async_trait]
pub trait LiveEvents: Send {
    /// The next one.
    async fn next(&mut self) -> Option<LiveEvent>;
}

/// Launches and adopts guests of one type. The QEMU driver is `gpve_qmp::QemuDriver`.
#[async_trait]
pub trait GuestDriver: Send + Sync + 'static {
    /// The driver's name (`qemu`).
    fn name(&self) -> &str;

    /// Starts the guest's process, halted before its first instruction, with limits applied. The caller persists the
    /// record and then calls [`Live::resume`]. On an error nothing is left behind.
    async fn launch(&self, cx: &OpCx, guest: Wired) -> Result<Box<dyn Live>>;

    /// Takes up a guest launched earlier, also by another process. `None` if it is gone. Never adopts a stranger.
    async fn adopt(&self, cx: &OpCx, record: &RunRecord) -> Result<Option<Box<dyn Live>>>;

    /// Guests of this driver that run on this host and are in none of `known`: left by a crash between launch and
    /// record. The caller kills them.
    async fn strays(&self, cx: &OpCx, known: &[RunRecord]) -> Result<Vec<Box<dyn Live>>>;

    /// Removes what a dead guest left on the host (runtime directory, cgroup). Idempotent.
    async fn clean(&self, cx: &OpCx, vmid: Vmid) -> Result<()>;
}

/// A guest that was launched. Dropping it leaves the guest running.
#[async_trait]
pub trait Live: Send + Sync {
    /// How to find it again.
    fn record(&self) -> &RunRecord;

    /// Halts the processors. Idempotent.
    async fn pause(&self, cx: &OpCx) -> Result<()>;

    /// Sets the processors going. Idempotent.
    async fn resume(&self, cx: &OpCx) -> Result<()>;

    /// Resets the machine.
    async fn reset(&self, cx: &OpCx) -> Result<()>;

    /// Asks the guest to power off (ACPI button); returns at once. The guest may ignore it.
    async fn request_shutdown(&self, cx: &OpCx) -> Result<()>;

    /// Ends it now; returns once the process is gone. Idempotent.
    async fn kill(&self, cx: &OpCx) -> Result<()>;

    /// Returns once the process is gone. Cancel safe; may be called more than once.
    async fn wait(&self) -> Exit;

    /// State and use now.
    async fn observe(&self, cx: &OpCx) -> Result<LiveStatus>;

    /// Events from now on.
    fn events(&self) -> Box<dyn LiveEvents>;

    /// Changing hardware while it runs.
    fn hotplug(&self) -> Option<&dyn Hotplug> {
        None
    }

    /// Snapshots while it runs.
    fn snapshots(&self) -> Option<&dyn LiveSnapshots> {
        None
    }

    /// The guest agent's channel, if the machine has one.
    fn agent(&self) -> Option<&dyn Agent> {
        None
    }

    /// Consoles.
    fn console(&self) -> Option<&dyn Console> {
        None
    }
}

/// How long [`Live::kill`] may take before it is an error: an unkillable process waits for a device.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(10);
