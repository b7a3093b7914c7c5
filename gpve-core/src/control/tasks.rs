//! Tasks of all nodes, as mirrored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::{TaskFilter, TaskReport, TaskState};
use crate::types::{OperationId, Upid};

/// Most tasks kept of one node; of older ones the node itself tells.
pub(super) const TASKS_MAX: usize = TaskFilter::MAX;

/// Tasks of one node, by age.
#[derive(Debug, Default)]
pub(super) struct TaskTable(BTreeMap<(u64, u64), Arc<TaskReport>>);

fn age(upid: &Upid) -> (u64, u64) {
    (upid.start.secs(), upid.serial)
}

impl TaskTable {
    /// Takes in how a task is now; gives how it was. The oldest ended tasks make room.
    pub(super) fn put(&mut self, report: TaskReport) -> Option<Arc<TaskReport>> {
        let before = self.0.insert(age(&report.upid), Arc::new(report));
        while self.0.len() > TASKS_MAX {
            let Some(oldest) = self.0.iter().find(|(_, t)| t.state.is_final()).map(|(k, _)| *k) else { break };
            self.0.remove(&oldest);
        }
        before
    }

    /// A task; its id must match in every part.
    pub(super) fn get(&self, upid: &Upid) -> Option<&Arc<TaskReport>> {
        // Compared as text: fractions of the start's second do not survive it.
        self.0.get(&age(upid)).filter(|t| t.upid.to_string() == upid.to_string())
    }

    /// The task of an operation.
    pub(super) fn of_operation(&self, operation: &OperationId) -> Option<&Arc<TaskReport>> {
        self.0.values().rev().find(|t| t.operation == *operation)
    }

    /// Forgets tasks that did not end and that `keep` does not name.
    pub(super) fn forget_running(&mut self, keep: impl Fn(&Upid) -> bool) {
        self.0.retain(|_, t| t.state.is_final() || keep(&t.upid));
    }

    /// Tasks that pass the filter's conditions (not its window), newest first.
    pub(super) fn newest<'a>(&'a self, filter: &'a TaskFilter) -> impl Iterator<Item = &'a Arc<TaskReport>> {
        let passes =
            |t: &&Arc<TaskReport>| filter.vmid.is_none_or(|v| v == t.vmid) && filter.running.is_none_or(|r| r != t.state.is_final());
        self.0.values().rev().filter(passes)
    }
}

/// A task's state in one word, as events carry it.
pub(super) fn word(state: &TaskState) -> &'static str {
    match state {
        TaskState::Queued => "queued",
        TaskState::Running => "running",
        TaskState::Undoing => "undoing",
        TaskState::Ok => "ok",
        TaskState::Warnings(_) => "warnings",
        TaskState::Failed(_) => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Stuck(_) => "stuck",
    }
}

/// Cuts the filter's window out of tasks in order.
pub(super) fn window(tasks: impl Iterator<Item = Arc<TaskReport>>, filter: &TaskFilter) -> Vec<Arc<TaskReport>> {
    let limit = if filter.limit == 0 { TaskFilter::MAX } else { filter.limit.min(TaskFilter::MAX) };
    tasks.skip(filter.start).take(limit).collect()
}
