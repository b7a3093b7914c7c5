//! Tasks: a view of the saga log. One durable record per task, a log in chunks beside it, and the index that makes an
//! operation given twice one task.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::env::Env;
use super::keys;
use super::memo::Memo;
use super::observe::Hub;
use crate::error::{Error, Result};
use crate::ports::{
    Cancel, CancelHandle, Clock, ListRequest, LogSink, Mutation, Observed, OperationRequest, Store, TaskFilter, TaskLogLine, TaskReport,
    TaskState, Txn, TxnOutcome,
};
use crate::saga::{Position, SagaLog};
use crate::types::{OperationId, Timestamp, Upid, Vmid};

/// Ended tasks that are kept. PVE keeps about as many in its index files.
pub(super) const KEPT_TASKS: usize = 5_000;
/// How many tasks more are let grow before old ones are dropped, so that dropping comes in batches.
const PRUNE_SLACK: usize = 256;
/// Lines of one task's log; a task that writes more ends its log with a note.
const LOG_LINES: usize = 10_000;
/// Longest line in bytes; longer ones are cut.
const LINE_BYTES: usize = 4_096;

/// A task's durable form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskRecord {
    v: u8,
    pub(super) report: TaskReport,
    /// What was asked and where it is; gone once it ended.
    pub(super) work: Option<Work>,
    chunks: u32,
    lines: u64,
}

/// What a restart needs to go on with a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    pub(super) request: OperationRequest,
    /// `None` while it is queued.
    pub(super) position: Option<Position>,
    pub(super) memo: Memo,
}

/// One task in memory.
pub(super) struct Task {
    record: Mutex<TaskRecord>,
    log: Mutex<Lines>,
    cancel: (CancelHandle, Cancel),
    ended: tokio::sync::watch::Sender<bool>,
    /// Held over each write, so that the record in memory and the stored one change together.
    writing: tokio::sync::Mutex<()>,
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
}

/// Lines not yet durable, and how many are.
#[derive(Default)]
struct Lines {
    flushed: u64,
    chunks: u32,
    fresh: Vec<String>,
    warnings: u32,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Task {
    pub(super) fn report(&self) -> TaskReport {
        lock(&self.record).report.clone()
    }

    pub(super) fn upid(&self) -> Upid {
        lock(&self.record).report.upid.clone()
    }

    pub(super) fn work(&self) -> Option<Work> {
        lock(&self.record).work.clone()
    }

    pub(super) fn is_final(&self) -> bool {
        lock(&self.record).report.state.is_final()
    }

    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel.1
    }

