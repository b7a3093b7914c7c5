//! The doors of the hexagon: traits that adapters implement, and the plain data that passes through them.
//!
//! Every effect takes an [`OpCx`]: deadline, cancellation and the task's log. Idempotency is in the answers
//! ([`Ensured`], [`Removed`]); what a backend cannot do is a missing facet (`Option<&dyn _>`), never a method that errors.

mod audit;
mod clock;
mod cx;
mod events;
mod guest;
mod guest_facets;
mod hooks;
mod host;
mod network;
mod node;
mod node_message;
mod scheduler;
mod storage;
mod store;

pub use audit::{Audit, AuditEntry};
pub use clock::Clock;
pub use cx::{Cancel, CancelHandle, Ensured, LogSink, OpCx, Removed};
pub use events::{Event, EventFilter, EventKind, EventSubscription, Events, Received};
pub use guest::{
    AttachedPort, AttachedVolume, Exit, Guest, GuestDriver, GuestType, KILL_TIMEOUT, LimitSpec, Live, LiveEvent, LiveEvents, LiveStatus,
    Prepared, ProcessId, RunRecord, RunState, Wired,
};
pub use guest_facets::{Agent, AgentExec, AgentExecStatus, ByteStream, Console, ConsoleKind, Hotplug, HotplugChange, LiveSnapshots};
pub use hooks::{HookPhase, HookRun, Hooks};
pub use host::Host;
pub use network::{BridgeInfo, NetworkBackend, NetworkCapabilities, Port, PortAccess, PortId, PortRequest};
pub use node::{Node, ObservationStream};
pub use node_message::{
    AgentCall, CloneOptions, ConfigPatch, ContentRequest, DeleteOptions, GuestReport, HostDns, NodeInfo, Observation, Observed, Operation,
    OperationRequest, ResizeTo, Seq, ShutdownOptions, SnapshotReport, StorageReport, TaskFilter, TaskLogLine, TaskReport, TaskState,
    VolumeReport,
};
pub use scheduler::{NodeView, Placement, PlacementRequest, Scheduler, Unplaceable};
pub use storage::{
    BackingFile, CloneVolume, ContentKind, CreateVolume, ImportVolume, StorageCapabilities, StoragePlugin, StorageStatus, Volume,
    VolumeAccess, VolumeClones, VolumeContents, VolumeFilter, VolumeImport, VolumeMode, VolumeResize, VolumeSnapshots, VolumeUpload,
};
pub use store::{
    Change, Entry, Expect, Key, LeaseId, ListRequest, Listing, Mutation, Revision, Store, StoreError, Txn, TxnOutcome, Watch, WatchBatch,
    WatchRequest,
};
