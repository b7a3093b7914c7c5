//! The engine: accepts operations, answers questions, keeps the guests' tasks.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::builder::Ports;
use super::guest::{self, Guest, Job};
use super::keys;
use super::observe::Hub;
use super::record::GuestRecord;
use super::task::{Task, Tasks};
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::vm::Phase;
use crate::ports::{
    AgentCall, ByteStream, ConsoleKind, ContentRequest, Expect, Mutation, Node, NodeInfo, ObservationStream, Observed, OpCx, Operation,
    OperationRequest, Seq, StoragePlugin, TaskFilter, TaskLogLine, TaskReport, TaskState, Txn, VolumeReport,
};
use crate::types::{NodeName, OperationId, StorageId, TaskKind, Timestamp, Upid, UserId, Vmid};

/// How long a call to a guest's agent may take: PVE's own limit for most commands is 10 s.
const AGENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Operations that are accepted at the same time: as many as one durable write takes together.
const TURNS: usize = 64;
/// Tasks told to a new follower besides the open ones.
const TOLD_TASKS: usize = 1_000;

/// The engine of one host. Cheap to clone; dropping the last clone leaves guests running.
#[derive(Clone)]
pub struct NodeEngine {
    inner: Arc<Inner>,
    _life: Arc<Life>,
}

/// Ends the engine's tasks with its last clone.
struct Life {
    stop: watch::Sender<bool>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What the engine's tasks share.
pub(super) struct Inner {
    pub(super) ports: Ports,
    pub(super) hub: Arc<Hub>,
    pub(super) tasks: Tasks,
    pub(super) info: watch::Sender<Option<NodeInfo>>,
    guests: RwLock<BTreeMap<Vmid, Arc<Guest>>>,
    workers: std::sync::Mutex<JoinSet<()>>,
    /// By operation id, so that the same operation arriving twice at once is one task.
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl Inner {
    pub(super) fn new(ports: Ports, hub: Arc<Hub>, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            ports,
            hub,
            tasks,
            info: watch::Sender::new(None),
            guests: RwLock::default(),
            workers: std::sync::Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        })
    }

    pub(super) fn storage(&self, id: &StorageId) -> Result<&Arc<dyn StoragePlugin>> {
        let missing = || Error::not_found("storage", format!("storage '{id}'"));
        self.ports.storages.get(id).ok_or_else(missing)
    }

    pub(super) fn guests(&self) -> Vec<Arc<Guest>> {
        self.guests.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn guest(&self, vmid: Vmid) -> Result<Arc<Guest>> {
        let found = self.guests.read().unwrap_or_else(PoisonError::into_inner).get(&vmid).cloned();
        found.ok_or_else(|| Error::not_found("guest", format!("VM {vmid}")))
    }

    /// True while this very guest is the one with its number.
    pub(super) fn has(&self, guest: &Arc<Guest>) -> bool {
        self.guest(guest.vmid).is_ok_and(|g| Arc::ptr_eq(&g, guest))
    }

    /// Adds a guest and starts its task with `jobs` already waiting.
    pub(super) fn adopt(self: &Arc<Self>, record: GuestRecord, live: Option<Arc<dyn crate::ports::Live>>) -> Arc<Guest> {
        let (guest, jobs) = Guest::new(record);
        guest.set_live(live);
        self.guests.write().unwrap_or_else(PoisonError::into_inner).insert(guest.vmid, Arc::clone(&guest));
        self.spawn(guest::run(Arc::clone(self), Arc::clone(&guest), jobs));
        guest
    }

    /// Runs `work` until it ends or the engine does.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        while workers.try_join_next().is_some() {}
        workers.spawn(work);
    }

