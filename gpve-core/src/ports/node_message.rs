//! The messages of the [`Node`](super::Node) port.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::events::Event;
use super::guest_facets::AgentExec;
use super::storage::{StorageCapabilities, StorageStatus, Volume, VolumeFilter};
use crate::patch::SpecPatch;
use crate::types::{
    ByteSize, CloudInitText, DiskFormat, DiskSlot, DnsServer, GuestName, GuestPhase, GuestUsage, NodeName, OperationId, SnapName,
    StorageId, Timestamp, Upid, UserId, VmSpec, Vmid, VolumeId, VolumeName,
};

/// How a host resolves names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDns {
    /// Its servers, first first.
    pub servers: Vec<DnsServer>,
    /// Its search domains, separated by spaces.
    pub search_domain: Option<CloudInitText>,
}

/// Position in a node's observations; grows by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// An operation for a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRequest {
    /// The same id twice is the same task.
    pub id: OperationId,
    /// Who asked, as shown in the task.
    pub user: UserId,
    /// On which guest; for operations on storages, the owner of the volume.
    pub vmid: Vmid,
    /// What.
    pub operation: Operation,
}

/// What a node can be asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Makes a guest: volumes, addresses, record.
    Create {
        /// Its lasting identity.
        uid: Uuid,
        /// Its name.
        name: Option<GuestName>,
        /// What it shall be.
        spec: Box<VmSpec>,
        /// Start it when it is made.
        start: bool,
    },
    /// Starts a stopped guest.
    Start,
    /// Ends a guest at once. A stopped guest stays so, without error.
    Stop,
    /// Asks the guest to power off.
    Shutdown(ShutdownOptions),
    /// Shuts the guest down and starts it again, with pending changes applied.
    Reboot(ShutdownOptions),
    /// Resets the machine.
    Reset,
    /// Halts the processors.
    Pause,
    /// Sets them going.
    Resume,
    /// Removes a stopped guest and its volumes.
    Delete(DeleteOptions),
    /// Makes another guest from this one.
    Clone(Box<CloneOptions>),
    /// Makes a stopped guest a template.
    Template {
        /// Only this disk becomes a base (PVE's `disk`), all if absent.
        disk: Option<DiskSlot>,
    },
    /// Takes a snapshot.
    Snapshot {
        /// Its name.
        name: SnapName,
        /// Free text.
        description: String,
    },
    /// Deletes a snapshot.
    DeleteSnapshot {
        /// Its name.
        name: SnapName,
        /// Forget it even if a disk's part cannot be deleted.
        force: bool,
    },
    /// Sets the guest back to a snapshot. A running guest is stopped first.
    Rollback {
        /// Its name.
        name: SnapName,
        /// Start it afterwards, also if it was not running.
        start: bool,
    },
    /// Changes a snapshot's description.
    DescribeSnapshot {
        /// Its name.
        name: SnapName,
        /// New text.
        description: String,
    },
    /// Grows a disk.
    Resize {
        /// Which.
        disk: DiskSlot,
        /// New size, or by how much.
        size: ResizeTo,
    },
    /// Changes the spec: now where the machine can, otherwise at its next start.
    Update(ConfigPatch),
    /// Deletes a detached volume of the guest (PVE's `unlink` with force, and removal of `unusedN`).
    DestroyVolume {
        /// Which.
        volume: VolumeId,
    },
    /// Makes a volume that no slot uses yet (PVE's content allocation).
    AllocateVolume {
        /// Where.
        storage: StorageId,
        /// Its name; absent: the first free one.
        name: Option<VolumeName>,
        /// Layout.
        format: Option<DiskFormat>,
        /// Size.
        size: ByteSize,
    },
}

/// Target of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeTo {
    /// To this size; the present size is no change, a smaller one is refused.
    Absolute(ByteSize),
    /// By this much.
    Grow(ByteSize),
}

/// How a guest is asked to power off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownOptions {
    /// How long to wait for the guest, in seconds.
    pub timeout_s: u32,
    /// End it by force when it has not gone by then; otherwise that is an error.
    pub force: bool,
}

impl Default for ShutdownOptions {
    fn default() -> Self {
        Self { timeout_s: 60, force: false }
    }
}

