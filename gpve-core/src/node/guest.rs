//! One task per guest: it owns the phase, drains the queue, performs sagas, and sees the process end.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;

use super::engine::Inner;
use super::env::Env;
use super::keys;
use super::record::GuestRecord;
use super::task::{GuestLog, Task};
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::vm::{Context, Effect, FailCause, Input, Observation, Phase, ProcessState, Request, Vm};
use crate::lifecycle::{Admission, Machine};
use crate::ports::{
    Event, EventKind, Exit, GuestReport, Live, LiveEvent, LiveEvents, LogSink, Mutation, Observed, OpCx, Operation, RunState, TaskState,
};
use crate::saga::{self, End, Position};
use crate::types::{GuestUsage, Vmid};

/// Requests that may wait for one guest. A client that has more in flight is told to wait.
pub(super) const QUEUE: usize = 64;

/// A guest in memory: what others may see and ask while its task works.
pub(super) struct Guest {
    pub(super) vmid: Vmid,
    record: RwLock<GuestRecord>,
    /// The record as the running saga changed it, not durable yet; its task's alone.
    staged: Mutex<Option<Box<GuestRecord>>>,
    live: RwLock<Option<Arc<dyn Live>>>,
    usage: Mutex<GuestUsage>,
    /// What of its hardware has failed although it goes on.
    trouble: Mutex<Option<String>>,
    /// When CPU time was last sampled, and how much it was in milliseconds.
    last_cpu: Mutex<Option<(std::time::Duration, u64)>>,
    queue: mpsc::Sender<Job>,
}

/// What waits in a guest's queue.
pub(super) enum Job {
    /// A task of this guest.
    Task(Arc<Task>),
    /// Another guest's task that this one must wait for: it is being made by it.
    After(Arc<Task>),
}

impl Guest {
    /// A guest and the receiving end of its queue, for [`run`].
    pub(super) fn new(record: GuestRecord) -> (Arc<Self>, mpsc::Receiver<Job>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let guest = Self {
            vmid: record.vmid,
            record: RwLock::new(record),
            staged: Mutex::default(),
            live: RwLock::new(None),
            usage: Mutex::default(),
            trouble: Mutex::default(),
            last_cpu: Mutex::default(),
            queue,
        };
        (Arc::new(guest), jobs)
    }

    pub(super) fn record(&self) -> GuestRecord {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn phase(&self) -> Phase {
        self.record.read().unwrap_or_else(PoisonError::into_inner).phase.clone()
    }

    pub(super) fn set_record(&self, record: GuestRecord) {
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = record;
    }

    pub(super) fn staged(&self) -> Option<GuestRecord> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).as_deref().cloned()
    }

    pub(super) fn set_staged(&self, record: Option<GuestRecord>) {
        *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = record.map(Box::new);
    }

    pub(super) fn put(&self, record: &GuestRecord) -> Result<Mutation> {
        Ok(Mutation::Put { key: keys::guest(self.vmid)?, value: record.encode()?.into(), lease: None })
    }

    pub(super) fn live(&self) -> Option<Arc<dyn Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_live(&self, live: Option<Arc<dyn Live>>) {
        if live.is_none() {
            self.set_usage(GuestUsage::default());
            self.set_trouble(None);
        }
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Notes what has failed of it; true if that is news.
    fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *known != trouble;
        *known = trouble;
        is_news
    }

    pub(super) fn set_usage(&self, usage: GuestUsage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    pub(super) fn usage(&self) -> GuestUsage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> GuestReport {
        let connected = self.live().is_some_and(|l| l.agent().is_some_and(|a| a.connected()));
        let usage = self.usage();
        let mut report = self.record.read().unwrap_or_else(PoisonError::into_inner).report(usage, connected);
        report.reason = report.reason.or_else(|| self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone());
        report
    }

    /// Cores in use since the last call, given the CPU time used by `now`.
    pub(super) fn cores_in_use(&self, now: std::time::Duration, cpu_time_ms: u64) -> f64 {
        let mut last = self.last_cpu.lock().unwrap_or_else(PoisonError::into_inner);
        let cores = match *last {
            Some((then, before)) if now > then && cpu_time_ms >= before => {
                std::time::Duration::from_millis(cpu_time_ms - before).as_secs_f64() / (now - then).as_secs_f64()
            }
            _ => 0.0,
        };
        *last = Some((now, cpu_time_ms));
        cores
    }

    /// Room for one more job, or why there is none.
    pub(super) fn reserve(&self) -> Result<mpsc::Permit<'_, Job>> {
        self.queue.try_reserve().map_err(|e| match e {
            mpsc::error::TrySendError::Full(()) => {
                let text = format!("VM {} has {QUEUE} requests waiting: wait for some of them", self.vmid);
                Error::new(ErrorKind::ResourceExhausted, "guest.queue", text).retry(crate::error::Retry::Later)
            }
            mpsc::error::TrySendError::Closed(()) => Error::not_found("guest.queue", format!("VM {}", self.vmid)),
        })
    }
}

