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

/// A change that a task carries out: await it to see the end. Dropping it leaves the task alone.
#[derive(Debug, Clone)]
pub struct Job {
    client: Client,
    id: Option<String>,
}

impl Job {
    pub(super) const fn new(client: Client, id: Option<String>) -> Self {
        Self { client, id }
    }

    /// The task's id; none if nothing was to do.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Waits for the end, telling what happens; at once and with `None` if nothing was to do. Cancel safe.
    ///
    /// # Errors
    /// As [`Client::wait_task`].
    pub async fn wait(&self, tell: impl FnMut(Progress)) -> Result<Option<Task>, Error> {
        match &self.id {
            Some(id) => self.client.wait_task(id, tell).await.map(Some),
            None => Ok(None),
        }
    }

    /// Asks the task to stop; it undoes what it did.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn cancel(&self) -> Result<(), Error> {
        match &self.id {
            Some(id) => self.client.send(Request::to(Operation::V1TaskCancel).path("task", id)).await.map(drop),
            None => Ok(()),
        }
    }
}

impl IntoFuture for Job {
    type Output = Result<Option<Task>, Error>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.wait(|_| ()).await })
    }
}

impl Client {
    /// The task of that id, which an earlier [`Job::id`] gave: to wait for it again, in another process too. Nothing is asked yet.
    pub fn job(&self, id: impl Into<String>) -> Job {
        Job::new(self.clone(), Some(id.into()))
    }

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