    /// Returns once it has ended. Cancel safe.
    pub(super) async fn ended(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Makes `change` durable together with `also` and the fresh log lines, runs `then`, and announces the task. An
    /// ended task does not change any more. What
    /// `then` announces is seen before the task, so that whoever waits for the task finds it.
    pub(super) async fn write(
        &self,
        change: impl FnOnce(&mut TaskRecord) + Send,
        also: Vec<Mutation>,
        then: impl FnOnce() + Send,
    ) -> Result<()> {
        let _writing = self.writing.lock().await;
        let mut next = lock(&self.record).clone();
        if next.report.state.is_final() {
            return Ok(());
        }
        let before = next.report.clone();
        change(&mut next);
        let mut txn = Txn { expect: Vec::new(), then: also };
        let flushed = self.take_chunk(&mut next, &mut txn)?;
        let value = serde_json::to_vec(&next).map_err(|e| Error::internal("task.write", e.to_string()))?;
        txn = txn.and_put(keys::task(next.report.upid.serial)?, value);
        self.store.commit(txn).await?;
        let changed = next.report != before;
        let report = next.report.clone();
        *lock(&self.record) = next;
        self.chunk_is_durable(flushed);
        then();
        if report.state.is_final() {
            self.ended.send_replace(true);
        }
        if changed {
            self.hub.publish(Observed::Task(Box::new(report)));
        }
        Ok(())
    }

    /// Begins it at its saga's first step, together with `also`: from now on a restart goes on with it without asking again whether it may.
    pub(super) async fn begin(&self, step: Option<&'static str>, also: Vec<Mutation>, then: impl FnOnce() + Send) -> Result<()> {
        self.write(
            |r| {
                r.report.state = TaskState::Running;
                r.report.step = step.map(str::to_owned);
                if let Some(work) = &mut r.work {
                    work.position = Some(Position::start());
                }
            },
            also,
            then,
        )
        .await
    }

    /// Ends it as `state`, together with `also`; its last log line is PVE's `TASK OK` or `TASK ERROR: …`.
    pub(super) async fn end(&self, state: TaskState, also: Vec<Mutation>, then: impl FnOnce() + Send) -> Result<()> {
        let warnings = lock(&self.log).warnings;
        let state = if state == TaskState::Ok && warnings > 0 { TaskState::Warnings(warnings) } else { state };
        self.line(&match &state {
            TaskState::Ok => "TASK OK".to_owned(),
            TaskState::Warnings(n) => format!("TASK WARNINGS: {n}"),
            TaskState::Failed(why) | TaskState::Stuck(why) => format!("TASK ERROR: {why}"),
            TaskState::Cancelled => "TASK ERROR: cancelled".to_owned(),
            TaskState::Queued | TaskState::Running | TaskState::Undoing => String::new(),
        });
        let now = self.clock.now();
        self.write(
            |r| {
                r.report.state = state;
                r.report.ended = Some(now);
                r.report.step = None;
                r.work = None;
            },
            also,
            then,
        )
        .await
    }

    fn take_chunk(&self, next: &mut TaskRecord, txn: &mut Txn) -> Result<usize> {
        let log = lock(&self.log);
        if !log.fresh.is_empty() {
            let key = keys::log_chunk(next.report.upid.serial, log.chunks)?;
            let text = serde_json::to_vec(&log.fresh).map_err(|e| Error::internal("task.log", e.to_string()))?;
            txn.then.push(Mutation::Put { key, value: text.into(), lease: None });
            next.chunks = log.chunks + 1;
            next.lines = log.flushed + log.fresh.len() as u64;
        }
        Ok(log.fresh.len())
    }

    fn chunk_is_durable(&self, lines: usize) {
        if lines > 0 {
            let mut log = lock(&self.log);
            log.fresh.drain(..lines);
            log.flushed += lines as u64;
            log.chunks += 1;
        }
    }
}

impl LogSink for Task {
    fn line(&self, text: &str) {
        let mut log = lock(&self.log);
        let count = usize::try_from(log.flushed).unwrap_or(usize::MAX).saturating_add(log.fresh.len());
        if count > LOG_LINES {
            return;
        }
        let mut line = text.replace(['\n', '\r'], " ");
        if count == LOG_LINES {
            line = format!("(the log ends here: more than {LOG_LINES} lines)");
        }
        if line.len() > LINE_BYTES {
            let cut = (0..=LINE_BYTES).rev().find(|i| line.is_char_boundary(*i)).unwrap_or(0);
            line.truncate(cut);
        }
        log.fresh.push(line);
    }

    fn warn(&self, text: &str) {
        lock(&self.log).warnings += 1;
        self.line(&format!("WARN: {text}"));
    }
}

/// The log of one guest's saga: what a step changed of the guest's record becomes durable with the next position.
pub(super) struct GuestLog<'s> {
    pub(super) task: &'s Task,
    pub(super) env: &'s Env,
}

#[async_trait]
impl SagaLog<Memo> for GuestLog<'_> {
    async fn write(&self, position: &Position, memo: &Memo) -> Result<()> {
        let undoing = matches!(position.direction, crate::saga::Direction::Backward(_));
        let staged = self.env.staged();
        let also = staged.iter().map(|record| self.env.put(record)).collect::<Result<_>>()?;
        self.task
            .write(
                |r| {
                    r.report.state = if undoing { TaskState::Undoing } else { TaskState::Running };
                    r.report.step = position.step.as_deref().map(str::to_owned);
                    if let Some(work) = &mut r.work {
                        work.position = Some(position.clone());
                        work.memo = memo.clone();
                    }
                },
                also,
                || staged.into_iter().for_each(|record| self.env.announce(record)),
            )
            .await
    }
}

