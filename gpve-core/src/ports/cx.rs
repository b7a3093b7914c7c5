//! What every effect is told: until when, for which task, and whether anybody still wants it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::types::Upid;

/// Where a task's log lines go. Lines are one line each; writing never blocks and never fails the effect.
pub trait LogSink: Send + Sync {
    /// Appends a line to the task's log.
    fn line(&self, text: &str);

    /// Appends a warning: the task then ends as `WARNINGS: n` instead of `OK`.
    fn warn(&self, text: &str) {
        self.line(&format!("WARN: {text}"));
    }
}

/// The asking side of a cancellation.
#[derive(Debug, Clone)]
pub struct CancelHandle(Arc<watch::Sender<bool>>);

impl CancelHandle {
    /// A handle and what listens to it.
    pub fn new() -> (Self, Cancel) {
        let (tx, rx) = watch::channel(false);
        (Self(Arc::new(tx)), Cancel(rx))
    }

    /// Asks everyone who listens to stop. Repeating it is harmless.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// The listening side of a cancellation.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Never cancelled.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// True once asked to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once asked to stop; never otherwise. Cancel safe.
    pub async fn cancelled(&mut self) {
        if self.0.wait_for(|c| *c).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Context of one effect.
#[derive(Clone)]
pub struct OpCx {
    deadline: Option<Instant>,
    cancel: Cancel,
    task: Option<Upid>,
    log: Option<Arc<dyn LogSink>>,
}

impl OpCx {
    /// No deadline, no task, never cancelled.
    pub fn background() -> Self {
        Self { deadline: None, cancel: Cancel::never(), task: None, log: None }
    }

    /// Work of `task`, cancelled by `cancel`, logging to `log`.
    pub fn task(task: Upid, cancel: Cancel, log: Arc<dyn LogSink>) -> Self {
        Self { deadline: None, cancel, task: Some(task), log: Some(log) }
    }

    /// The same context with at most `timeout` from now; an earlier deadline stays.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        let at = Instant::now() + timeout;
        Self { deadline: Some(self.deadline.map_or(at, |d| d.min(at))), ..self.clone() }
    }

    /// The same context without cancellation, for undoing.
    #[must_use]
    pub fn uncancellable(&self) -> Self {
        Self { cancel: Cancel::never(), ..self.clone() }
    }

    /// When it must be done.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The task it belongs to.
    pub fn task_id(&self) -> Option<&Upid> {
        self.task.as_ref()
    }

    /// The cancellation.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Adds a line to the task's log, if there is a task.
    pub fn log(&self, text: impl AsRef<str>) {
        if let Some(log) = &self.log {
            log.line(text.as_ref());
        }
    }

    /// Adds a warning to the task's log, if there is a task.
    pub fn warn(&self, text: impl AsRef<str>) {
        if let Some(log) = &self.log {
            log.warn(text.as_ref());
        }
    }

    /// Runs `work` until it ends, the deadline passes ([`ErrorKind::Timeout`]) or it is cancelled
    /// ([`ErrorKind::Cancelled`]); in the latter two cases `work` is dropped.
    pub async fn run<T>(&self, op: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut cancel = self.cancel.clone();
        let late = async {
            match self.deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, op, format!("{op} was cancelled"))),
            done = work => done,
            () = late => Err(Error::new(ErrorKind::Timeout, op, format!("{op} did not end in time"))),
        }
    }
}

impl std::fmt::Debug for OpCx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpCx").field("deadline", &self.deadline).field("task", &self.task).finish_non_exhaustive()
    }
}

/// Answer of an idempotent "make it so".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured<T> {
    /// It was so before.
    Already(T),
    /// It was made.
    Made(T),
}

impl<T> Ensured<T> {
    /// The thing, either way.
    pub fn into_inner(self) -> T {
        match self {
            Self::Already(t) | Self::Made(t) => t,
        }
    }
}

/// Answer of an idempotent removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was there and is gone.
    Gone,
    /// It was not there.
    WasAbsent,
}