/// Whether the guest's task goes on.
enum Then {
    GoOn,
    Gone,
}

/// What follows a live guest in the guest's task.
struct Following {
    live: Arc<dyn Live>,
    events: Box<dyn LiveEvents>,
    events_open: bool,
}

/// Runs a guest until it is deleted or the node engine ends.
pub(super) async fn run(node: Arc<Inner>, guest: Arc<Guest>, mut jobs: mpsc::Receiver<Job>) {
    let env = Env { node, guest };
    let mut following: Option<Following> = None;
    loop {
        if follow(&env, &mut following) {
            Box::pin(resync(&env)).await;
        }
        let live = following.as_ref().map(|f| Arc::clone(&f.live));
        let then = tokio::select! {
            biased;
            exit = ended(live) => Box::pin(process_gone(&env, exit)).await,
            event = next_event(following.as_mut()) => {
                Box::pin(on_event(&env, &mut following, event)).await;
                Then::GoOn
            }
            job = jobs.recv() => match job {
                // Boxed: a guest at rest need not carry the room for its work, which is most of what it would weigh.
                Some(Job::Task(task)) => Box::pin(perform(&env, &task)).await,
                Some(Job::After(task)) => { task.ended().await; still_there(&env) }
                None => Then::Gone,
            },
        };
        if matches!(then, Then::Gone) || !env.node.has(&env.guest) {
            break;
        }
    }
    env.node.forget(env.vmid());
    jobs.close();
    while let Some(job) = jobs.recv().await {
        if let Job::Task(task) = job {
            end_unbegun(&env, &task, TaskState::Failed(format!("VM {} does not exist", env.vmid()))).await;
        }
    }
}

/// A guest that another guest's task should have made is gone if that task failed.
fn still_there(env: &Env) -> Then {
    if env.node.has(&env.guest) { Then::GoOn } else { Then::Gone }
}

/// Follows the process that the guest has now; true if it is another one than before. What that one did before anybody
/// listened has to be asked for.
fn follow(env: &Env, following: &mut Option<Following>) -> bool {
    let live = env.live();
    let same = matches!((&live, &following), (Some(a), Some(f)) if Arc::ptr_eq(a, &f.live)) || (live.is_none() && following.is_none());
    if !same {
        *following = live.map(|live| Following { events: live.events(), live, events_open: true });
    }
    !same && following.is_some()
}

async fn ended(live: Option<Arc<dyn Live>>) -> Exit {
    match live {
        Some(live) => live.wait().await,
        None => std::future::pending().await,
    }
}

async fn next_event(following: Option<&mut Following>) -> Option<LiveEvent> {
    match following {
        Some(f) if f.events_open => f.events.next().await,
        _ => std::future::pending().await,
    }
}

async fn on_event(env: &Env, following: &mut Option<Following>, event: Option<LiveEvent>) {
    let observation = match event {
        None => {
            if let Some(f) = following {
                f.events_open = false;
            }
            return;
        }
        Some(LiveEvent::Panicked) => Observation::Panicked,
        Some(LiveEvent::Reset) => Observation::GuestReset,
        Some(LiveEvent::AgentConnected(_)) => {
            env.node.hub.publish(Observed::Guest(Box::new(env.guest.report())));
            return;
        }
        // A state told late may be over: two tasks that pause and resume must not look like a guest that does.
        Some(LiveEvent::State(_) | LiveEvent::Lagged) => return resync(env).await,
        Some(LiveEvent::PoweringOff | LiveEvent::Job { .. }) => return,
    };
    observe(env, observation).await;
}

/// How long a driver may take to tell a guest's state before the guest's tasks go on without it.
const OBSERVE: std::time::Duration = std::time::Duration::from_secs(5);

