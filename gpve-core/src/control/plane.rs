//! The handle on the control plane, its reads and waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::cache::Snapshot;
use super::call::Call;
use super::first_fit::views;
use super::ids::Ids;
use super::nodes::{NodeMirror, NodeSettings, NodeStatus};
use super::objects::GuestObject;
use super::records::Records;
use super::tasks::window;
use super::watch::GuestWatch;
use super::{SEEN_PATIENCE, ids, keys};
use crate::error::{Error, Result};
use crate::ports::{
    AgentCall, Audit, ByteStream, Clock, ConsoleKind, ContentRequest, Events, Node, NodeView, Revision, Scheduler, TaskFilter, TaskLogLine,
    TaskReport, Txn, VolumeReport,
};
use crate::types::{Namespace, NodeName, Upid, Vmid};

/// The control plane. A cheap handle; the plane runs until the last one is dropped or [`ControlPlane::shutdown`].
#[derive(Clone)]
pub struct ControlPlane {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) records: Records,
    pub(super) nodes: BTreeMap<NodeName, Arc<NodeMirror>>,
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: Arc<dyn Events>,
    pub(super) audit: Arc<dyn Audit>,
    pub(super) ids: Ids,
    pub(super) calls: Arc<Semaphore>,
    pub(super) background: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.background.iter().for_each(AbortHandle::abort);
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("nodes", &self.inner.nodes.keys()).finish_non_exhaustive()
    }
}

/// Reading. Nothing here asks a node or a disk, except where it says so.
impl ControlPlane {
    /// All guests as of now. Costs one lock and one reference count, however many guests there are.
    pub fn guests(&self) -> Snapshot {
        self.inner.records.cache.snapshot()
    }

    /// One guest.
    pub fn guest(&self, vmid: Vmid) -> Option<Arc<GuestObject>> {
        self.inner.records.cache.guest(vmid)
    }

    /// The guest whose object has this name.
    pub fn guest_named(&self, namespace: &Namespace, name: &str) -> Option<Arc<GuestObject>> {
        self.guest(self.inner.records.cache.named(namespace, name)?)
    }

    /// Watches all guests: everything after `after`, history included; watch from
    /// [`Snapshot::revision`] to miss nothing. [`ErrorKind::Conflict`](crate::error::ErrorKind::Conflict) if that
    /// history is gone.
    pub async fn watch(&self, after: Revision) -> Result<GuestWatch> {
        GuestWatch::open(self.inner.records.store.clone(), self.inner.records.cache.clone(), after).await
    }

