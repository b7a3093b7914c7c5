//! What is observed of a guest. Never edited by users.

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::id::{NodeName, SnapName, Vmid};
use super::time::Timestamp;
use super::unit::ByteSize;

words!(
    /// Where a guest is in its life, without the data that each phase carries inside a node (see
    /// [`crate::lifecycle::vm::Phase`]). The superset of the design documents' machines (CON-08, CON-09).
    GuestPhase, "guest phase", "one of the phases of the lifecycle", {
        /// Accepted, nothing done.
        Pending = "Pending",
        /// Volumes and records are being made.
        Creating = "Creating",
        /// Not running.
        Stopped = "Stopped",
        /// On its way up.
        Starting = "Starting",
        /// Running.
        Running = "Running",
        /// On its way down.
        Stopping = "Stopping",
        /// In memory, processors halted.
        Paused = "Paused",
        /// State on disk, not in memory.
        Suspended = "Suspended",
        /// Coming back from disk.
        Resuming = "Resuming",
        /// Moving to another node.
        Migrating = "Migrating",
        /// A snapshot is being made, deleted or rolled back to.
        Snapshotting = "Snapshotting",
        /// Going down to come up again.
        Rebooting = "Rebooting",
        /// Hardware is being changed.
        Updating = "Updating",
        /// Something went wrong; the reason says what.
        Failed = "Failed",
        /// Being removed.
        Deleting = "Deleting",
    }
);

/// What a guest uses. Counters grow from its start and restart at 0 with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestUsage {
    /// CPU time used since start, in milliseconds.
    pub cpu_time_ms: u64,
    /// Cores in use over the last sample.
    pub cpu_cores: f64,
    /// Host memory in use.
    pub memory: ByteSize,
    /// Bytes read from disks.
    pub disk_read: ByteSize,
    /// Bytes written to disks.
    pub disk_write: ByteSize,
    /// Bytes received by cards.
    pub net_in: ByteSize,
    /// Bytes sent by cards.
    pub net_out: ByteSize,
}

/// One aspect of an object's state, as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect (`Ready`, `AgentConnected`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds; `None` is unknown.
    pub status: Option<bool>,
    /// One word why.
    pub reason: String,
    /// One line for a human.
    pub message: String,
    /// When it last changed.
    pub last_transition_time: Timestamp,
}

/// Status of a virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmStatus {
    /// The guest's number.
    pub vmid: Vmid,
    /// Where it is in its life.
    pub phase: GuestPhase,
    /// Why, where the phase alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The node that has it.
    pub node: NodeName,
    /// Path of QEMU's monitor socket on that node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qmp_socket: Option<String>,
    /// Process of the guest on that node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Aspects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What it uses.
    #[serde(default)]
    pub usage: GuestUsage,
    /// Snapshot that the current state descends from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_snapshot: Option<SnapName>,
    /// Generation of the spec that was last carried out.
    pub observed_generation: u64,
}