/// What goes with a deleted guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOptions {
    /// Also remove it from jobs, replication and access lists.
    pub purge: bool,
    /// Also delete volumes that carry its number and that its spec does not name.
    pub destroy_unreferenced: bool,
}

/// A clone of a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloneOptions {
    /// Number of the clone.
    pub target: Vmid,
    /// Lasting identity of the clone.
    pub uid: Uuid,
    /// Name of the clone.
    pub name: Option<GuestName>,
    /// Free text of the clone; absent: that of the source.
    pub description: Option<String>,
    /// Copy all blocks. Otherwise share them, which only templates and snapshots allow.
    pub full: bool,
    /// State at this snapshot instead of now.
    pub snapshot: Option<SnapName>,
    /// Put full copies on this storage; absent: where the source is.
    pub storage: Option<StorageId>,
    /// Layout of full copies.
    pub format: Option<DiskFormat>,
}

/// A change of a spec.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigPatch {
    /// Field by field.
    pub spec: SpecPatch,
    /// New name: absent is no change, `Some(None)` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "double_option")]
    pub name: Option<Option<GuestName>>,
    /// Refuse unless the config's digest is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Fields (in the patch's paths) whose pending change is dropped, so that what runs is asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revert: Vec<String>,
    /// Write the cloud-init drive anew with what is asked, and show it to a running guest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh_cloud_init: bool,
}

mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    // Called only for `Some(_)`: the field is skipped otherwise.
    pub(super) fn serialize<S: Serializer, T: Serialize>(v: &Option<Option<T>>, s: S) -> Result<S::Ok, S::Error> {
        v.as_ref().and_then(Option::as_ref).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(d).map(Some)
    }
}

/// A call to a guest's agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentCall {
    /// Checks that it answers.
    Ping,
    /// Starts a program; answers `{"pid": n}`.
    Exec(AgentExec),
    /// Asks after a program; answers an [`AgentExecStatus`](super::AgentExecStatus).
    ExecStatus {
        /// Its number in the guest.
        pid: i64,
    },
    /// Any other command by its name without `guest-`.
    Query {
        /// `get-osinfo`, `network-get-interfaces`, …
        command: String,
        /// Arguments.
        arguments: BTreeMap<String, serde_json::Value>,
    },
}

/// Which volumes to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRequest {
    /// Which storage.
    pub storage: StorageId,
    /// Which of its volumes.
    pub filter: VolumeFilter,
    /// Only this one.
    pub name: Option<VolumeName>,
}

/// A volume as a node shows it, with what its host path is (PVE shows it for single volumes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeReport {
    /// The volume.
    #[serde(flatten)]
    pub volume: Volume,
    /// Where it is on the host, if it is a file or device.
    pub path: Option<String>,
}

/// One thing that a node saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Its position.
    pub seq: Seq,
    /// What.
    pub observed: Observed,
}

/// What a node sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// A guest is like this now.
    Guest(Box<GuestReport>),
    /// Fresh figures of guests; nothing else about them changed.
    Usage(Vec<(Vmid, GuestUsage)>),
    /// A guest is gone.
    GuestGone(Vmid),
    /// A task is like this now.
    Task(Box<TaskReport>),
    /// A storage is like this now.
    Storage(StorageReport),
    /// The host is like this now.
    Info(Box<NodeInfo>),
    /// Something happened.
    Event(Event),
    /// Everything that was there at the start of the stream has been told; whatever was not, is gone.
    Synced,
}