/// All tasks of a node.
pub(super) struct Tasks {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_serial: BTreeMap<u64, Arc<Task>>,
    by_operation: HashMap<OperationId, u64>,
    last_serial: u64,
}

impl Tasks {
    /// Reads all tasks. Returns those that have not ended, oldest first.
    pub(super) async fn load(store: Arc<dyn Store>, hub: Arc<Hub>, clock: Arc<dyn Clock>) -> Result<(Self, Vec<Arc<Task>>)> {
        let tasks = Self { store, hub, clock, table: RwLock::default() };
        let mut open = Vec::new();
        for entry in tasks.store.list(ListRequest::prefix(keys::TASKS)).await?.entries {
            let record: TaskRecord = serde_json::from_slice(&entry.value)
                .map_err(|e| Error::internal("task.load", format!("{} cannot be read: {e}", entry.key)))?;
            let ended = record.report.state.is_final();
            let task = tasks.insert(record);
            if !ended {
                open.push(task);
            }
        }
        Ok((tasks, open))
    }

    fn insert(&self, record: TaskRecord) -> Arc<Task> {
        let lines = Lines { flushed: record.lines, chunks: record.chunks, fresh: Vec::new(), warnings: 0 };
        let ended = record.report.state.is_final();
        let (serial, operation) = (record.report.upid.serial, record.report.operation.clone());
        let task = Arc::new(Task {
            record: Mutex::new(record),
            log: Mutex::new(lines),
            cancel: CancelHandle::new(),
            ended: tokio::sync::watch::Sender::new(ended),
            writing: tokio::sync::Mutex::new(()),
            store: Arc::clone(&self.store),
            hub: Arc::clone(&self.hub),
            clock: Arc::clone(&self.clock),
        });
        let mut table = self.write_table();
        table.last_serial = table.last_serial.max(serial);
        table.by_serial.insert(serial, Arc::clone(&task));
        table.by_operation.insert(operation, serial);
        task
    }

