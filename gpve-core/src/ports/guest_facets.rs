//! What some live guests can do besides: hotplug, snapshots, agent, consoles.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cx::OpCx;
use super::guest::{AttachedPort, AttachedVolume};
use crate::error::Result;
use crate::types::{ByteSize, CpuLimit, DiskSlot, MemMib, NicIndex, ResolvedDisk, ResolvedNic, SnapName};

/// One change of hardware.
#[derive(Debug, Clone)]
pub enum HotplugChange {
    /// Adds a disk to a free slot.
    AddDisk {
        /// Where.
        slot: DiskSlot,
        /// What.
        disk: Box<ResolvedDisk>,
        /// Its volume.
        volume: AttachedVolume,
    },
    /// Removes a disk. The guest may refuse; then it is an error and nothing changed.
    RemoveDisk {
        /// Where.
        slot: DiskSlot,
    },
    /// Changes the medium of a CD-ROM drive.
    ChangeMedium {
        /// Which drive.
        slot: DiskSlot,
        /// New medium; `None` ejects.
        medium: Option<AttachedVolume>,
    },
    /// Tells the guest that a disk has grown; the volume has its new size already or grows by this.
    ResizeDisk {
        /// Which.
        slot: DiskSlot,
        /// New virtual size.
        size: ByteSize,
    },
    /// Adds a network card.
    AddNic {
        /// Which.
        index: NicIndex,
        /// What.
        nic: ResolvedNic,
        /// Its port.
        port: AttachedPort,
    },
    /// Removes a network card.
    RemoveNic {
        /// Which.
        index: NicIndex,
    },
    /// Plugs or unplugs a card's cable.
    SetLink {
        /// Which.
        index: NicIndex,
        /// Plugged.
        up: bool,
    },
    /// Sets the balloon's target.
    Balloon {
        /// Target size.
        target: MemMib,
    },
    /// Sets the CPU limit and weight of the process.
    CpuLimits {
        /// Limit; `None` lifts it.
        limit: Option<CpuLimit>,
        /// Weight; `None` is the default.
        units: Option<u32>,
    },
}

/// Changing hardware while the guest runs.
#[async_trait]
pub trait Hotplug: Send + Sync {
    /// True if this driver and machine can do the change without a restart, or it is so already; pure and fast.
    fn can(&self, change: &HotplugChange) -> bool;

    /// Does it and verifies it in the guest's process before returning. On an error the hardware is as before.
    ///
    /// Idempotent: a disk or card that is there already, and one that is absent already, is done. A saga repeats its
    /// step after a crash and does not know how far it came.
    async fn apply(&self, cx: &OpCx, change: HotplugChange) -> Result<()>;
}

/// Snapshots of all disks of a running guest at one moment.
#[async_trait]
pub trait LiveSnapshots: Send + Sync {
    /// True if the driver takes the snapshots of these disks itself (internal snapshots of files it has open), false
    /// if the storage must.
    fn covers(&self, slots: &[DiskSlot]) -> bool;

    /// Takes a snapshot of the disks, all or none. Idempotent per name.
    async fn take(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()>;

    /// Deletes a snapshot of the disks. Idempotent.
    async fn delete(&self, cx: &OpCx, name: &SnapName, slots: &[DiskSlot]) -> Result<()>;
}

/// A program to run in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentExec {
    /// Path and arguments.
    pub command: Vec<String>,
    /// Standard input.
    pub input: Option<Vec<u8>>,
}

/// What became of a program in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentExecStatus {
    /// It has ended.
    pub exited: bool,
    /// Exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// Signal, if it was killed.
    pub signal: Option<i32>,
    /// Standard output.
    pub out_data: Vec<u8>,
    /// Standard error.
    pub err_data: Vec<u8>,
    /// Output was cut by the agent.
    pub truncated: bool,
}

/// The guest agent. Every call fails fast with `Unavailable` while no agent is there, and a slow call never blocks
/// another guest's.
#[async_trait]
pub trait Agent: Send + Sync {
    /// True if the guest has opened the channel; known without asking the guest.
    fn connected(&self) -> bool;

    /// Checks that the agent answers.
    async fn ping(&self, cx: &OpCx) -> Result<()>;

    /// Starts a program; its number in the guest.
    async fn exec(&self, cx: &OpCx, exec: AgentExec) -> Result<i64>;

    /// Asks after a program.
    async fn exec_status(&self, cx: &OpCx, pid: i64) -> Result<AgentExecStatus>;

    /// Any other command of the agent, by its name (`get-osinfo`, `network-get-interfaces`), as JSON.
    async fn query(&self, cx: &OpCx, command: &str, arguments: BTreeMap<String, serde_json::Value>) -> Result<serde_json::Value>;
}

/// Which console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleKind {
    /// Serial port with this number.
    Serial(u8),
    /// The display, as VNC.
    Vnc,
}

/// A two-way stream of bytes. Dropping it closes it.
#[async_trait]
pub trait ByteStream: Send {
    /// The next bytes; `None` at the end. Cancel safe.
    async fn read(&mut self) -> Result<Option<Bytes>>;

    /// Writes all bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;
}

/// Consoles of a live guest.
#[async_trait]
pub trait Console: Send + Sync {
    /// Opens a console. Serial ports give what the guest writes from now on, preceded by what the driver kept.
    async fn open(&self, cx: &OpCx, kind: ConsoleKind) -> Result<Box<dyn ByteStream>>;
}
