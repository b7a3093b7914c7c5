//! The route table.
//!
//! One entry per method and path; see [`crate::route`] for what an entry says. Handlers match on [`Operation`], so a route
//! without a handler does not compile.

mod access;
mod cluster;
mod cpu_models;
mod forms;
mod guest_agent;
mod nodes;
pub(crate) mod properties;
mod qemu;
mod storage;
mod tasks;
mod v1;
mod vm_options;

use crate::route::{Dialect, Kind, Param, Route, Router};
pub(crate) use forms::{CONFIG_ID, VOLUME_ID};

pub use vm_options::vm_options;

/// What a route does. A server matches on it exhaustively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is documented by its routes' summaries")]
pub enum Operation {
    // access
    ApiIndex,
    Version,
    AccessIndex,
    TicketProbe,
    TicketCreate,
    RealmList,
    PermissionList,
    TokenList,
    TokenRead,
    TokenCreate,
    TokenUpdate,
    TokenDelete,
    // cluster
    ClusterIndex,
    NextId,
    ClusterResources,
    ClusterStatus,
    ClusterTasks,
    // nodes
    NodeList,
    NodeIndex,
    NodeStatus,
    NodeVersion,
    ContainerList,
    // guests
    VmList,
    VmCreate,
    VmIndex,
    VmDelete,
    VmConfigRead,
    VmConfigUpdate,
    VmConfigUpdateAsync,
    VmPending,
    VmCloudInitPending,
    VmCloudInitUpdate,
    VmCloudInitDump,
    VmFeature,
    VmStatusIndex,
    VmStatusRead,
    VmStart,
    VmStop,
    VmReset,
    VmShutdown,
    VmReboot,
    VmSuspend,
    VmResume,
    VmClone,
    VmTemplate,
    VmResize,
    VmUnlink,
    VmMoveDisk,
    VmVncProxy,
    VmTermProxy,
    /// A WebSocket to the console that a ticket was given for.
    VmConsoleSocket,
    SnapshotList,
    SnapshotCreate,
    SnapshotIndex,
    SnapshotDelete,
    SnapshotConfigRead,
    SnapshotConfigUpdate,
    SnapshotRollback,
    AgentIndex,
    /// A command of the guest agent without parameters; [`Route::verb`] names it, or the parameter `command`.
    AgentCommand,
    AgentExec,
    AgentExecStatus,
    AgentFileRead,
    AgentFileWrite,
    AgentSetUserPassword,
    // storage
    StorageConfigList,
    StorageConfigRead,
    StorageConfigCreate,
    StorageConfigUpdate,
    StorageConfigDelete,
    NodeStorageList,
    StorageIndex,
    StorageStatus,
    VolumeList,
    VolumeAllocate,
    VolumeRead,
    VolumeDelete,
    VolumeUpload,
    // tasks
    TaskList,
    TaskIndex,
    TaskStatus,
    TaskLog,
    TaskStop,
    // native
    V1Index,
    V1OpenApi,
    V1GuestList,
    V1VmList,
    V1VmCreate,
    V1VmRead,
    V1VmReplace,
    V1VmApply,
    V1VmDelete,
    /// start, stop, shutdown, reboot, reset, pause or resume; [`Route::verb`] says which.
    V1VmAction,
    V1VmClone,
    V1VmResizeDisk,
    V1VmTemplate,
    /// A WebSocket to the serial port that the parameter `port` names, or with `display` to the display.
    V1VmConsole,
    V1SnapshotList,
    V1SnapshotCreate,
    V1SnapshotDescribe,
    V1SnapshotDelete,
    V1SnapshotRollback,
    V1VolumeList,
    V1VolumeCreate,
    V1VolumeDelete,
    V1TaskList,
    V1TaskRead,
    V1TaskLog,
    V1TaskCancel,
}

const TABLES: &[&[Route]] =
    &[access::ROUTES, cluster::ROUTES, nodes::ROUTES, qemu::ROUTES, guest_agent::ROUTES, storage::ROUTES, tasks::ROUTES, v1::ROUTES];

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// A router of one dialect over the whole table.
pub fn router(dialect: Dialect) -> Router {
    Router::new(routes(), dialect)
}

const VMID: Kind = Kind::between(100, 999_999_999);

const NODE: &[Param] = &[Param::new("node", Kind::Format(&forms::NODE), "The node.")];
const GUEST: &[Param] = &[Param::new("node", Kind::Format(&forms::NODE), "The node."), Param::new("vmid", VMID, "The guest's number.")];

/// Flags that a guest's processor may have beside its model.
pub(crate) fn cpu_flags() -> &'static [&'static str] {
    cpu_models::VM_FLAGS
}