/// The driver's present state is all that counts.
async fn resync(env: &Env) {
    let Some(live) = env.live() else { return };
    if let Ok(status) = live.observe(&OpCx::background().within(OBSERVE)).await {
        if env.guest.set_trouble(status.trouble) {
            env.node.hub.publish(Observed::Guest(Box::new(env.guest.report())));
        }
        match status.state {
            RunState::Running => observe(env, Observation::Running).await,
            RunState::Paused => observe(env, Observation::Paused).await,
            RunState::IoError => observe(env, Observation::IoError).await,
            RunState::Panicked => observe(env, Observation::Panicked).await,
            RunState::Prelaunch | RunState::Suspended | RunState::Shutdown | RunState::Halted => {}
        }
    }
}

/// Takes in something that nobody asked for.
pub(super) async fn observe(env: &Env, observation: Observation) {
    let (phase, effects) = Vm::step(env.guest.phase(), Input::Observed(observation));
    if phase != env.guest.phase() {
        let done = env
            .update(|r| {
                r.reason = phase.reason();
                r.phase = phase;
            })
            .await;
        if let Err(e) = done {
            tracing::error!(vmid = %env.vmid(), error = %e.report(), "a guest's new phase could not be written down");
            return;
        }
    }
    publish(env, &effects);
}

fn publish(env: &Env, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Publish(kind) = effect {
            let details = [("phase".to_owned(), env.guest.phase().flat().to_string())].into();
            env.node.event(*kind, Some(env.vmid()), details);
        }
    }
}

/// The process has ended without a task having ended it.
async fn process_gone(env: &Env, exit: Exit) -> Then {
    tracing::info!(vmid = %env.vmid(), ?exit, "a guest's process has ended");
    if let Err(e) = super::wiring::tear_down(env, &OpCx::background()).await {
        tracing::error!(vmid = %env.vmid(), error = %e.report(), "a dead guest could not be cleaned up; it is tried again at the next start");
        env.set_live(None);
    }
    note_gone(env, exit).await;
    // Its failure is in this process's log: nobody asked for this end, so there is no task.
    let _ = super::hook::run(env, &OpCx::background(), crate::ports::HookPhase::PostStop).await;
    Then::GoOn
}

/// Writes down that the process is gone, with what its tear-down staged.
pub(super) async fn note_gone(env: &Env, exit: Exit) {
    observe(env, Observation::ProcessGone(exit)).await;
    if let Err(e) = env.flush().await {
        tracing::error!(vmid = %env.vmid(), error = %e.report(), "that a guest's process is gone could not be written down");
    }
}

/// Performs one task of the queue.
async fn perform(env: &Env, task: &Arc<Task>) -> Then {
    let Some(work) = task.work() else { return Then::GoOn };
    if task.cancel().is_cancelled() && work.position.is_none() {
        end_unbegun(env, task, TaskState::Cancelled).await;
        return still_there(env);
    }
    let operation = work.request.operation.clone();
    let request = Request::from(&operation);
    let resumed = work.position.is_some();
    if !resumed && let Some(then) = refuse(env, task, request).await {
        return then;
    }
    let steps = crate::sagas::steps(&operation);
    if resumed {
        task.line("going on after a restart");
    } else if let Err(e) = begin(env, task, request, steps.first().map(|step| step.name())).await {
        // Nothing was done that the log does not know of: the task begins at the next start.
        tracing::error!(vmid = %env.vmid(), error = %e.report(), "the beginning of a task could not be written down");
        return Then::GoOn;
    }
    let cx = OpCx::task(task.upid(), task.cancel().clone(), Arc::clone(task) as Arc<dyn LogSink>);
    let log = GuestLog { task, env };
    let mut memo = work.memo;
    let position = work.position.unwrap_or_else(Position::start);
    let end = saga::drive(&steps, &log, &cx, env, position, &mut memo).await;
    conclude(env, task, &operation, request, end).await
}

/// Refuses what the phase does not allow; `None` means go on.
async fn refuse(env: &Env, task: &Arc<Task>, request: Request) -> Option<Then> {
    let record = env.record();
    let context = Context { vmid: env.vmid(), template: record.spec.template, protected: record.spec.protection == Some(true) };
    match Vm::admit(&record.phase, &context, request) {
        Admission::Proceed => None,
        Admission::AlreadySo => {
            task.line(&format!("nothing to do: VM {} is in that state already", env.vmid()));
            end(task, TaskState::Ok, Vec::new()).await;
            Some(Then::GoOn)
        }
        Admission::Deny(denial) => {
            end_unbegun(env, task, TaskState::Failed(denial.to_string())).await;
            Some(still_there(env))
        }
    }
}

