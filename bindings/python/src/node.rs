//! The node in this process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gpve::client;
use gpve::{DirConfig, Error, ErrorKind, Local, LocalBuilder};
use pyo3::prelude::*;

use crate::errors::{Failure, raise};
use crate::faces;
use crate::job::Job;
use crate::json::parse;
use crate::machines::{VirtualMachines, listing};
use crate::pending::Pending;
use crate::storage::Storage;
use crate::watch::Watch;
use crate::work::Work;

/// This machine's virtual machines, without a server: `with gpve.Node("/var/lib/mine") as node`, or `async with`.
///
/// State is kept in `path`, made if it is not there; one process uses it at a time. Closing it leaves guests running, and opening it again
/// takes them up. By `simulated` nothing is real but the state.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Node {
    options: Options,
    local: Arc<Mutex<Option<Local>>>,
}

#[derive(Clone)]
struct Options {
    path: PathBuf,
    simulated: bool,
    name: Option<String>,
    storages: Vec<(String, PathBuf)>,
    runtime_dir: Option<PathBuf>,
    guest_user: Option<String>,
}

impl Options {
    fn builder(&self) -> PyResult<LocalBuilder> {
        let mut builder = Local::builder(std::path::absolute(&self.path)?).simulated(self.simulated);
        if let Some(name) = &self.name {
            builder = builder.node(parse("name", name)?);
        }
        for (id, path) in &self.storages {
            builder = builder.storage(DirConfig::new(parse("storages", id)?, path));
        }
        if let Some(directory) = &self.runtime_dir {
            builder = builder.runtime_dir(directory);
        }
        Ok(match &self.guest_user {
            Some(user) => builder.guest_user(user),
            None => builder,
        })
    }
}

impl Node {
    fn get(&self) -> Option<Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn client(&self) -> PyResult<client::Client> {
        let closed = || raise(Error::new(ErrorKind::FailedPrecondition, "node", "the node is not open: use 'with' or open()"));
        Ok(self.get().ok_or_else(closed)?.client())
    }

    fn opening(&self) -> PyResult<impl Future<Output = Result<(), Failure>> + Send + use<>> {
        let (builder, local) = (self.options.builder()?, Arc::clone(&self.local));
        let is_open = self.get().is_some();
        Ok(async move {
            if is_open {
                return Err(Error::new(ErrorKind::FailedPrecondition, "node.open", "the node is open already").into());
            }
            let opened = builder.open().await?;
            *local.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
            Ok(())
        })
    }

    fn closing(&self) -> Work {
        let open = self.local.lock().unwrap_or_else(PoisonError::into_inner).take();
        Work::new(async move {
            if let Some(local) = open {
                local.close().await;
            }
            Ok(())
        })
    }
}

faces! {
    impl Node {
        both {
            /// Opens it: takes up running guests and goes on with interrupted work.
            fn open / open_sync(&self) { Ok(Work::new(self.opening()?)) }

            /// Stops working without stopping guests, and lets go of the directory. Harmless when it is closed.
            fn close / close_sync(&self) { Ok(self.closing()) }

            /// Machines of all namespaces by number; of those labels only, if a selector is given (`app=web,tier!=test`).
            #[pyo3(signature = (selector=None))]
            fn list / list_sync(&self, selector: Option<String>) { Ok(listing(self.client()?, None, selector)) }
        }
        plain {
            #[new]
            #[pyo3(signature = (path, *, simulated=false, name=None, storages=None, runtime_dir=None, guest_user=None))]
            fn new(
                path: PathBuf,
                simulated: bool,
                name: Option<String>,
                storages: Option<std::collections::BTreeMap<String, PathBuf>>,
                runtime_dir: Option<PathBuf>,
                guest_user: Option<String>,
            ) -> PyResult<Self> {
                let storages = storages.unwrap_or_default().into_iter().collect();
                let options = Options { path, simulated, name, storages, runtime_dir, guest_user };
                options.builder()?;
                Ok(Self { options, local: Arc::default() })
            }

            /// The virtual machines of a namespace.
            #[pyo3(signature = (namespace=String::from("default")))]
            fn virtual_machines(&self, namespace: String) -> PyResult<VirtualMachines> {
                Ok(VirtualMachines::new(&self.client()?, namespace))
            }

            /// Changes of machines of all namespaces after `resource_version`, which a list gave; without one, what there is comes first,
            /// each as `ADDED`.
            ///
            /// Iterate with `async for` or `for`.
            #[pyo3(signature = (selector=None, *, resource_version=None))]
            fn watch(&self, selector: Option<String>, resource_version: Option<String>) -> PyResult<Watch> {
                Ok(Watch::new(self.client()?, None, selector, resource_version))
            }

            /// The storage called `name`; the one of `node`, which is needed where several have one of that name.
            #[pyo3(signature = (name, *, node=None))]
            fn storage(&self, name: String, node: Option<String>) -> PyResult<Storage> {
                Ok(Storage::new(&self.client()?, name, node))
            }

            /// The task of that id, which an earlier `Job.id` gave: to wait for it again, in another process too.
            fn job(&self, id: String) -> PyResult<Job> {
                Ok(Job::new(self.client()?.job(id)))
            }

            #[getter]
            fn path(&self) -> PathBuf {
                self.options.path.clone()
            }

            /// Whether it is closed, or not open yet.
            #[getter]
            fn closed(&self) -> bool {
                self.local.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            }

            fn __enter__(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
                Work::new(slf.get().opening()?).block(py)?;
                Ok(slf)
            }

            fn __exit__(&self, py: Python<'_>, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
                self.closing().block(py).map(drop)
            }

            fn __aenter__(slf: Py<Self>) -> PyResult<Pending> {
                let opening = slf.get().opening()?;
                Ok(Pending::new("__aenter__", Work::new(async move { opening.await.map(|()| slf) })))
            }

            fn __aexit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> Pending {
                Pending::new("__aexit__", self.closing())
            }

            fn __repr__(&self) -> String {
                let state = if self.closed() { "closed" } else { "open" };
                format!("<gpve.Node {}: {state}{}>", self.options.path.display(), if self.options.simulated { ", simulated" } else { "" })
            }
        }
    }
}
