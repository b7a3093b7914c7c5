//! Tasks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CString, c_char, c_void};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use engine::Result;
use engine::client::{Job, Progress};
use engine::v1::Task;
use serde_json::json;

use crate::error::{gpve_error, gpve_status};
use crate::raw::{self, Caller, Object, Slot, UserData};
use crate::runtime::{Runtime, within};

/// A change that a task carries out. Freeing it leaves the task alone.
pub struct gpve_job {
    runtime: Arc<Runtime>,
    job: Job,
    id: Option<CString>,
}

impl Object for gpve_job {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:job");
    const NAME: &'static str = "job";
}

impl gpve_job {
    pub(crate) fn new(runtime: &Arc<Runtime>, job: Job) -> Self {
        Self { runtime: Arc::clone(runtime), id: job.id().map(raw::c_text), job }
    }

    /// Does what makes a task, and hands over its job.
    pub(crate) fn begin(runtime: &Arc<Runtime>, out: &Slot<*mut Self>, work: impl Future<Output = Result<Job>>) -> Result<()> {
        out.hand_over(Self::new(runtime, runtime.wait(work)??));
        Ok(())
    }

    /// Waits, and tells between two looks at the task, so that what is told may block.
    fn wait(&self, timeout_ms: u64, tell: impl Fn(&Progress)) -> Result<Option<Task>> {
        let told = RefCell::new(VecDeque::new());
        let mut work = pin!(within(timeout_ms, "job.wait", self.job.wait(|progress| told.borrow_mut().push_back(progress))));
        loop {
            let step = self.runtime.wait(std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if told.borrow().is_empty() => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }))?;
            let news = std::mem::take(&mut *told.borrow_mut());
            news.iter().for_each(&tell);
            if let Some(end) = step {
                return end;
            }
        }
    }
}

/// Is told what a task does: `progress` is JSON, {"line": {"n": 1, "t": "…"}} for a new line of its log, or {"task": {…}} when it went to
/// another phase or step. The text belongs to the library and ends with the call. Called on the thread that waits. It may call any
/// function, gpve_job_cancel among them; it may not free the job, throw or jump out.
pub type gpve_progress = Option<unsafe extern "C" fn(progress: *const c_char, user_data: *mut c_void)>;

/// The task's id; NULL if nothing was to do. Belongs to the job. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_job_id(job: *const gpve_job) -> *const c_char {
    // SAFETY: the header says what the pointer must be.
    let c = unsafe { Caller::new("gpve_job_id", std::ptr::null_mut()) };
    let mut id = std::ptr::null();
    c.run(|| {
        id = c.object(job)?.id.as_ref().map_or(std::ptr::null(), |id| id.as_ptr());
        Ok(())
    });
    id
}

/// Blocks until the task has ended, or `timeout_ms` milliseconds have passed (0: for ever), which does not cancel it:
/// GPVE_STATUS_TIMEOUT, and it can be waited for again. A task that failed gives its own error. `on_progress` may be NULL; it gets
/// `user_data`. `task`, unless NULL, gets the task as it ended, as JSON: "null" if nothing was to do; free it with gpve_string_free.
/// Any thread, several at a time; each is told everything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_job_wait(
    job: *const gpve_job,
    timeout_ms: u64,
    on_progress: gpve_progress,
    user_data: *mut c_void,
    task: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_job_wait", error) };
    c.run(|| {
        let out = c.pointer_or_none(task);
        let user_data = UserData(user_data);
        let ended = c.object(job)?.wait(timeout_ms, |progress| {
            let Some(tell) = on_progress else { return };
            let text = raw::c_text(shown(progress).to_string());
            // SAFETY: the header says what the function must be; the text ends after the call.
            unsafe { tell(text.as_ptr(), user_data.0) }
        })?;
        out.json(&ended)
    })
}

fn shown(progress: &Progress) -> serde_json::Value {
    match progress {
        Progress::Line(line) => json!({ "line": line }),
        Progress::Step(task) => json!({ "task": task }),
    }
}

/// Asks the task to stop; it undoes what it did and ends as cancelled, unless it was done before. Blocks for one exchange. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_job_cancel(job: *const gpve_job, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_job_cancel", error) };
    c.run(|| {
        let job = c.object(job)?;
        job.runtime.wait(job.job.cancel())?
    })
}

/// Frees a job and leaves its task alone; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no job. Any thread,
/// while no other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_job_free(job: *mut gpve_job) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_job_free", job) }
}