async fn begin(env: &Env, task: &Task, request: Request, step: Option<&'static str>) -> Result<()> {
    let (phase, effects) = Vm::step(env.guest.phase(), Input::Begin(request));
    let lock = request.lock().map(str::to_owned);
    let mut record = env.record();
    record.phase = phase;
    record.lock = lock;
    let put = env.put(&record)?;
    task.begin(step, vec![put], || env.announce(record)).await?;
    publish(env, &effects);
    Ok(())
}

async fn end(task: &Task, state: TaskState, also: Vec<Mutation>) {
    end_with(task, state, also, || ()).await;
}

async fn end_unbegun(env: &Env, task: &Task, state: TaskState) {
    if let Err(e) = env.node.end_unbegun(task, state).await {
        tracing::error!(task = %task.upid(), error = %e.report(), "the end of a task could not be written down");
    }
}

async fn end_with(task: &Task, state: TaskState, also: Vec<Mutation>, then: impl FnOnce() + Send) {
    if let Err(e) = task.end(state, also, then).await {
        tracing::error!(task = %task.upid(), error = %e.report(), "the end of a task could not be written down");
    }
}

async fn process_state(env: &Env) -> ProcessState {
    let Some(live) = env.live() else { return ProcessState::Gone };
    match live.observe(&OpCx::background()).await.map(|s| s.state) {
        Ok(RunState::Running) => ProcessState::Running,
        Ok(RunState::Paused | RunState::Prelaunch | RunState::Suspended) => ProcessState::Paused,
        Ok(RunState::IoError | RunState::Panicked | RunState::Shutdown | RunState::Halted) => ProcessState::Halted,
        Err(_) => ProcessState::Gone,
    }
}

async fn conclude(env: &Env, task: &Arc<Task>, operation: &Operation, request: Request, end_of_saga: End) -> Then {
    let (input, state) = match end_of_saga {
        End::Done => (Input::Done(request), TaskState::Ok),
        End::Interrupted(e) => {
            // The store does not write: the task stays as it is in the log and goes on at the next start.
            tracing::error!(task = %task.upid(), error = %e.report(), "a task was interrupted");
            env.guest.set_staged(None);
            return Then::GoOn;
        }
        End::Undone(error) => {
            let state = match error.kind {
                ErrorKind::Cancelled => TaskState::Cancelled,
                _ => TaskState::Failed(error.report()),
            };
            let cause = FailCause::Undone(error.report());
            (Input::Failed { request, cause, process: process_state(env).await }, state)
        }
        End::Stuck { step, error, undo } => {
            let text = format!("{} (undoing step {step} failed: {})", error.report(), undo.report());
            let cause = FailCause::Stuck { request, message: text.clone() };
            (Input::Failed { request, cause, process: process_state(env).await }, TaskState::Stuck(text))
        }
    };
    let undone_create = request == Request::Create && matches!(state, TaskState::Failed(_) | TaskState::Cancelled);
    let deleted = request == Request::Delete && state == TaskState::Ok;
    if undone_create || deleted {
        return forget(env, task, state).await;
    }
    let (phase, effects) = Vm::step(env.guest.phase(), input);
    let mut record = env.record();
    record.reason = phase.reason();
    record.phase = phase;
    record.lock = None;
    let starts = matches!(operation, Operation::Create { start: true, .. }) && state == TaskState::Ok;
    match env.put(&record) {
        Ok(put) => end_with(task, state, vec![put], || env.announce(record)).await,
        Err(e) => tracing::error!(vmid = %env.vmid(), error = %e.report(), "a guest's record could not be encoded"),
    }
    publish(env, &effects);
    if starts && let Err(e) = env.node.start_behind(env.vmid(), &task.upid()).await {
        tracing::error!(vmid = %env.vmid(), error = %e.report(), "a new guest could not be started");
    }
    Then::GoOn
}

/// The guest exists no more.
async fn forget(env: &Env, task: &Arc<Task>, state: TaskState) -> Then {
    let gone = keys::guest(env.vmid()).map(|key| vec![Mutation::Delete { key }]).unwrap_or_default();
    let announce = || {
        env.node.forget(env.vmid());
        env.node.event(EventKind::GuestDeleted, Some(env.vmid()), std::collections::BTreeMap::new());
    };
    end_with(task, state, gone, announce).await;
    Then::Gone
}

impl Inner {
    pub(super) fn event(&self, kind: EventKind, vmid: Option<Vmid>, details: std::collections::BTreeMap<String, String>) {
        let event = Event { time: self.ports.clock.now(), kind, node: self.ports.name.clone(), vmid, details };
        self.hub.publish(Observed::Event(event));
    }
}
