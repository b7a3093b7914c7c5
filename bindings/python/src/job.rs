//! Tasks of changes.

use std::sync::{Mutex, PoisonError};

use gpve::client;
use gpve::v1::Task;
use pyo3::prelude::*;

use crate::errors::Failure;
use crate::work::{Tell, Work};
use crate::{faces, json};

/// A change that a task carries out. Await it, or `wait_sync()`, to see its end; dropping it leaves the task alone.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Job {
    job: client::Job,
    ended: std::sync::Arc<Mutex<Option<Task>>>,
}

/// Something that happened in a task: a line of its log, or another step. `print` is a good callback for it.
#[pyclass(module = "gpve", frozen, get_all)]
pub(crate) struct Progress {
    /// The new line of the log.
    line: Option<String>,
    /// The step it is at now.
    step: Option<String>,
    /// The phase it is in now, such as `Running`.
    phase: Option<String>,
}

impl From<client::Progress> for Progress {
    fn from(progress: client::Progress) -> Self {
        match progress {
            client::Progress::Line(line) => Self { line: Some(line.t), step: None, phase: None },
            client::Progress::Step(task) => Self { line: None, step: task.step.clone(), phase: Some(format!("{:?}", task.phase)) },
        }
    }
}

#[pymethods]
impl Progress {
    fn __str__(&self) -> String {
        let words = [&self.line, &self.phase, &self.step].into_iter().flatten().map(String::as_str);
        words.collect::<Vec<_>>().join(": ")
    }

    fn __repr__(&self) -> String {
        format!("<gpve.Progress {:?}>", self.__str__())
    }
}

impl Job {
    pub(crate) fn new(job: client::Job) -> Self {
        Self { job, ended: std::sync::Arc::default() }
    }

    /// The job of a change that is waited for if `wait` says so.
    pub(crate) async fn of(job: client::Job, wait: bool, tell: &Tell) -> Result<Self, Failure> {
        let this = Self::new(job);
        if wait {
            this.finish(tell).await?;
        }
        Ok(this)
    }

    pub(crate) fn clone_ref(&self) -> Self {
        Self { job: self.job.clone(), ended: std::sync::Arc::clone(&self.ended) }
    }

    async fn finish(&self, tell: &Tell) -> Result<Option<Task>, Failure> {
        let ended = self.job.wait(|progress| tell(progress.into())).await?;
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&ended);
        Ok(ended)
    }

    fn waiting(&self, progress: Option<Py<PyAny>>, timeout_s: Option<f64>) -> PyResult<Work> {
        let limit = json::seconds(timeout_s)?;
        let this = self.clone_ref();
        Ok(Work::telling(progress, move |tell| async move {
            let ended = json::within("task.wait", limit, this.finish(&tell)).await?;
            Ok(ended.map(json::Document))
        }))
    }
}

faces! {
    impl Job {
        both {
            /// Waits for the end and gives the task as a dict; `None` at once if nothing was to do.
            ///
            /// `progress` is called with a `Progress` for each thing that happens.
            #[pyo3(signature = (*, progress=None, timeout_s=None))]
            fn wait / wait_sync(&self, progress: Option<Py<PyAny>>, timeout_s: Option<f64>) { self.waiting(progress, timeout_s) }

            /// Asks the task to stop; it undoes what it did.
            fn cancel / cancel_sync(&self) {
                let job = self.job.clone();
                Ok(Work::new(async move { Ok(job.cancel().await?) }))
            }
        }
        plain {
            fn __await__(&self) -> PyResult<crate::pending::Pending> {
                Ok(crate::pending::Pending::new("wait", self.waiting(None, None)?))
            }

            /// The task's id; `None` if nothing was to do.
            #[getter]
            fn id(&self) -> Option<&str> {
                self.job.id()
            }

            /// The task as it ended, as a dict; `None` if its end was not waited for or nothing was to do.
            #[getter]
            fn task(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
                ended.map(|task| json::to_python(py, &task)).transpose()
            }

            fn __repr__(&self) -> String {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                let state = ended.as_ref().map_or_else(|| "not waited for".to_owned(), |task| format!("{:?}", task.phase));
                match self.job.id() {
                    Some(id) => format!("<gpve.Job {id}: {state}>"),
                    None => "<gpve.Job: nothing to do>".to_owned(),
                }
            }
        }
    }
}
