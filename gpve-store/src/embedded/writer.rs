//! The one thread that writes.
//!
//! It takes every job that waits, runs them as one SQLite transaction (a [`Turn`]) and answers them when it is durable.
//! A job that is refused has written nothing and does not touch the others. If SQLite itself fails, the turn is rolled
//! back and each job runs alone, so that only the one at fault fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gpve_core::ports::{Clock, LeaseId, Revision, StoreError, Txn, TxnOutcome, WatchBatch};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::error::explain;
use super::lock::Lock;
use super::schema::Opened;
use super::sweep;
use super::turn::{Effects, LeaseEffect, Turn, load_leases, load_marks};
use crate::lease::{Leases, end_on_time};
use crate::request::weight;
use crate::watch::{Group, Hub, closed};

/// Jobs that may wait; who asks for more waits before the queue.
const QUEUE_JOBS: usize = 1024;
/// KiB of transactions that may wait or run.
const QUEUE_KIB: usize = 32 * 1024;
/// Most jobs of one turn: bounds how long the first of them waits for the last.
const TURN_JOBS: usize = 512;
/// A turn takes no further jobs once its transactions have so many bytes.
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// What a job wants.
#[derive(Debug)]
pub(super) enum Ask {
    Commit(Txn),
    Grant(Duration),
    Renew(LeaseId),
    Revoke(LeaseId),
    Compact(Revision),
    /// Ends the leases that have run out.
    EndDue,
    /// Ends the thread after the jobs before it.
    Close,
}

/// What a job gets.
#[derive(Debug)]
pub(super) enum Answer {
    Outcome(TxnOutcome),
    Granted(LeaseId),
    Done,
}

#[derive(Debug)]
struct Job {
    ask: Ask,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
    _room: Option<OwnedSemaphorePermit>,
}

/// The asking side.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    ended: watch::Receiver<()>,
}

impl Writer {
    /// Starts the thread, and the tasks that end leases and wake watchers.
    pub(super) fn start(
        opened: Opened,
        path: &Path,
        clock: Arc<dyn Clock>,
        hub: Arc<Hub>,
        history_revisions: u64,
    ) -> Result<Self, StoreError> {
        let sql = |e: rusqlite::Error| explain(path, &e);
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let (ended_tx, ended) = watch::channel(());
        let (to_wake, groups) = mpsc::unbounded_channel();
        let leases = load_leases(&opened.connection, clock.monotonic(), clock.now()).map_err(sql)?;
        let (compacted, swept) = load_marks(&opened.connection).map_err(sql)?;
        let Opened { connection, lock, revision } = opened;
        let weak_jobs = jobs.downgrade();
        tokio::spawn(end_on_time(Arc::clone(&clock), leases.next_end(), move || end_due(weak_jobs.clone())));
        tokio::spawn(wake(groups));
        let desk = Desk {
            connection,
            path: path.to_owned(),
            clock,
            leases,
            revision,
            compacted,
            swept,
            history_revisions,
            sweep_failed_at: None,
            hub,
            to_wake,
            failed: None,
            _lock: lock,
            _ended: ended_tx,
        };
        let thread = std::thread::Builder::new().name("gpve-store".to_owned()).spawn(move || desk.work(queue));
        thread.map_err(|e| StoreError::Unavailable(format!("its thread does not start: {e}")))?;
        Ok(Self { jobs, room: Arc::new(Semaphore::new(QUEUE_KIB)), ended })
    }