    fn write_table(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_table(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task that an operation became.
    pub(super) fn of_operation(&self, id: &OperationId) -> Option<Arc<Task>> {
        let table = self.read_table();
        table.by_operation.get(id).and_then(|s| table.by_serial.get(s)).cloned()
    }

    /// The task with this id.
    pub(super) fn get(&self, upid: &Upid) -> Result<Arc<Task>> {
        let found = self.read_table().by_serial.get(&upid.serial).cloned();
        found.filter(|t| t.upid() == *upid).ok_or_else(|| Error::not_found("task", format!("task {upid}")))
    }

    /// A fresh serial number.
    pub(super) fn next_serial(&self) -> u64 {
        let mut table = self.write_table();
        table.last_serial += 1;
        table.last_serial
    }

    /// Makes a task durable together with `also`, if `expect` holds, and announces it. `None` if it does not hold.
    pub(super) async fn accept(&self, upid: Upid, request: OperationRequest, mut also: Txn) -> Result<Option<Arc<Task>>> {
        let report = TaskReport {
            upid: upid.clone(),
            operation: request.id.clone(),
            vmid: request.vmid,
            state: TaskState::Queued,
            step: None,
            started: self.clock.now(),
            ended: None,
        };
        let work = Work { request, position: None, memo: Memo::default() };
        let record = TaskRecord { v: 1, report, work: Some(work), chunks: 0, lines: 0 };
        let value = serde_json::to_vec(&record).map_err(|e| Error::internal("task.accept", e.to_string()))?;
        also = also.and_put(keys::task(upid.serial)?, value);
        also = also.and_put(keys::operation(&record.report.operation)?, upid.serial.to_be_bytes().to_vec());
        match self.store.commit(also).await? {
            TxnOutcome::Refused { .. } => Ok(None),
            TxnOutcome::Committed(_) => {
                let announced = record.report.clone();
                let task = self.insert(record);
                self.hub.publish(Observed::Task(Box::new(announced)));
                self.prune().await;
                Ok(Some(task))
            }
        }
    }

    /// Tasks that pass `filter`, newest first.
    pub(super) fn list(&self, filter: &TaskFilter) -> Vec<TaskReport> {
        let limit = if filter.limit == 0 { TaskFilter::MAX } else { filter.limit.min(TaskFilter::MAX) };
        let table = self.read_table();
        let reports = table.by_serial.values().rev().map(|t| t.report());
        let wanted =
            reports.filter(|r| filter.vmid.is_none_or(|v| v == r.vmid) && filter.running.is_none_or(|run| run != r.state.is_final()));
        wanted.skip(filter.start).take(limit).collect()
    }

    /// Asks a task to stop. Returns it if it was still queued, to be ended by the caller.
    pub(super) fn cancel(&self, upid: &Upid) -> Result<Arc<Task>> {
        let task = self.get(upid)?;
        task.cancel.0.cancel();
        Ok(task)
    }

    /// Lines of a task's log and how many there are.
    pub(super) async fn log(&self, upid: &Upid, start: u64, limit: u64) -> Result<(Vec<TaskLogLine>, u64)> {
        let task = self.get(upid)?;
        // Fresh lines are read first: a flush in between then shows lines twice in the sources, never loses them.
        let (flushed, fresh) = {
            let log = lock(&task.log);
            (log.flushed, log.fresh.clone())
        };
        let mut lines = Vec::new();
        for entry in self.store.list(ListRequest::prefix(keys::log_prefix(upid.serial))).await?.entries {
            let chunk: Vec<String> = serde_json::from_slice(&entry.value).unwrap_or_default();
            lines.extend(chunk);
        }
        lines.truncate(usize::try_from(flushed).unwrap_or(usize::MAX));
        lines.extend(fresh);
        let total = lines.len() as u64;
        let numbered = (1..).zip(lines).map(|(n, t)| TaskLogLine { n, t });
        let skip = usize::try_from(start).unwrap_or(usize::MAX);
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok((numbered.skip(skip).take(take).collect(), total))
    }

    /// Drops the oldest ended tasks beyond what is kept. A failure only means that they are kept longer.
    async fn prune(&self) {
        let victims: Vec<Arc<Task>> = {
            let table = self.read_table();
            if table.by_serial.len() < KEPT_TASKS + PRUNE_SLACK {
                return;
            }
            let excess = table.by_serial.len() - KEPT_TASKS;
            table.by_serial.values().filter(|t| t.is_final()).take(excess).cloned().collect()
        };
        for task in victims {
            if let Err(e) = self.forget(&task).await {
                tracing::warn!(error = %e.report(), "an old task could not be dropped");
                return;
            }
        }
    }

    async fn forget(&self, task: &Task) -> Result<()> {
        let report = task.report();
        let serial = report.upid.serial;
        let mut txn = Txn::delete(keys::task(serial)?).and_delete(keys::operation(&report.operation)?);
        let chunks = self.store.list(ListRequest::prefix(keys::log_prefix(serial))).await?.entries;
        for entry in chunks.into_iter().take(Txn::MAX_OPS - 2) {
            txn = txn.and_delete(entry.key);
        }
        self.store.commit(txn).await?;
        let mut table = self.write_table();
        table.by_serial.remove(&serial);
        table.by_operation.remove(&report.operation);
        Ok(())
    }

    /// The task that works on `vmid` or waits for it, oldest first.
    pub(super) fn open_of(&self, vmid: Vmid) -> Option<TaskReport> {
        let table = self.read_table();
        table.by_serial.values().map(|t| t.report()).find(|r| r.vmid == vmid && !r.state.is_final())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
