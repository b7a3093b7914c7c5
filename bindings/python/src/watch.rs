//! Changes as they happen.

use std::collections::VecDeque;
use std::sync::Arc;

use gpve::client::{self, GuestWatch};
use gpve::v1;
use gpve::{Error, ErrorKind};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::errors::Failure;
use crate::machine::VirtualMachine;
use crate::pending::Pending;
use crate::work::Work;

/// Changes of machines, without end: `async for event in watch`, or `for event in watch`. It reconnects by itself and misses nothing.
///
/// `Conflict` says that the history in between is gone: watch anew.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Watch {
    source: Arc<Mutex<Source>>,
}

/// One change: `kind` is `ADDED`, `MODIFIED` or `DELETED`.
#[pyclass(module = "gpve", frozen, get_all)]
pub(crate) struct WatchEvent {
    kind: &'static str,
    /// The machine after the change, or as it last was; `None` if that is not known any more.
    machine: Option<Py<VirtualMachine>>,
    /// Of a deleted machine.
    vmid: Option<u32>,
    /// Watch on after this.
    resource_version: String,
}

struct Source {
    client: client::Client,
    /// All namespaces without one.
    namespace: Option<String>,
    selector: Option<String>,
    /// Where to begin.
    after: Option<String>,
    /// What was there at the beginning.
    first: VecDeque<Change>,
    changes: Option<GuestWatch>,
}

type Change = v1::WatchEvent<v1::VmObject>;

impl Source {
    /// The next change. Cancel safe.
    async fn next(&mut self) -> Result<Seen, Failure> {
        if self.changes.is_none() {
            self.begin().await?;
        }
        let change = match (self.first.pop_front(), &mut self.changes) {
            (Some(change), _) => change,
            (None, Some(changes)) => changes.next().await?,
            (None, None) => return Err(Error::internal("watch", "it did not begin").into()),
        };
        Ok(Seen { change, client: self.client.clone() })
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let (namespace, selector) = (self.namespace.as_deref(), self.selector.as_deref());
        let after = match &self.after {
            Some(after) => after.clone(),
            None => {
                let list = self.client.list(namespace, selector).await?;
                let version = list.metadata.resource_version;
                let added = |object| Change { object: Some(object), ..Change::new(v1::WatchType::Added, &version) };
                self.first = list.items.into_iter().map(added).collect();
                version
            }
        };
        self.changes = Some(self.client.watch(namespace, selector, &after));
        Ok(())
    }
}

/// A change, to be made Python's.
struct Seen {
    change: Change,
    client: client::Client,
}

impl<'py> IntoPyObject<'py> for Seen {
    type Target = WatchEvent;
    type Output = Bound<'py, WatchEvent>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let kind = match self.change.kind {
            v1::WatchType::Added => "ADDED",
            v1::WatchType::Modified => "MODIFIED",
            v1::WatchType::Deleted => "DELETED",
            v1::WatchType::Bookmark => "BOOKMARK",
            v1::WatchType::Error => "ERROR",
        };
        let machine = self.change.object.map(|object| Py::new(py, VirtualMachine::of(&self.client, object))).transpose()?;
        Bound::new(py, WatchEvent { kind, machine, vmid: self.change.vmid, resource_version: self.change.resource_version })
    }
}

impl Watch {
    pub(crate) fn new(client: client::Client, namespace: Option<String>, selector: Option<String>, after: Option<String>) -> Self {
        let source = Source { client, namespace, selector, after, first: VecDeque::new(), changes: None };
        Self { source: Arc::new(Mutex::new(source)) }
    }

    fn following(&self) -> Work {
        let source = Arc::clone(&self.source);
        Work::new(async move {
            let busy = |_| Error::new(ErrorKind::Conflict, "watch", "another iteration waits for the next event already");
            source.try_lock().map_err(busy)?.next().await
        })
    }
}

#[pymethods]
impl Watch {
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(&self) -> Pending {
        Pending::new("__anext__", self.following())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.following().block(py)
    }
}

#[pymethods]
impl WatchEvent {
    fn __repr__(&self) -> String {
        let what = self.machine.as_ref().map(|machine| machine.get().label());
        let what = what.or_else(|| self.vmid.map(|vmid| format!("vmid {vmid}"))).unwrap_or_default();
        format!("<gpve.WatchEvent {} {what}>", self.kind)
    }
}