    /// All nodes by name.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.inner.nodes.values().map(|n| n.status(self.inner.records.cache.settings(n.name()))).collect()
    }

    /// One node.
    pub fn node(&self, name: &NodeName) -> Result<NodeStatus> {
        let mirror = self.mirror(name)?;
        Ok(mirror.status(self.inner.records.cache.settings(name)))
    }

    /// Tasks of one node, or of all, newest first.
    pub fn tasks(&self, node: Option<&NodeName>, filter: &TaskFilter) -> Vec<Arc<TaskReport>> {
        let mirrors = self.inner.nodes.values().filter(|m| node.is_none_or(|n| n == m.name()));
        let mut all: Vec<Arc<TaskReport>> = mirrors.flat_map(|m| m.read(|s| s.tasks.newest(filter).cloned().collect::<Vec<_>>())).collect();
        all.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.upid.serial.cmp(&a.upid.serial)));
        window(all.into_iter(), filter)
    }

    /// One task; of one that is no longer kept here its node tells.
    pub async fn task(&self, upid: &Upid) -> Result<Arc<TaskReport>> {
        let mirror = self.mirror(&upid.node)?;
        match mirror.task(upid) {
            Some(task) => Ok(task),
            None => mirror.node.task(upid).await.map(Arc::new),
        }
    }

    /// Lines of a task's log, numbered from 1, and how many there are. Asks the node.
    pub async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)> {
        self.mirror(&upid.node)?.node.task_log(upid, start, limit).await
    }

    /// Returns once the task has ended and reads show everything that it did. Cancel safe; put a deadline around it.
    pub async fn wait(&self, upid: &Upid) -> Result<Arc<TaskReport>> {
        self.mirror(&upid.node)?.ended(upid).await
    }

    /// Returns once the guest is as `wanted` (`None`: gone). Cancel safe; put a deadline around it.
    pub async fn wait_guest(&self, vmid: Vmid, wanted: impl Fn(Option<&GuestObject>) -> bool) -> Result<()> {
        let mut revisions = self.inner.records.cache.revisions();
        loop {
            revisions.mark_unchanged();
            if wanted(self.guest(vmid).as_deref()) {
                return Ok(());
            }
            revisions.changed().await.map_err(|_| Error::internal("guest.wait", "the cache was closed"))?;
        }
    }

    /// Returns once reads show the store's `revision`. Cancel safe.
    pub async fn wait_revision(&self, revision: Revision) -> Result<()> {
        self.inner.records.cache.reached(revision).await
    }

    /// A call to a guest's agent, on its node.
    pub async fn agent(&self, vmid: Vmid, call: AgentCall) -> Result<serde_json::Value> {
        self.mirror_of("guest.agent", vmid)?.node.agent(vmid, call).await
    }

    /// A console of a running guest, on its node.
    pub async fn console(&self, vmid: Vmid, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        self.mirror_of("guest.console", vmid)?.node.console(vmid, kind).await
    }

    /// Volumes of a storage, read now by the node.
    pub async fn content(&self, node: &NodeName, request: &ContentRequest) -> Result<Vec<VolumeReport>> {
        self.mirror(node)?.node.content(request).await
    }

    /// The event bus.
    pub fn events(&self) -> &Arc<dyn Events> {
        &self.inner.events
    }

    /// The audit log.
    pub fn audit_log(&self) -> &Arc<dyn Audit> {
        &self.inner.audit
    }
}

/// What is made of a guest's settings.
impl ControlPlane {
    /// A file that would be generated for cloud-init in the guest now, without secrets.
    pub fn cloud_init(&self, vmid: Vmid, part: crate::cloud_init::Part) -> Result<String> {
        let guest = self.guest_or_missing("cloud-init", vmid)?;
        let host = self.node(guest.node())?.info.map(|info| info.dns.clone()).unwrap_or_default();
        Ok(crate::cloud_init::Instance::of(vmid, guest.name.as_ref(), guest.spec(), &host).dump(part))
    }
}

/// Small changes that make no task.
impl ControlPlane {
    /// The lowest free guest id, kept for the caller for [`VMID_LEASE`](super::VMID_LEASE): callers that ask at the same
    /// time get different ids.
    pub async fn next_vmid(&self) -> Result<Vmid> {
        self.inner.ids.lease(&self.inner.records).await
    }

    /// Checks that no guest has the id.
    pub fn check_vmid(&self, vmid: Vmid) -> Result<()> {
        match self.guest(vmid) {
            Some(_) => Err(Error::already_exists("vmid.check", format!("vm {vmid}"))),
            None => Ok(()),
        }
    }

    /// Asks a task to stop.
    pub async fn cancel(&self, call: &Call, upid: &Upid) -> Result<()> {
        let upid = upid.clone();
        let work = |plane: Self, call: Call| async move {
            let result = match plane.mirror(&upid.node) {
                Ok(mirror) => mirror.node.cancel(&upid).await,
                Err(e) => Err(e),
            };
            plane.audit(&call, "cancel", ("tasks", &upid.to_string()), &result).await;
            result
        };
        self.to_the_end(call, work).await
    }

