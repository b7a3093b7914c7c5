//! The virtual machines of a namespace.

use gpve::client;
use gpve::v1::VmObject;
use pyo3::prelude::*;

use crate::errors::Failure;
use crate::json::Document;
use crate::machine::VirtualMachine;
use crate::watch::Watch;
use crate::work::Work;
use crate::{faces, json};

/// The virtual machines of one namespace: of a node in this process, or of a server.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct VirtualMachines {
    client: client::Client,
    machines: client::VirtualMachines,
    namespace: String,
}

impl VirtualMachines {
    pub(crate) fn new(client: &client::Client, namespace: String) -> Self {
        Self { client: client.clone(), machines: client.virtual_machines(namespace.as_str()), namespace }
    }
}

/// Lists machines of a namespace, or of all.
pub(crate) fn listing(client: client::Client, namespace: Option<String>, selector: Option<String>) -> Work {
    Work::new(async move {
        let list = client.list(namespace.as_deref(), selector.as_deref()).await?;
        let items = list.items.into_iter().map(|object| VirtualMachine::of(&client, object)).collect();
        Ok(Listed { items, resource_version: list.metadata.resource_version })
    })
}

/// What is waited for.
pub(crate) enum Until {
    Phase(gpve::GuestPhase),
    Holds(Py<PyAny>),
}

impl Until {
    /// The name of a phase, or a function of a machine.
    pub(crate) fn read(until: Py<PyAny>) -> PyResult<Self> {
        Python::attach(|py| match until.extract::<String>(py) {
            Ok(phase) => Ok(Self::Phase(json::parse("until", &phase)?)),
            Err(_) => Ok(Self::Holds(until)),
        })
    }

    /// Waits until it is so, and gives the machine as it then is.
    pub(crate) async fn hold(self, machines: &client::VirtualMachines, name: &str) -> Result<VmObject, Failure> {
        let mut raised = None;
        let is_so = |vm: &VmObject| match &self {
            Self::Phase(phase) => vm.status.phase == *phase,
            Self::Holds(function) => {
                let asked = VirtualMachine::new(machines.clone(), vm.clone());
                let answer = Python::attach(|py| function.call1(py, (asked,))?.is_truthy(py));
                // An exception ends the wait.
                answer.unwrap_or_else(|e| raised.replace(e).is_none())
            }
        };
        let found = machines.wait_for(name, is_so).await;
        raised.map_or_else(|| Ok(found?), |e| Err(Failure::Python(e)))
    }
}

faces! {
    impl VirtualMachines {
        both {
            /// All of them by number; of those labels only, if a selector is given (`app=web,tier!=test`).
            #[pyo3(signature = (selector=None))]
            fn list / list_sync(&self, selector: Option<String>) {
                Ok(listing(self.client.clone(), Some(self.namespace.clone()), selector))
            }

            /// One of them, by name or number.
            fn get / get_sync(&self, name: String) {
                let machines = self.machines.clone();
                Ok(Work::new(async move { Ok(VirtualMachine::new(machines.clone(), machines.get(&name).await?)) }))
            }

            /// Makes one from a document of `metadata` and `spec`.
            #[pyo3(signature = (document, *, wait=true, progress=None))]
            fn create / create_sync(&self, document: &Bound<'_, PyAny>, wait: bool, progress: Option<Py<PyAny>>) {
                let (machines, document) = (self.machines.clone(), json::from_python(document)?);
                Ok(Work::telling(progress, move |tell| async move {
                    let changed = machines.create(&document).await?;
                    VirtualMachine::changed(machines, changed, wait, &tell).await
                }))
            }

            /// Makes it so: creates it, or changes the fields that `document` names and takes back those that `manager` named before and
            /// no longer does. A field of another manager is taken over only by `force`.
            #[pyo3(signature = (name, document, *, manager=String::from("gpve-python"), force=false, wait=true, progress=None))]
            fn apply / apply_sync(
                &self, name: String, document: &Bound<'_, PyAny>, manager: String, force: bool, wait: bool, progress: Option<Py<PyAny>>,
            ) {
                let (machines, document) = (self.machines.clone(), json::from_python(document)?);
                Ok(Work::telling(progress, move |tell| async move {
                    let changed = machines.apply(&name, &document, &manager, force).await?;
                    VirtualMachine::changed(machines, changed, wait, &tell).await
                }))
            }

            /// What `create` would do, as a dict; nothing is done.
            fn plan_create / plan_create_sync(&self, document: &Bound<'_, PyAny>) {
                let (machines, document) = (self.machines.clone(), json::from_python(document)?);
                Ok(Work::new(async move { Ok(Document(machines.plan_create(&document).await?)) }))
            }

            /// What `apply` would do, as a dict; nothing is done. A plan without steps says that it is so already.
            #[pyo3(signature = (name, document, *, manager=String::from("gpve-python"), force=false))]
            fn plan_apply / plan_apply_sync(&self, name: String, document: &Bound<'_, PyAny>, manager: String, force: bool) {
                let (machines, document) = (self.machines.clone(), json::from_python(document)?);
                Ok(Work::new(async move { Ok(Document(machines.plan_apply(&name, &document, &manager, force).await?)) }))
            }

            /// Replaces what is asked of it.
            #[pyo3(signature = (name, document, *, wait=true, progress=None))]
            fn replace / replace_sync(&self, name: String, document: &Bound<'_, PyAny>, wait: bool, progress: Option<Py<PyAny>>) {
                let (machines, document) = (self.machines.clone(), json::from_python(document)?);
                Ok(Work::telling(progress, move |tell| async move {
                    let changed = machines.replace(&name, &document).await?;
                    VirtualMachine::changed(machines, changed, wait, &tell).await
                }))
            }

            /// Waits until the machine of that name is in the phase `until`, or `until(machine)` is true, and gives it.
            ///
            /// A function is called on another thread.
            #[pyo3(signature = (name, until, *, timeout_s=None))]
            fn wait_for / wait_for_sync(&self, name: String, until: Py<PyAny>, timeout_s: Option<f64>) {
                let (machines, limit) = (self.machines.clone(), json::seconds(timeout_s)?);
                let until = Until::read(until)?;
                Ok(Work::new(async move {
                    let found = json::within("vm.wait", limit, until.hold(&machines, &name)).await?;
                    Ok(VirtualMachine::new(machines, found))
                }))
            }
        }
        plain {
            #[getter]
            fn namespace(&self) -> &str {
                &self.namespace
            }

            /// Changes after `resource_version`, which a list gave; without one, what there is comes first, each as `ADDED`.
            ///
            /// Iterate with `async for` or `for`.
            #[pyo3(signature = (selector=None, *, resource_version=None))]
            fn watch(&self, selector: Option<String>, resource_version: Option<String>) -> Watch {
                Watch::new(self.client.clone(), Some(self.namespace.clone()), selector, resource_version)
            }

            fn __repr__(&self) -> String {
                format!("<gpve.VirtualMachines of {}>", self.namespace)
            }
        }
    }
}

/// A list, to be made Python's.
struct Listed {
    items: Vec<VirtualMachine>,
    resource_version: String,
}

impl<'py> IntoPyObject<'py> for Listed {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        py.import("gpve._display")?.getattr("VirtualMachineList")?.call1((self.items, self.resource_version))
    }
}
