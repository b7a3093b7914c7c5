//! Waiting for tasks.

use gpve_core::error::{Error, ErrorKind};

use super::{Client, Request};
use crate::routes::Operation;
use crate::v1::{List, Task, TaskLine, TaskPhase};

/// How long the server may hold one poll.
const POLL_SECONDS: u64 = 20;
/// Lines of a log per request.
const LINES: u64 = 500;

/// What is told while a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A new line of its log.
    Line(TaskLine),
    /// It went to another phase or step.
    Step(Box<Task>),
}

impl Client {
    /// Waits until a task has ended, telling what happens. Cancel safe; dropping it does not cancel the task.
    ///
    /// # Errors
    /// The task's own failure: [`ErrorKind::FailedPrecondition`], [`ErrorKind::Cancelled`] or [`ErrorKind::Stuck`] with its
    /// message; and what requests fail for.
    pub async fn wait_task(&self, id: &str, mut tell: impl FnMut(Progress)) -> Result<Task, Error> {
        let (mut told, mut last): (u64, Option<(TaskPhase, Option<String>)>) = (0, None);
        loop {
            // The first look is at once; later ones let the server answer when something happens.
            let wait = if last.is_none() { 0 } else { POLL_SECONDS.min(1 + told) };
            let request = Request::to(Operation::V1TaskRead).path("task", id).param("waitSeconds", wait);
            let task: Task = self.get(request).await?;
            told = self.tell_lines(id, told, &mut tell).await?;
            let state = (task.phase, task.step.clone());
            if last.as_ref() != Some(&state) {
                tell(Progress::Step(Box::new(task.clone())));
                last = Some(state);
            }
            if task.is_final() {
                self.tell_lines(id, told, &mut tell).await?;
                return outcome(task);
            }
        }
    }

    async fn tell_lines(&self, id: &str, mut told: u64, tell: &mut impl FnMut(Progress)) -> Result<u64, Error> {
        loop {
            let request = Request::to(Operation::V1TaskLog).path("task", id).param("start", told).param("limit", LINES);
            let lines: List<TaskLine> = self.get(request).await?;
            let full = lines.items.len() as u64 >= LINES;
            told += lines.items.len() as u64;
            lines.items.into_iter().for_each(|line| tell(Progress::Line(line)));
            if !full {
                return Ok(told);
            }
        }
    }
}

fn outcome(task: Task) -> Result<Task, Error> {
    let kind = match task.phase {
        TaskPhase::Succeeded => return Ok(task),
        TaskPhase::Cancelled => ErrorKind::Cancelled,
        TaskPhase::Stuck => ErrorKind::Stuck,
        TaskPhase::Failed | TaskPhase::Queued | TaskPhase::Running | TaskPhase::Undoing => ErrorKind::FailedPrecondition,
    };
    let message = task.message.clone().unwrap_or_else(|| "the task did not succeed".to_owned());
    Err(Error::new(kind, "task", message).on(&task.id))
}