    pub(super) fn stop_workers(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Takes a guest out of the table and says so. Idempotent.
    pub(super) fn forget(&self, vmid: Vmid) {
        if self.guests.write().unwrap_or_else(PoisonError::into_inner).remove(&vmid).is_some() {
            self.hub.publish(Observed::GuestGone(vmid));
        }
    }

    /// Removes a guest that was reserved for a task that will not make it.
    pub(super) async fn give_up_reserved(&self, vmid: Vmid) {
        let reserved = self.guest(vmid).is_ok_and(|g| matches!(g.phase(), Phase::Pending | Phase::Creating));
        if reserved {
            let removed = match keys::guest(vmid) {
                Ok(key) => self.ports.store.commit(Txn::delete(key)).await.map(drop).map_err(Error::from),
                Err(e) => Err(e),
            };
            if let Err(e) = removed {
                tracing::error!(%vmid, error = %e.report(), "a reserved guest could not be removed");
            }
            self.forget(vmid);
        }
    }

    /// Ends a task that never began, together with the guest that was reserved for it: no crash can come between.
    pub(super) async fn end_unbegun(&self, task: &Task, state: TaskState) -> Result<()> {
        let (also, reserved) = unreserve(task)?;
        task.end(state, also, || reserved.into_iter().for_each(|vmid| self.forget(vmid))).await
    }

    /// A task id for `request`, now.
    fn upid(&self, request: &OperationRequest) -> Result<Upid> {
        let (kind, id) = kind_of(request);
        let kind: TaskKind = kind.parse().map_err(|e: crate::types::TextError| Error::internal("node.submit", e.to_string()))?;
        // Whole seconds are what the text form keeps.
        let start = Timestamp::from_secs(self.tasks.now().secs());
        let (node, user) = (self.ports.name.clone(), request.user.clone());
        Ok(Upid { node, serial: self.tasks.next_serial(), start, kind, id, user })
    }

    /// Puts the start of a guest behind a task, under an id made from that task's: repeating it is harmless.
    pub(super) async fn start_behind(self: &Arc<Self>, vmid: Vmid, task: &Upid) -> Result<()> {
        let id = format!("start-behind-{:x}", task.serial).parse::<OperationId>();
        let id = id.map_err(|e| Error::internal("node.submit", e.to_string()))?;
        self.submit(OperationRequest { id, user: task.user.clone(), vmid, operation: Operation::Start }).await.map(drop)
    }

    pub(super) async fn submit(self: &Arc<Self>, request: OperationRequest) -> Result<Upid> {
        let _turn = self.turns[turn_of(&request.id)].lock().await;
        if let Some(task) = self.tasks.of_operation(&request.id) {
            return Ok(task.upid());
        }
        match &request.operation {
            Operation::Create { uid, name, spec, .. } => {
                let bad = spec.check();
                if !bad.is_empty() {
                    return Err(Error::invalid("guest.create", bad).on(format!("vm {}", request.vmid)));
                }
                let record = GuestRecord::new(request.vmid, *uid, name.clone(), (**spec).clone(), self.tasks.now());
                self.submit_new(request, record).await
            }
            Operation::Clone(clone) => {
                let source = self.guest(request.vmid)?;
                let mut record = GuestRecord::new(clone.target, clone.uid, clone.name.clone(), source.record().spec, self.tasks.now());
                record.spec.disks.clear();
                record.spec.unused.clear();
                record.spec.template = false;
                record.lock = Some("clone".to_owned());
                self.submit_clone(request, source, record).await
            }
            Operation::AllocateVolume { .. } | Operation::DestroyVolume { .. } if self.guest(request.vmid).is_err() => {
                self.submit_without_guest(request).await
            }
            _ => self.submit_queued(request).await,
        }
    }

    async fn submit_queued(self: &Arc<Self>, request: OperationRequest) -> Result<Upid> {
        let guest = self.guest(request.vmid)?;
        let place = guest.reserve()?;
        let upid = self.upid(&request)?;
        let task = self.tasks.accept(upid.clone(), request, Txn::default()).await?;
        place.send(Job::Task(task.ok_or_else(|| Error::internal("node.submit", "an unconditional write was refused"))?));
        Ok(upid)
    }

    /// The record and the task are one transaction: a number is given once.
    async fn reserve(&self, request: OperationRequest, record: &GuestRecord) -> Result<Arc<Task>> {
        let vmid = record.vmid;
        let taken = || Error::already_exists("guest.create", format!("VM {vmid}"));
        if self.guest(vmid).is_ok() {
            return Err(taken());
        }
        let key = keys::guest(vmid)?;
        let also = Txn::default().expecting(Expect::Absent(key.clone())).and_put(key, record.encode()?);
        let upid = self.upid(&request)?;
        self.tasks.accept(upid, request, also).await?.ok_or_else(taken)
    }

    async fn submit_new(self: &Arc<Self>, request: OperationRequest, record: GuestRecord) -> Result<Upid> {
        let task = self.reserve(request, &record).await?;
        let upid = task.upid();
        let guest = self.adopt(record, None);
        self.hub.publish(Observed::Guest(Box::new(guest.report())));
        guest.reserve()?.send(Job::Task(task));
        Ok(upid)
    }

    async fn submit_clone(self: &Arc<Self>, request: OperationRequest, source: Arc<Guest>, record: GuestRecord) -> Result<Upid> {
        let place = source.reserve()?;
        let task = self.reserve(request, &record).await?;
        let upid = task.upid();
        let target = self.adopt(record, None);
        self.hub.publish(Observed::Guest(Box::new(target.report())));
        target.reserve()?.send(Job::After(Arc::clone(&task)));
        place.send(Job::Task(task));
        Ok(upid)
    }

    /// Work on a volume whose owner does not exist: there is no queue to wait in.
    async fn submit_without_guest(self: &Arc<Self>, request: OperationRequest) -> Result<Upid> {
        let upid = self.upid(&request)?;
        let task = self.tasks.accept(upid.clone(), request, Txn::default()).await?;
        let task = task.ok_or_else(|| Error::internal("node.submit", "an unconditional write was refused"))?;
        self.spawn(super::volumes::perform_without_guest(Arc::clone(self), task));
        Ok(upid)
    }

    /// Everything there is, for a follower that begins.
    fn state(&self) -> Vec<Observed> {
        let info = self.info.borrow().clone().map(|i| Observed::Info(Box::new(i)));
        let guests = self.guests().into_iter().map(|g| Observed::Guest(Box::new(g.report())));
        let mut tasks = self.tasks.list(&TaskFilter { limit: TOLD_TASKS, ..TaskFilter::default() });
        tasks.extend(self.tasks.list(&TaskFilter { running: Some(true), ..TaskFilter::default() }));
        tasks.sort_by_key(|t| t.upid.serial);
        tasks.dedup_by_key(|t| t.upid.serial);
        let tasks = tasks.into_iter().map(|t| Observed::Task(Box::new(t)));
        info.into_iter().chain(guests).chain(tasks).collect()
    }
}

fn turn_of(id: &OperationId) -> usize {
    let mut hash = std::hash::DefaultHasher::new();
    id.hash(&mut hash);
    usize::try_from(hash.finish() % TURNS as u64).unwrap_or_default()
}

/// PVE's word for an operation, and the id that a task shows.
fn kind_of(request: &OperationRequest) -> (&'static str, String) {
    let vmid = request.vmid.to_string();
    match &request.operation {
        Operation::Create { .. } => ("qmcreate", vmid),
        Operation::Start => ("qmstart", vmid),
        Operation::Stop => ("qmstop", vmid),
        Operation::Shutdown(_) => ("qmshutdown", vmid),
        Operation::Reboot(_) => ("qmreboot", vmid),
        Operation::Reset => ("qmreset", vmid),
        Operation::Pause => ("qmpause", vmid),
        Operation::Resume => ("qmresume", vmid),
        Operation::Delete(_) => ("qmdestroy", vmid),
        Operation::Clone(_) => ("qmclone", vmid),
        Operation::Template { .. } => ("qmtemplate", vmid),
        Operation::Snapshot { .. } => ("qmsnapshot", vmid),
        Operation::DeleteSnapshot { .. } => ("qmdelsnapshot", vmid),
        Operation::Rollback { .. } => ("qmrollback", vmid),
        Operation::Resize { .. } => ("resize", vmid),
        Operation::Update(_) | Operation::DescribeSnapshot { .. } => ("qmconfig", vmid),
        Operation::DestroyVolume { volume } => ("imgdel", format!("{vmid}@{}", volume.storage())),
        Operation::AllocateVolume { storage, .. } => ("imgalloc", format!("{vmid}@{storage}")),
    }
}

impl NodeEngine {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let stop = watch::Sender::new(false);
        let (mut stopped, engine) = (stop.subscribe(), Arc::clone(&inner));
        tokio::spawn(async move {
            let _ = stopped.wait_for(|s| *s).await;
            engine.stop_workers();
        });
        Self { inner, _life: Arc::new(Life { stop }) }
    }

