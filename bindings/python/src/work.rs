//! One operation, not begun yet: what both of its faces carry out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use gpve::Error;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::errors::Failure;
use crate::job::Progress;
use crate::runtime;

/// How often a blocking wait looks whether Ctrl-C was pressed.
const WAKE: Duration = Duration::from_millis(100);

/// Makes the Python value of an outcome, on the thread that waits for it.
pub(crate) type Answer = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
type Future = Pin<Box<dyn std::future::Future<Output = Answer> + Send>>;

/// Tells the caller's callback what happens; does nothing without one.
pub(crate) type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

pub(crate) struct Work {
    begin: Box<dyn FnOnce(Tell) -> Future + Send>,
    /// The caller's callback.
    pub(crate) progress: Option<Py<PyAny>>,
}

/// Ends the task with the wait for it: requests are safe to drop at any time.
pub(crate) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Signal {
    Told(Progress),
    Ended(Answer),
}

impl Work {
    pub(crate) fn new<T, F>(future: F) -> Self
    where
        F: std::future::Future<Output = Result<T, Failure>> + Send + 'static,
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        Self::telling(None, |_| future)
    }

    /// Work that tells how far it is.
    pub(crate) fn telling<T, F>(progress: Option<Py<PyAny>>, begin: impl FnOnce(Tell) -> F + Send + 'static) -> Self
    where
        F: std::future::Future<Output = Result<T, Failure>> + Send + 'static,
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let begin = |tell: Tell| -> Future {
            let future = begin(tell);
            Box::pin(async move {
                let outcome = future.await;
                let answer = |py: Python<'_>| outcome.map_err(|failure| failure.into_python(py))?.into_py_any(py);
                Box::new(answer) as Answer
            })
        };
        Self { begin: Box::new(begin), progress }
    }

    /// Begins; `end` gets the answer, on a thread of the runtime.
    pub(crate) fn begin(self, tell: Tell, end: impl FnOnce(Answer) + Send + 'static) -> Result<Running, Error> {
        let handle = runtime::handle()?;
        let future = (self.begin)(tell);
        let task = handle.spawn(async move { end(future.await) });
        Ok(Running(task.abort_handle()))
    }

    /// Carries it out and waits for its end, with Python's lock free. Ctrl-C ends the wait.
    pub(crate) fn block(mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (sender, mut signals) = channel();
        let progress = self.progress.take();
        let told = sender.clone();
        // Nobody hears it any more when the wait was given up.
        let tell: Tell = Arc::new(move |progress| drop(told.send(Signal::Told(progress))));
        let end = move |answer| drop(sender.send(Signal::Ended(answer)));
        let _running = self.begin(tell, end).map_err(|e| Failure::from(e).into_python(py))?;
        loop {
            let signal;
            (signal, signals) = py.detach(move || receive(signals));
            match signal {
                Ok(Signal::Ended(answer)) => return answer(py),
                Ok(Signal::Told(told)) => {
                    if let Some(callback) = &progress {
                        callback.call1(py, (told,))?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::from(runtime::dropped()).into_python(py)),
            }
        }
    }
}

fn receive(signals: Receiver<Signal>) -> (Result<Signal, RecvTimeoutError>, Receiver<Signal>) {
    (signals.recv_timeout(WAKE), signals)
}
