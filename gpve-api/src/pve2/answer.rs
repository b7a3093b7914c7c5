//! Shapes of answers, with the JSON types that clients rely on.
//!
//! Numbers are numbers, flags are 0 or 1, and a field that Proxmox VE leaves out is left out: some clients take any value
//! of `template` but the empty text as true.

mod access;
mod agent;
mod cluster;
mod console;
mod guest;
mod index;
mod node;
mod snapshot;
mod storage;
mod task;

pub use access::{NewToken, RealmEntry, Session, TokenEntry, TokenInfo, capabilities, login_user, permissions};
pub use agent::{AgentExec, AgentExecStatus, AgentFile, agent_result};
pub use cluster::{ClusterMember, NetworkResource, NodeResource, Resource, StorageResource, VmResource};
pub use console::ConsoleTicket;
pub use guest::{AgentFlag, GuestEntry, GuestNow, GuestRunning, Pressure, ProxmoxSupport, VmCurrent};
pub use index::{index, index_of};
pub use node::{BootInfo, CpuInfo, Kernel, Ksm, MemoryInfo, NodeEntry, NodeStatus, RootFs, Swap, Version};
pub use snapshot::SnapshotEntry;
pub use storage::{StorageEntry, StorageRef, VolumeEntry, VolumeInfo, content_list};
pub use task::{ActiveTask, LogLine, TaskEntry, TaskStatusAnswer};

/// 0 or 1.
pub(crate) const fn flag(v: bool) -> u8 {
    v as u8
}