    /// Stops working without stopping guests: sagas end at their next write and go on at the next start.
    pub fn close(&self) {
        self.inner.stop_workers();
    }

    /// Runs an operation for `user` under a fresh id and returns its task; what embedders use.
    pub async fn run(&self, user: &UserId, vmid: Vmid, operation: Operation) -> Result<TaskReport> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let id = id.parse().map_err(|e: crate::types::TextError| Error::internal("node.run", e.to_string()))?;
        let upid = self.submit(OperationRequest { id, user: user.clone(), vmid, operation }).await?;
        self.wait(&upid).await
    }

    /// Returns a task's report once it has ended. Cancel safe.
    pub async fn wait(&self, upid: &Upid) -> Result<TaskReport> {
        let task = self.inner.tasks.get(upid)?;
        task.ended().await;
        Ok(task.report())
    }

    /// The guest's report now.
    pub fn guest(&self, vmid: Vmid) -> Result<crate::ports::GuestReport> {
        Ok(self.inner.guest(vmid)?.report())
    }
}

#[async_trait]
impl Node for NodeEngine {
    fn name(&self) -> &NodeName {
        &self.inner.ports.name
    }

    async fn info(&self) -> Result<NodeInfo> {
        let known = self.inner.info.borrow().clone();
        match known {
            Some(info) => Ok(info),
            None => self.inner.ports.host.sample().await,
        }
    }