    /// Sets a node's settings; reads show them when this returns.
    pub async fn set_node(&self, call: &Call, node: &NodeName, settings: &NodeSettings) -> Result<()> {
        let (node, settings) = (node.clone(), settings.clone());
        let work = |plane: Self, call: Call| async move {
            let result = plane.write_settings(&node, &settings).await;
            plane.audit(&call, "set-node", ("nodes", node.as_str()), &result).await;
            result
        };
        self.to_the_end(call, work).await
    }

    async fn write_settings(&self, node: &NodeName, settings: &NodeSettings) -> Result<()> {
        self.mirror(node)?;
        super::checks::labels("labels", &settings.labels)?;
        let value = serde_json::to_vec(settings).map_err(|e| Error::internal("node.set", e.to_string()))?;
        let records = &self.inner.records;
        match records.store.commit(Txn::put(keys::node(node)?, value)).await? {
            crate::ports::TxnOutcome::Committed(revision) => records.cache.reached(revision).await,
            crate::ports::TxnOutcome::Refused { .. } => Err(Error::internal("node.set", "a write without condition was refused")),
        }
    }
}

/// Running.
impl ControlPlane {
    /// Returns once every node has told everything that it has, or after `patience`; the names of those that have not.
    /// Cancel safe.
    pub async fn ready(&self, patience: Duration) -> Vec<NodeName> {
        let all = self.inner.nodes.values().map(|m| m.until(|s| s.ready.then_some(())));
        let _late = tokio::time::timeout(patience, futures_util::future::join_all(all)).await;
        self.inner.nodes.values().filter(|m| !m.read(|s| s.ready)).map(|m| m.name().clone()).collect()
    }

    /// Stops following store and nodes. Guests keep running; reads show the last state for ever.
    pub fn shutdown(&self) {
        self.inner.background.iter().for_each(AbortHandle::abort);
    }

    /// A node's mirror.
    pub(super) fn mirror(&self, name: &NodeName) -> Result<&Arc<NodeMirror>> {
        self.inner.nodes.get(name).ok_or_else(|| Error::not_found("node", format!("node {name}")))
    }

    /// The mirror of a guest's node.
    pub(super) fn mirror_of(&self, op: &str, vmid: Vmid) -> Result<&Arc<NodeMirror>> {
        let guest = self.guest_or_missing(op, vmid)?;
        self.mirror(guest.node())
    }

    pub(super) fn guest_or_missing(&self, op: &str, vmid: Vmid) -> Result<Arc<GuestObject>> {
        self.guest(vmid).ok_or_else(|| Error::not_found(op, format!("vm {vmid}")))
    }

    /// A guest that its node knows: waits for one whose record was just written until its node was asked.
    pub(super) async fn known_guest(&self, op: &str, vmid: Vmid) -> Result<Arc<GuestObject>> {
        let guest = self.guest_or_missing(op, vmid)?;
        if guest.making.is_none() {
            return Ok(guest);
        }
        let known = self.wait_guest(vmid, |g| g.is_none_or(|g| g.making.is_none()));
        let _late = tokio::time::timeout(SEEN_PATIENCE, known).await;
        self.guest_or_missing(op, vmid)
    }

    /// What the scheduler may know.
    pub(super) fn node_views(&self) -> Vec<NodeView> {
        views(&self.nodes(), &self.guests())
    }

    /// The lowest free id, without keeping it.
    pub(super) fn preview_vmid(&self) -> Result<Vmid> {
        self.inner.records.cache.lowest_free(|_| false).ok_or_else(ids::none_left)
    }

    /// Gives an operation to a node; returns once reads show its task.
    pub(super) async fn submit(&self, mirror: &NodeMirror, request: crate::ports::OperationRequest) -> Result<Upid> {
        let upid = Node::submit(mirror.node.as_ref(), request).await?;
        if !mirror.shows(&upid, SEEN_PATIENCE).await {
            tracing::warn!(%upid, "the node accepted a task and does not show it");
        }
        Ok(upid)
    }
}
