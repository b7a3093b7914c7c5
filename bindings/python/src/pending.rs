//! The coroutine face of work.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::Failure;
use crate::job::Progress;
use crate::work::{Answer, Running, Tell, Work};

/// A coroutine: begins when it is first awaited; cancelling it ends its wait.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Pending {
    name: &'static str,
    state: Mutex<State>,
}

enum State {
    New(Work),
    Begun {
        /// The iterator of the loop's future that is set at the end.
        waiting: Py<PyAny>,
        _running: Running,
    },
    Over,
}

impl Pending {
    pub(crate) const fn new(name: &'static str, work: Work) -> Self {
        Self { name, state: Mutex::new(State::New(work)) }
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// What the loop's future is iterated by; begins the work if nobody did.
    fn waiting(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (waiting, begun) = match self.replace(State::Over) {
            State::New(work) => begin(py, work)?,
            State::Begun { waiting, _running } => (waiting, _running),
            State::Over => return Err(PyRuntimeError::new_err(format!("'{}' was awaited already", self.name))),
        };
        self.replace(State::Begun { waiting: waiting.clone_ref(py), _running: begun });
        Ok(waiting)
    }
}

/// Begins on the running event loop.
fn begin(py: Python<'_>, mut work: Work) -> PyResult<(Py<PyAny>, Running)> {
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let future = event_loop.call_method0("create_future")?;
    let waiting = future.call_method0("__await__")?.unbind();
    // Whoever waits keeps the future; if nobody does any more, it may go, and the work with it.
    let future = py.import("weakref")?.call_method1("ref", (future,))?.unbind();
    let event_loop = event_loop.unbind();
    let tell = teller(work.progress.take(), event_loop.clone_ref(py));
    let end = move |answer| {
        let settle = Settle { future, answer: Mutex::new(Some(answer)) };
        // Not when the interpreter is gone.
        Python::try_attach(|py| Py::new(py, settle).map(|settle| soon(py, &event_loop, settle.as_any(), None)));
    };
    let running = work.begin(tell, end).map_err(|e| Failure::from(e).into_python(py))?;
    Ok((waiting, running))
}

/// Tells the callback on the loop's own thread.
fn teller(callback: Option<Py<PyAny>>, event_loop: Py<PyAny>) -> Tell {
    let Some(callback) = callback else { return Arc::new(|_| ()) };
    Arc::new(move |told| {
        Python::try_attach(|py| soon(py, &event_loop, &callback, Some(told)));
    })
}

/// Calls on the loop's thread. A loop that was closed waits for nothing any more.
fn soon(py: Python<'_>, event_loop: &Py<PyAny>, callback: &Py<PyAny>, told: Option<Progress>) {
    let _closed = match told {
        Some(told) => event_loop.call_method1(py, "call_soon_threadsafe", (callback, told)),
        None => event_loop.call_method1(py, "call_soon_threadsafe", (callback,)),
    };
}

#[pymethods]
impl Pending {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.send(py, py.None())
    }

    fn send(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let answer = self.waiting(py)?.call_method1(py, "send", (value,));
        if answer.is_err() {
            self.replace(State::Over);
        }
        answer
    }

    /// How a loop cancels.
    #[pyo3(signature = (typ, val=None, tb=None))]
    fn throw(&self, py: Python<'_>, typ: Py<PyAny>, val: Option<Py<PyAny>>, tb: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        // Two of three arguments are of old: the exception alone says it all.
        let (thrown, _traceback) = (val.unwrap_or(typ), tb);
        match self.replace(State::Over) {
            State::Begun { waiting, _running } => waiting.call_method1(py, "throw", (thrown,)),
            State::New(_) | State::Over => Err(PyErr::from_value(thrown.into_bound(py))),
        }
    }

    fn close(&self) {
        self.replace(State::Over);
    }

    /// A loop that was abandoned refers to us, and we to it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.state.try_lock().as_deref() {
            Ok(State::New(work)) => visit.call(&work.progress),
            Ok(State::Begun { waiting, .. }) => visit.call(waiting),
            Ok(State::Over) | Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.replace(State::Over);
    }

    fn __repr__(&self) -> String {
        format!("<gpve coroutine '{}'>", self.name)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if matches!(self.replace(State::Over), State::New(_)) {
            Python::try_attach(|py| {
                // As for Python's own coroutines; what is being raised meanwhile is kept.
                let raised = PyErr::take(py);
                let message = std::ffi::CString::new(format!("coroutine '{}' was never awaited", self.name)).unwrap_or_default();
                let _as_error = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1);
                raised.into_iter().for_each(|e| e.restore(py));
            });
        }
    }
}

/// Sets the loop's future, on the loop's thread.
#[pyclass(frozen)]
struct Settle {
    /// A weak reference.
    future: Py<PyAny>,
    answer: Mutex<Option<Answer>>,
}

#[pymethods]
impl Settle {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let future = self.future.bind(py).call0()?;
        let is_awaited = !future.is_none() && !future.call_method0("done")?.is_truthy()?;
        let Some(answer) = answer.filter(|_| is_awaited) else { return Ok(()) };
        match answer(py) {
            Ok(value) => future.call_method1("set_result", (value,)),
            Err(error) => future.call_method1("set_exception", (error,)),
        }
        .map(drop)
    }
}
