//! One virtual machine.

use std::sync::{Arc, PoisonError, RwLock};

use gpve::client::{self, Changed};
use gpve::v1::{CloneRequest, ResizeRequest, SnapshotRequest, VmObject};
use pyo3::prelude::*;

use crate::console::Console;
use crate::errors::Failure;
use crate::job::Job;
use crate::json::{Document, parse};
use crate::work::Work;
use crate::{faces, json};

/// A virtual machine as it was when it was last looked at, and what can be done to it.
///
/// Changes wait until they are carried out and look again, unless `wait=False`; their `Job` is given back. `progress` is called with a
/// `Progress` for each thing that happens.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct VirtualMachine {
    machines: client::VirtualMachines,
    seen: Arc<RwLock<VmObject>>,
    job: Option<Job>,
}

impl VirtualMachine {
    /// A machine that was listed or told of.
    pub(crate) fn of(client: &client::Client, object: VmObject) -> Self {
        Self::new(client.virtual_machines(object.metadata.namespace.as_str()), object)
    }

    pub(crate) fn new(machines: client::VirtualMachines, object: VmObject) -> Self {
        Self { machines, seen: Arc::new(RwLock::new(object)), job: None }
    }

    /// What a change left; seen again after it was carried out, if it is waited for.
    pub(crate) async fn changed(
        machines: client::VirtualMachines,
        changed: Changed,
        wait: bool,
        tell: &crate::work::Tell,
    ) -> Result<Self, Failure> {
        let this = Self::new(machines, changed.machine);
        let job = Job::of(changed.job, wait, tell).await?;
        if wait {
            this.look().await;
        }
        Ok(Self { job: Some(job), ..this })
    }

    /// In words of one line.
    pub(crate) fn label(&self) -> String {
        self.read(|vm| {
            let (meta, status) = (&vm.metadata, &vm.status);
            format!("{}/{}: {}, vmid {}, on {}", meta.namespace, meta.name, status.phase, status.vmid, status.node)
        })
    }

    fn object(&self) -> VmObject {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read<T>(&self, what: impl FnOnce(&VmObject) -> T) -> T {
        what(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn clone_ref(&self) -> Self {
        Self { machines: self.machines.clone(), seen: Arc::clone(&self.seen), job: self.job.as_ref().map(Job::clone_ref) }
    }

    fn store(&self, object: VmObject) {
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = object;
    }

    /// Looks again after a change that was carried out. A failure to look is none of the change.
    async fn look(&self) {
        if let Ok(now) = self.machines.get(&self.name()).await {
            self.store(now);
        }
    }

    /// Work of a change of this machine.
    fn change<F>(
        &self,
        wait: bool,
        progress: Option<Py<PyAny>>,
        change: impl FnOnce(client::VirtualMachines, String) -> F + Send + 'static,
    ) -> PyResult<Work>
    where
        F: Future<Output = Result<client::Job, gpve::Error>> + Send,
    {
        let this = self.clone_ref();
        Ok(Work::telling(progress, move |tell| async move {
            let job = change(this.machines.clone(), this.name()).await?;
            let job = Job::of(job, wait, &tell).await?;
            if wait {
                this.look().await;
            }
            Ok(job)
        }))
    }
}

faces! {
    impl VirtualMachine {
        both {
            /// Starts it.
            #[pyo3(signature = (*, wait=true, progress=None))]
            fn start / start_sync(&self, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, |machines, name| async move { machines.start(&name).await })
            }

            /// Ends it at once.
            #[pyo3(signature = (*, wait=true, progress=None))]
            fn stop / stop_sync(&self, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, |machines, name| async move { machines.stop(&name).await })
            }

            /// Asks it to power off, for `timeout_s` seconds (60 if none), and then by `force` ends it.
            #[pyo3(signature = (*, timeout_s=None, force=false, wait=true, progress=None))]
            fn shutdown / shutdown_sync(&self, timeout_s: Option<u32>, force: bool, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, move |machines, name| async move { machines.shutdown(&name, timeout_s, force).await })
            }

            /// Shuts it down and starts it again, with pending changes applied.
            #[pyo3(signature = (*, timeout_s=None, wait=true, progress=None))]
            fn reboot / reboot_sync(&self, timeout_s: Option<u32>, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, move |machines, name| async move { machines.reboot(&name, timeout_s).await })
            }

            /// Resets the machine.
            #[pyo3(signature = (*, wait=true, progress=None))]
            fn reset / reset_sync(&self, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, |machines, name| async move { machines.reset(&name).await })
            }