/// A guest as its node sees it. The whole truth: nothing is left out because it did not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestReport {
    /// Number.
    pub vmid: Vmid,
    /// Lasting identity.
    pub uid: Uuid,
    /// Name.
    pub name: Option<GuestName>,
    /// What was asked, with volumes and addresses filled in.
    pub spec: VmSpec,
    /// Grows with every change of the spec.
    pub generation: u64,
    /// The spec that the running process has; differs from `spec` by what is pending.
    pub running: Option<Box<VmSpec>>,
    /// Phase.
    pub phase: GuestPhase,
    /// Why, for `Failed` and other phases that need it; for a guest that runs, what of its hardware has failed.
    pub reason: Option<String>,
    /// Task that works on it, and what it does in PVE's words of a lock (`create`, `clone`, `snapshot`, `rollback`).
    pub lock: Option<String>,
    /// Process.
    pub pid: Option<u32>,
    /// Monitor socket.
    pub qmp_socket: Option<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// The agent's channel is open.
    pub agent_connected: bool,
    /// Snapshots, oldest first.
    pub snapshots: Vec<SnapshotReport>,
    /// The snapshot that the present state descends from.
    pub parent: Option<SnapName>,
    /// Use, as last sampled.
    pub usage: GuestUsage,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// Name.
    pub name: SnapName,
    /// Free text.
    pub description: String,
    /// When it was taken.
    pub time: Timestamp,
    /// The snapshot it descends from.
    pub parent: Option<SnapName>,
    /// The guest's memory is in it.
    pub vmstate: bool,
    /// Its deletion was begun and did not end: parts of it are gone, and all that can be done with it is to delete it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// The guest's spec then.
    pub spec: VmSpec,
    /// The guest's name then.
    pub guest_name: Option<GuestName>,
}

/// A storage as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// Name.
    pub id: StorageId,
    /// Type.
    pub kind: String,
    /// What it holds.
    pub capabilities: StorageCapabilities,
    /// Space.
    pub status: StorageStatus,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Waits for the task that it names, or for its turn.
    Queued,
    /// Runs.
    Running,
    /// Undoes what it did.
    Undoing,
    /// Done.
    Ok,
    /// Done, with so many warnings in the log.
    Warnings(u32),
    /// Failed and undone; says why.
    Failed(String),
    /// Cancelled and undone.
    Cancelled,
    /// Failed, and undoing failed too; says what to do.
    Stuck(String),
}

impl TaskState {
    /// True once it will not change any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Undoing => false,
            Self::Ok | Self::Warnings(_) | Self::Failed(_) | Self::Cancelled | Self::Stuck(_) => true,
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its id.
    pub upid: Upid,
    /// The operation it is.
    pub operation: OperationId,
    /// The guest it works on.
    pub vmid: Vmid,
    /// How far it is.
    pub state: TaskState,
    /// The step it is at.
    pub step: Option<String>,
    /// When it was accepted.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// Which tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// Only this guest's.
    pub vmid: Option<Vmid>,
    /// Only these that still run (`true`) or ended (`false`).
    pub running: Option<bool>,
    /// Skip so many.
    pub start: usize,
    /// At most so many; 0 means [`TaskFilter::MAX`].
    pub limit: usize,
}

impl TaskFilter {
    /// Most tasks in one answer.
    pub const MAX: usize = 10_000;
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLogLine {
    /// Number, from 1.
    pub n: u64,
    /// Text, one line.
    pub t: String,
}

/// A host: facts, and use as last sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Name.
    pub name: NodeName,
    /// Logical processors.
    pub cpus: u32,
    /// Sockets.
    pub cpu_sockets: u32,
    /// Model.
    pub cpu_model: String,
    /// Clock in MHz.
    pub cpu_mhz: f64,
    /// CPU flags.
    pub cpu_flags: String,
    /// Share of CPU time in use, 0 to 1.
    pub cpu_used: f64,
    /// Share of CPU time waiting for devices, 0 to 1.
    pub io_wait: f64,
    /// Memory.
    pub memory: ByteSize,
    /// Memory in use.
    pub memory_used: ByteSize,
    /// Swap.
    pub swap: ByteSize,
    /// Swap in use.
    pub swap_used: ByteSize,
    /// Root file system.
    pub root: ByteSize,
    /// Root file system in use.
    pub root_used: ByteSize,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Seconds since the host booted.
    pub uptime_s: u64,
    /// Kernel: name, release, version, machine.
    pub kernel: [String; 4],
    /// QEMU's version, if there is one.
    pub qemu_version: Option<String>,
    /// Accelerator that `auto` stands for.
    pub accelerator: Option<String>,
    /// Name servers, for guests that are given none of their own.
    #[serde(default)]
    pub dns: HostDns,
    /// When sampled.
    pub sampled: Timestamp,
}