    /// Queues a job and waits for its answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, StoreError> {
        let kib = if let Ask::Commit(txn) = &ask { u32::try_from(weight(txn).div_ceil(1024)).unwrap_or(u32::MAX) } else { 0 };
        let room = if kib > 0 { Arc::clone(&self.room).acquire_many_owned(kib).await.ok() } else { None };
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { ask, reply, _room: room }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Ends the thread and waits until it has let go of the file.
    pub(super) async fn close(&self) {
        // An error means that it has ended or is about to.
        let _ = self.ask(Ask::Close).await;
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// What the thread owns. Fields are dropped in this order: the connection before the lock, the end told last.
struct Desk {
    connection: Connection,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    leases: Leases,
    revision: Revision,
    compacted: Revision,
    swept: Revision,
    history_revisions: u64,
    /// Sweeping failed with history forgotten up to here; it is tried again with the next step.
    sweep_failed_at: Option<Revision>,
    hub: Arc<Hub>,
    /// At most every group once: see [`Group::needs_waking`].
    to_wake: mpsc::UnboundedSender<Vec<Arc<Group>>>,
    /// Set once it is not known any more what the disk holds; then nothing is written until the store is opened anew.
    failed: Option<StoreError>,
    _lock: Lock,
    _ended: watch::Sender<()>,
}

/// How a turn failed.
enum Failure {
    /// Nothing of it was written.
    RolledBack(rusqlite::Error),
    /// It may be on the disk or not.
    Unknown(rusqlite::Error),
}

impl Desk {
    fn work(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(TURN_JOBS);
        while self.next_jobs(&mut queue, &mut jobs) {
            if jobs.iter().any(|job| matches!(job.ask, Ask::Close)) {
                queue.close();
            }
            if !jobs.is_empty() {
                self.serve(&mut jobs);
            }
            if self.has_to_sweep() {
                self.sweep();
            }
        }
        tracing::info!(path = %self.path.display(), revision = self.revision.0, "store closed");
    }

    /// Fills `jobs` with what waits; waits for the first unless there is something left to sweep. False at the end.
    fn next_jobs(&self, queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) -> bool {
        let mut bytes = 0;
        while jobs.len() < TURN_JOBS && bytes < TURN_BYTES {
            let job = match queue.try_recv() {
                Ok(job) => job,
                Err(TryRecvError::Disconnected) => return !jobs.is_empty(),
                Err(TryRecvError::Empty) if !jobs.is_empty() || self.has_to_sweep() => break,
                Err(TryRecvError::Empty) => match queue.blocking_recv() {
                    Some(job) => job,
                    None => return false,
                },
            };
            bytes += job.weight();
            jobs.push(job);
        }
        true
    }

    fn serve(&mut self, jobs: &mut Vec<Job>) {
        if let Some(failed) = &self.failed {
            jobs.drain(..).for_each(|job| job.answer(Err(failed.clone())));
            return;
        }
        match self.turn(jobs) {
            Ok((answers, effects)) => {
                self.take_over(&effects);
                jobs.drain(..).zip(answers).for_each(|(job, answer)| job.answer(answer));
                self.publish(effects.commits);
            }
            Err(Failure::RolledBack(e)) if jobs.len() > 1 => {
                tracing::debug!(jobs = jobs.len(), error = %e, "a turn failed; its jobs run alone");
                for job in jobs.drain(..) {
                    self.serve(&mut vec![job]);
                }
            }
            Err(Failure::RolledBack(e)) => {
                let error = explain(&self.path, &e);
                tracing::warn!(%error, "a write failed");
                jobs.drain(..).for_each(|job| job.answer(Err(error.clone())));
            }
            Err(Failure::Unknown(e)) => {
                self.fail(&e);
                self.serve(jobs);
            }
        }
    }

    /// Runs jobs as one SQLite transaction.
    fn turn(&self, jobs: &[Job]) -> Result<(Vec<Result<Answer, StoreError>>, Effects), Failure> {
        self.transact(|| {
            let mut turn = Turn {
                connection: &self.connection,
                leases: &self.leases,
                now: self.clock.monotonic(),
                wall: self.clock.now(),
                swept: self.swept,
                effects: Effects::at(self.revision, self.compacted),
            };
            let answers = jobs.iter().map(|job| turn.run(&job.ask)).collect::<rusqlite::Result<Vec<_>>>()?;
            turn.keep(self.history_revisions)?;
            Ok((answers, turn.effects))
        })
    }

    fn transact<T>(&self, work: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, Failure> {
        let done = self.execute("BEGIN IMMEDIATE").and_then(|()| work()).map_err(Failure::RolledBack);
        let done = done.and_then(|done| match self.execute("COMMIT") {
            Ok(()) => Ok(done),
            Err(e) => match e.sqlite_error_code() {
                Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy) => Err(Failure::RolledBack(e)),
                _ => Err(Failure::Unknown(e)),
            },
        });
        // SQLite has rolled back some failures by itself.
        if done.is_err()
            && !self.connection.is_autocommit()
            && let Err(e) = self.execute("ROLLBACK")
        {
            return Err(Failure::Unknown(e));
        }
        done
    }

    /// Takes over what a durable turn has changed; before the answers, because a lease runs from its answer at the latest.
    fn take_over(&mut self, effects: &Effects) {
        (self.revision, self.compacted) = (effects.revision, effects.compacted);
        let now = self.clock.monotonic();
        for effect in &effects.leases {
            match effect {
                LeaseEffect::Full(lease, ttl) => self.leases.set(*lease, *ttl, now + *ttl),
                LeaseEffect::Ended(lease) => self.leases.forget(*lease),
            }
        }
        self.leases.announce();
    }

    /// Lets the watchers know; after the answers, because the writers are waited for.
    fn publish(&self, commits: Vec<WatchBatch>) {
        if commits.is_empty() {
            return;
        }
        let commits: Vec<_> = commits.into_iter().map(Arc::new).collect();
        let groups = self.hub.publish(&commits);
        if !groups.is_empty() {
            // Without a runtime there is nobody to wake.
            let _ = self.to_wake.send(groups);
        }
    }

    fn has_to_sweep(&self) -> bool {
        self.swept < self.compacted && self.sweep_failed_at != Some(self.compacted) && self.failed.is_none()
    }

    fn sweep(&mut self) {
        match self.transact(|| sweep::step(&self.connection, self.swept, self.compacted)) {
            Ok(swept) => self.swept = swept,
            Err(Failure::RolledBack(e)) => {
                tracing::warn!(error = %explain(&self.path, &e), "forgotten history keeps its space for now");
                self.sweep_failed_at = Some(self.compacted);
            }
            Err(Failure::Unknown(e)) => self.fail(&e),
        }
    }

    fn fail(&mut self, error: &rusqlite::Error) {
        let text = format!("{}: {error}; nothing more is written until it is opened anew", self.path.display());
        tracing::error!(error = text, "the disk failed");
        self.failed = Some(StoreError::Unavailable(text));
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Also if the thread panics: nobody is to wait for commits that cannot come.
        self.hub.close();
    }
}

impl Job {
    fn weight(&self) -> usize {
        if let Ask::Commit(txn) = &self.ask { weight(txn) } else { 0 }
    }

    fn answer(self, answer: Result<Answer, StoreError>) {
        // Who asked may be gone.
        let _ = self.reply.send(answer);
    }
}

/// Asks for the end of due leases; false once the store is gone.
async fn end_due(jobs: mpsc::WeakSender<Job>) -> bool {
    match jobs.upgrade() {
        Some(jobs) => jobs.send(Job { ask: Ask::EndDue, reply: oneshot::channel().0, _room: None }).await.is_ok(),
        None => false,
    }
}

/// Wakes watchers away from the writer's thread: a thousand take longer than a flush of the disk.
async fn wake(mut groups: mpsc::UnboundedReceiver<Vec<Arc<Group>>>) {
    while let Some(groups) = groups.recv().await {
        groups.iter().for_each(|group| group.wake());
    }
}