            /// Halts its processors.
            #[pyo3(signature = (*, wait=true, progress=None))]
            fn pause / pause_sync(&self, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, |machines, name| async move { machines.pause(&name).await })
            }

            /// Sets its processors going.
            #[pyo3(signature = (*, wait=true, progress=None))]
            fn resume / resume_sync(&self, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, |machines, name| async move { machines.resume(&name).await })
            }

            /// Makes a copy called `name`: of all blocks by `full`, of the state at `snapshot`, with number `vmid`, on `storage` in `format`.
            #[pyo3(signature = (name, *, full=None, vmid=None, snapshot=None, storage=None, format=None, description=None, wait=true, progress=None))]
            fn clone_machine / clone_machine_sync(
                &self, name: String, full: Option<bool>, vmid: Option<u32>, snapshot: Option<String>, storage: Option<String>,
                format: Option<String>, description: Option<String>, wait: bool, progress: Option<Py<PyAny>>,
            ) {
                let given = serde_json::json!({ "name": name, "full": full, "vmid": vmid, "snapshot": snapshot, "storage": storage,
                    "format": format, "description": description });
                let copy: CloneRequest = json::request(given)?;
                self.change(wait, progress, move |machines, name| async move { machines.clone_machine(&name, &copy).await })
            }

            /// Makes a stopped one without snapshots a template: it starts no more, and linked copies are made of it. With `disk` only that
            /// disk becomes a base, and it stays a machine.
            #[pyo3(signature = (*, disk=None, wait=true, progress=None))]
            fn template / template_sync(&self, disk: Option<String>, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, move |machines, name| async move { machines.template(&name, disk.as_deref()).await })
            }

            /// Grows a disk: `20Gi`, or `+5Gi`.
            #[pyo3(signature = (disk, size, *, wait=true, progress=None))]
            fn resize / resize_sync(&self, disk: String, size: String, wait: bool, progress: Option<Py<PyAny>>) {
                let resize = ResizeRequest { disk: parse("disk", &disk)?, size };
                self.change(wait, progress, move |machines, name| async move { machines.resize(&name, &resize).await })
            }

            /// Its snapshots as dicts, oldest first.
            fn snapshots / snapshots_sync(&self) {
                let this = self.clone_ref();
                Ok(Work::new(async move { Ok(Document(this.machines.snapshots(&this.name()).await?)) }))
            }

            /// Takes a snapshot called `name`, with its memory by `memory`.
            #[pyo3(signature = (name, *, description=String::new(), memory=false, wait=true, progress=None))]
            fn snapshot / snapshot_sync(&self, name: String, description: String, memory: bool, wait: bool, progress: Option<Py<PyAny>>) {
                let snapshot = SnapshotRequest { name: parse("name", &name)?, description, memory };
                self.change(wait, progress, move |machines, name| async move { machines.snapshot(&name, &snapshot).await })
            }

            /// Changes a snapshot's description.
            #[pyo3(signature = (name, description, *, wait=true, progress=None))]
            fn describe_snapshot / describe_snapshot_sync(
                &self, name: String, description: String, wait: bool, progress: Option<Py<PyAny>>,
            ) {
                let snapshot = name;
                self.change(wait, progress, move |machines, name| async move {
                    machines.describe_snapshot(&name, &snapshot, &description).await
                })
            }

            /// Deletes a snapshot.
            #[pyo3(signature = (name, *, wait=true, progress=None))]
            fn delete_snapshot / delete_snapshot_sync(&self, name: String, wait: bool, progress: Option<Py<PyAny>>) {
                let snapshot = name;
                self.change(wait, progress, move |machines, name| async move { machines.delete_snapshot(&name, &snapshot).await })
            }

            /// Sets it back to a snapshot; a running one is ended first.
            #[pyo3(signature = (name, *, wait=true, progress=None))]
            fn rollback / rollback_sync(&self, name: String, wait: bool, progress: Option<Py<PyAny>>) {
                let snapshot = name;
                self.change(wait, progress, move |machines, name| async move { machines.rollback(&name, &snapshot).await })
            }

            /// Removes it with its volumes; a running one only by `force`, which ends it first.
            #[pyo3(signature = (*, force=false, wait=true, progress=None))]
            fn delete / delete_sync(&self, force: bool, wait: bool, progress: Option<Py<PyAny>>) {
                self.change(wait, progress, move |machines, name| async move { machines.delete(&name, force).await })
            }

            /// Looks again.
            fn refresh / refresh_sync(&self) {
                let this = self.clone_ref();
                Ok(Work::new(async move {
                    this.store(this.machines.get(&this.name()).await?);
                    Ok(())
                }))
            }

            /// Waits until it is in the phase `until`, or `until(machine)` is true. Watches; never polls.
            ///
            /// A function is called on another thread.
            #[pyo3(signature = (until, *, timeout_s=None))]
            fn wait_for / wait_for_sync(&self, until: Py<PyAny>, timeout_s: Option<f64>) {
                let (this, limit) = (self.clone_ref(), json::seconds(timeout_s)?);
                let until = crate::machines::Until::read(until)?;
                Ok(Work::new(async move {
                    let name = this.name();
                    let waiting = until.hold(&this.machines, &name);
                    this.store(json::within("vm.wait", limit, waiting).await?);
                    Ok(())
                }))
            }
        }
        plain {
            /// A serial port of it; `with` or `async with` opens and closes it.
            #[pyo3(signature = (port=0))]
            fn console(&self, port: u8) -> Console {
                Console::new(self.machines.clone(), self.name(), port)
            }

            #[getter]
            fn name(&self) -> String {
                self.read(|vm| vm.metadata.name.clone())
            }

            #[getter]
            fn namespace(&self) -> String {
                self.read(|vm| vm.metadata.namespace.to_string())
            }

            /// Never reused, unlike the name.
            #[getter]
            fn uid(&self) -> String {
                self.read(|vm| vm.metadata.uid.to_string())
            }

            /// Changes with every write.
            #[getter]
            fn resource_version(&self) -> String {
                self.read(|vm| vm.metadata.resource_version.clone())
            }

            #[getter]
            fn labels(&self) -> std::collections::BTreeMap<String, String> {
                self.read(|vm| vm.metadata.labels.clone())
            }

            /// Its number.
            #[getter]
            fn vmid(&self) -> u32 {
                self.read(|vm| vm.status.vmid.into())
            }

            /// The node that has it.
            #[getter]
            fn node(&self) -> String {
                self.read(|vm| vm.status.node.to_string())
            }

            /// Where it is in its life, such as `Running`.
            #[getter]
            fn phase(&self) -> String {
                self.read(|vm| vm.status.phase.to_string())
            }

            /// What was asked, as a dict.
            #[getter]
            fn spec(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                json::to_python(py, &self.object().spec)
            }

            /// What is observed, as a dict.
            #[getter]
            fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                json::to_python(py, &self.object().status)
            }

            /// The task of the change that gave this object; `None` if it was only looked at.
            #[getter]
            fn job(&self) -> Option<Job> {
                self.job.as_ref().map(Job::clone_ref)
            }

            /// All of it, as a dict that can be sent back.
            fn to_dict(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                json::to_python(py, &self.object())
            }

            fn __repr__(&self) -> String {
                format!("<gpve.VirtualMachine {}>", self.label())
            }

            fn _repr_html_(slf: Bound<'_, Self>) -> PyResult<Py<PyAny>> {
                let table = slf.py().import("gpve._display")?.getattr("table")?;
                Ok(table.call1(((slf,),))?.unbind())
            }
        }
    }
}