    async fn submit(&self, request: OperationRequest) -> Result<Upid> {
        self.inner.submit(request).await
    }

    async fn observe(&self, after: Option<Seq>) -> Result<Box<dyn ObservationStream>> {
        if let Some(follower) = after.and_then(|seq| self.inner.hub.follow(seq)) {
            return Ok(Box::new(follower));
        }
        // The number is taken before the state: what changes in between is told twice, never missed.
        let from = self.inner.hub.last();
        let storages = super::volumes::storage_reports(&self.inner).await;
        let state = storages.into_iter().map(Observed::Storage).chain(self.inner.state()).collect();
        let lost = || Error::new(ErrorKind::Unavailable, "node.observe", "too much happened meanwhile: observe again");
        Ok(Box::new(self.inner.hub.follow(from).ok_or_else(lost)?.beginning_with(state)))
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskReport>> {
        Ok(self.inner.tasks.list(filter))
    }

    async fn task(&self, upid: &Upid) -> Result<TaskReport> {
        Ok(self.inner.tasks.get(upid)?.report())
    }

    async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)> {
        self.inner.tasks.log(upid, start, limit).await
    }

    async fn cancel(&self, upid: &Upid) -> Result<()> {
        let task = self.inner.tasks.cancel(upid)?;
        if task.report().state == TaskState::Queued {
            self.inner.end_unbegun(&task, TaskState::Cancelled).await?;
        }
        Ok(())
    }

    async fn agent(&self, vmid: Vmid, call: AgentCall) -> Result<serde_json::Value> {
        let guest = self.inner.guest(vmid)?;
        if guest.record().running.as_ref().map_or(guest.record().spec.agent, |s| s.agent).is_none_or(|a| !a.enabled) {
            return Err(Error::precondition("agent", "No QEMU guest agent configured").on(vmid));
        }
        let not_running = || Error::precondition("agent", format!("VM {vmid} is not running")).on(vmid);
        let live = guest.live().ok_or_else(not_running)?;
        let silent = || Error::new(ErrorKind::Unavailable, "agent", "QEMU guest agent is not running").on(vmid);
        let agent = live.agent().ok_or_else(silent)?;
        let cx = OpCx::background().within(AGENT_TIMEOUT);
        let json = |v: serde_json::Result<serde_json::Value>| v.map_err(|e| Error::internal("agent", e.to_string()));
        match call {
            AgentCall::Ping => agent.ping(&cx).await.map(|()| serde_json::Value::Object(serde_json::Map::new())),
            AgentCall::Exec(exec) => agent.exec(&cx, exec).await.map(|pid| serde_json::json!({ "pid": pid })),
            AgentCall::ExecStatus { pid } => json(serde_json::to_value(agent.exec_status(&cx, pid).await?)),
            AgentCall::Query { command, arguments } => agent.query(&cx, &command, arguments).await,
        }
    }

    async fn content(&self, request: &ContentRequest) -> Result<Vec<VolumeReport>> {
        super::volumes::content(&self.inner, request).await
    }

    async fn console(&self, vmid: Vmid, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        let guest = self.inner.guest(vmid)?;
        let not_running = || Error::precondition("console", format!("VM {vmid} not running")).on(vmid);
        let live = guest.live().ok_or_else(not_running)?;
        let none = || Error::unsupported("console", format!("VM {vmid} has no console")).on(vmid);
        live.console().ok_or_else(none)?.open(&OpCx::background().within(AGENT_TIMEOUT), kind).await
    }
}

/// What goes with a task that is cancelled before it began: the guest that it reserved.
fn unreserve(task: &Task) -> Result<(Vec<Mutation>, Option<Vmid>)> {
    let Some(work) = task.work() else { return Ok((Vec::new(), None)) };
    let reserved = match work.request.operation {
        Operation::Create { .. } => work.request.vmid,
        Operation::Clone(clone) => clone.target,
        _ => return Ok((Vec::new(), None)),
    };
    Ok((vec![Mutation::Delete { key: keys::guest(reserved)? }], Some(reserved)))
}
