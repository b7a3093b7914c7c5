//! Tasks as they are shown.

use gpve_core::ports::{TaskReport, TaskState};
use gpve_core::types::{NodeName, Upid, UserId, Vmid};
use serde::{Deserialize, Serialize};

use super::Rfc3339;

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskPhase {
    /// Waits for its turn.
    Queued,
    /// Runs.
    Running,
    /// Undoes what it did.
    Undoing,
    /// Done.
    Succeeded,
    /// Failed and undone.
    Failed,
    /// Cancelled and undone.
    Cancelled,
    /// Failed, and undoing failed too.
    Stuck,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Id.
    pub id: Upid,
    /// What it does (`qmstart`).
    #[serde(rename = "type")]
    pub kind: String,
    /// The guest it works on.
    pub vmid: Vmid,
    /// The node that runs it.
    pub node: NodeName,
    /// Who asked.
    pub user: UserId,
    /// How far it is.
    pub phase: TaskPhase,
    /// The step it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why it failed, or what to do when it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Warnings in its log.
    pub warnings: u32,
    /// When it was accepted.
    pub started: Rfc3339,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Rfc3339>,
}

impl Task {
    /// Whether it has ended, well or not.
    pub const fn is_final(&self) -> bool {
        !matches!(self.phase, TaskPhase::Queued | TaskPhase::Running | TaskPhase::Undoing)
    }
}

impl From<&TaskReport> for Task {
    fn from(t: &TaskReport) -> Self {
        let (phase, message, warnings) = match &t.state {
            TaskState::Queued => (TaskPhase::Queued, None, 0),
            TaskState::Running => (TaskPhase::Running, None, 0),
            TaskState::Undoing => (TaskPhase::Undoing, None, 0),
            TaskState::Ok => (TaskPhase::Succeeded, None, 0),
            TaskState::Warnings(n) => (TaskPhase::Succeeded, None, *n),
            TaskState::Failed(why) => (TaskPhase::Failed, Some(why.clone()), 0),
            TaskState::Cancelled => (TaskPhase::Cancelled, None, 0),
            TaskState::Stuck(what) => (TaskPhase::Stuck, Some(what.clone()), 0),
        };
        Self {
            id: t.upid.clone(),
            kind: t.upid.kind.to_string(),
            vmid: t.vmid,
            node: t.upid.node.clone(),
            user: t.upid.user.clone(),
            phase,
            step: t.step.clone(),
            message,
            warnings,
            started: t.started.into(),
            ended: t.ended.map(Rfc3339),
        }
    }
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLine {
    /// Number, from 1.
    pub n: u64,
    /// Text.
    pub t: String,
}
