//! The threads that work while Python goes on: made at first use, stopped when the interpreter ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gpve::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

/// Longest wait for a piece of work to come to a point where it can stop; the interpreter ends then in any case.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The process that has the threads; 0 while there are none. Beside the lock, which a fork may have left locked for ever.
static OWNER: AtomicU32 = AtomicU32::new(0);
static STATE: Mutex<State> = Mutex::new(State::Idle);

enum State {
    Idle,
    Running(Runtime),
    Stopped,
}

/// Where work is given to.
///
/// # Errors
/// In a process forked from one that has the threads, which a fork does not copy; and while the interpreter ends.
pub(crate) fn handle() -> Result<Handle> {
    if is_forked() {
        let message = "this process was forked from one that had used gpve, and its threads stayed there: use gpve only after the fork, or \
                       start processes by multiprocessing's 'spawn' or 'forkserver' method";
        return Err(Error::new(ErrorKind::FailedPrecondition, "fork", message));
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*state {
        State::Running(runtime) => return Ok(runtime.handle().clone()),
        State::Stopped => return Err(ending()),
        State::Idle => {}
    }
    let made = Builder::new_multi_thread().worker_threads(2).thread_name("gpve").enable_all().build();
    let runtime = made.map_err(|e| Error::new(ErrorKind::ResourceExhausted, "runtime", format!("no threads could be started: {e}")))?;
    let handle = runtime.handle().clone();
    OWNER.store(std::process::id(), Ordering::SeqCst);
    *state = State::Running(runtime);
    Ok(handle)
}

/// Whether this process is a fork of the one that has the threads.
pub(crate) fn is_forked() -> bool {
    let owner = OWNER.load(Ordering::SeqCst);
    owner != 0 && owner != std::process::id()
}

/// What a wait ends with when its work was dropped unfinished.
pub(crate) fn dropped() -> Error {
    let is_stopped = matches!(*STATE.lock().unwrap_or_else(PoisonError::into_inner), State::Stopped);
    if is_stopped { ending() } else { Error::internal("runtime", "the work ended without an answer; the program's error output says why") }
}

fn ending() -> Error {
    Error::new(ErrorKind::Cancelled, "runtime", "the interpreter is ending")
}

/// Called at the interpreter's end: what is pending ends, guests go on.
#[pyfunction(name = "_stop")]
pub(crate) fn stop(py: Python<'_>) {
    if is_forked() {
        return;
    }
    let state = std::mem::replace(&mut *STATE.lock().unwrap_or_else(PoisonError::into_inner), State::Stopped);
    if let State::Running(runtime) = state {
        // Work that waits for Python's lock must get it in order to end.
        py.detach(|| runtime.shutdown_timeout(STOP_PATIENCE));
    }
}
