//! The `Node` port: the conversation between the control plane, which decides, and a node, which does.
//!
//! Every message is plain serde data: in process and over a wire it is the same conversation. The conformance suite runs
//! it direct and through bytes.

use async_trait::async_trait;

use super::guest_facets::{ByteStream, ConsoleKind};
use super::node_message::{
    AgentCall, ContentRequest, NodeInfo, Observation, OperationRequest, Seq, TaskFilter, TaskLogLine, TaskReport, VolumeReport,
};
use crate::error::Result;
use crate::types::{NodeName, Upid, Vmid};

/// What a node observes, in order. Dropping it ends it.
#[async_trait]
pub trait ObservationStream: Send {
    /// The next observation. An error ends the stream; call [`Node::observe`] again. Cancel safe.
    async fn next(&mut self) -> Result<Observation>;
}

/// A host that runs guests.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &NodeName;

    /// Facts and use of the host, as last sampled; never waits for a device.
    async fn info(&self) -> Result<NodeInfo>;

    /// Accepts an operation: its task is durable when this returns. The same [`OperationRequest::id`] again gives the
    /// same task. Refuses at once what can be refused without waiting (unknown guest, bad input, full queue); what
    /// depends on the queue fails in the task.
    async fn submit(&self, request: OperationRequest) -> Result<Upid>;

    /// Observations after `after`. If that is too long ago, or `None`, it starts with everything that is there now,
    /// ended by [`Observed::Synced`](super::Observed::Synced).
    async fn observe(&self, after: Option<Seq>) -> Result<Box<dyn ObservationStream>>;

    /// Tasks, newest first.
    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskReport>>;

    /// One task.
    async fn task(&self, upid: &Upid) -> Result<TaskReport>;

    /// Lines of a task's log, numbered from 1, and how many there are. Readable while it runs and after a restart.
    async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)>;

    /// Asks a task to stop: a queued one ends at once, a running one at its next safe point, undoing what it did.
    /// Cancelling an ended task is no error.
    async fn cancel(&self, upid: &Upid) -> Result<()>;

    /// A call to the guest's agent.
    async fn agent(&self, vmid: Vmid, call: AgentCall) -> Result<serde_json::Value>;

    /// Volumes of a storage, read now.
    async fn content(&self, request: &ContentRequest) -> Result<Vec<VolumeReport>>;

    /// A console of a running guest.
    async fn console(&self, vmid: Vmid, kind: ConsoleKind) -> Result<Box<dyn ByteStream>>;
}
