//! Virtual machines by name: one method per operation.

use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::ByteStream;
use serde::Serialize;

use super::connect::{key, read};
use super::{Client, GuestWatch, Job, Plan, Request};
use crate::routes::Operation;
use crate::v1::{CloneRequest, List, ResizeRequest, SnapshotPatch, SnapshotRequest, SnapshotView, VmObject, WatchType};

/// The virtual machines of one namespace. `name` is an object's name or a number.
///
/// Every change goes under an idempotency key of its own: it is repeated when the server does not answer, and done once. Each method's
/// future can be dropped at any time; a change that was sent may then have been accepted. A [`Job`] is the task of a change: await it.
#[derive(Debug, Clone)]
pub struct VirtualMachines {
    client: Client,
    namespace: String,
}

/// A change of an object, and the task that carries it out.
#[derive(Debug)]
pub struct Changed {
    /// The object as the change left it.
    pub machine: VmObject,
    /// The task; nothing to wait for if nothing was to do.
    pub job: Job,
}

impl VirtualMachines {
    pub(super) const fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    fn all(&self, operation: Operation) -> Request {
        Request::to(operation).path("namespace", &self.namespace)
    }

    fn of(&self, operation: Operation, name: &str) -> Request {
        self.all(operation).path("name", name)
    }

    /// All of them by number, with those labels if a selector is given (`app=web,tier!=test`).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn list(&self, selector: Option<&str>) -> Result<List<VmObject>, Error> {
        self.client.list(Some(&self.namespace), selector).await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], and as [`Client::send`].
    pub async fn get(&self, name: &str) -> Result<VmObject, Error> {
        self.client.get(self.of(Operation::V1VmRead, name)).await
    }

    /// Makes one from a document of `metadata` and `spec`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming fields, [`ErrorKind::AlreadyExists`], and as [`Client::send`].
    pub async fn create(&self, document: &impl Serialize) -> Result<Changed, Error> {
        self.change(self.all(Operation::V1VmCreate).document(document)).await
    }

    /// What [`Self::create`] would do; nothing is done, and a number that was not asked for is not kept.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn plan_create(&self, document: &impl Serialize) -> Result<Plan, Error> {
        self.plan(self.all(Operation::V1VmCreate).document(document)).await
    }

    /// Makes it so: creates it, or changes the fields that `document` names and takes back those that `manager` named before and no
    /// longer does.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another manager owns a field and `force` is not given; and as [`Self::create`].
    pub async fn apply(&self, name: &str, document: &impl Serialize, manager: &str, force: bool) -> Result<Changed, Error> {
        self.change(self.application(name, document, manager, force)).await
    }

    /// What [`Self::apply`] would do; nothing is done. A plan without steps says that it is so already.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn plan_apply(&self, name: &str, document: &impl Serialize, manager: &str, force: bool) -> Result<Plan, Error> {
        self.plan(self.application(name, document, manager, force)).await
    }

    fn application(&self, name: &str, document: &impl Serialize, manager: &str, force: bool) -> Request {
        let request = self.of(Operation::V1VmApply, name).param("fieldManager", manager).param("force", force);
        request.document(document)
    }

    /// Replaces what is asked of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the document's `resourceVersion` is not the present one; and as [`Self::create`].
    pub async fn replace(&self, name: &str, document: &impl Serialize) -> Result<Changed, Error> {
        self.change(self.of(Operation::V1VmReplace, name).document(document)).await
    }

    /// Removes it with its volumes; a running one only by `force`, which ends it first.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, name: &str, force: bool) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmDelete, name).param("force", force)).await
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn start(&self, name: &str) -> Result<Job, Error> {
        self.act(name, "start").await
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn stop(&self, name: &str) -> Result<Job, Error> {
        self.act(name, "stop").await
    }

    /// Asks it to power off, for `timeout_s` seconds (60 if none), and then by `force` ends it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn shutdown(&self, name: &str, timeout_s: Option<u32>, force: bool) -> Result<Job, Error> {
        self.client
            .begin(self.of(Operation::V1VmAction, name).verb("shutdown").param_opt("timeoutSeconds", timeout_s).param("force", force))
            .await
    }

    /// Shuts it down and starts it again, with pending changes applied.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn reboot(&self, name: &str, timeout_s: Option<u32>) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmAction, name).verb("reboot").param_opt("timeoutSeconds", timeout_s)).await
    }

    /// Resets the machine.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn reset(&self, name: &str) -> Result<Job, Error> {
        self.act(name, "reset").await
    }

    /// Halts its processors.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn pause(&self, name: &str) -> Result<Job, Error> {
        self.act(name, "pause").await
    }

    /// Sets them going.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn resume(&self, name: &str) -> Result<Job, Error> {
        self.act(name, "resume").await
    }

    /// Makes a copy.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn clone_machine(&self, name: &str, copy: &CloneRequest) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmClone, name).document(copy)).await
    }

    /// Makes a stopped one without snapshots a template: it starts no more, and linked copies are made of it. With `disk` only that disk
    /// becomes a base, and it stays a machine.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn template(&self, name: &str, disk: Option<&str>) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmTemplate, name).param_opt("disk", disk)).await
    }

    /// Grows a disk: `20Gi`, or `+5Gi`.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn resize(&self, name: &str, resize: &ResizeRequest) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmResizeDisk, name).document(resize)).await
    }

    /// Its snapshots, oldest first.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn snapshots(&self, name: &str) -> Result<Vec<SnapshotView>, Error> {
        let list: List<SnapshotView> = self.client.get(self.of(Operation::V1SnapshotList, name)).await?;
        Ok(list.items)
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn snapshot(&self, name: &str, snapshot: &SnapshotRequest) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1SnapshotCreate, name).document(snapshot)).await
    }

    /// Changes a snapshot's description.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn describe_snapshot(&self, name: &str, snapshot: &str, description: &str) -> Result<Job, Error> {
        let patch = SnapshotPatch { description: description.to_owned() };
        self.client.begin(self.of(Operation::V1SnapshotDescribe, name).path("snapshot", snapshot).document(&patch)).await
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1SnapshotDelete, name).path("snapshot", snapshot)).await
    }

    /// Sets it back to a snapshot; a running one is ended first.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rollback(&self, name: &str, snapshot: &str) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1SnapshotRollback, name).path("snapshot", snapshot)).await
    }

    /// Opens serial port `port`, of a running one.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`] when it does not run; and as [`Client::send`].
    pub async fn console(&self, name: &str, port: u8) -> Result<Box<dyn ByteStream>, Error> {
        self.client.transport.console(&self.of(Operation::V1VmConsole, name).param("port", port)).await
    }

    /// Opens its display: a stream of the VNC protocol (RFB), without a password.
    ///
    /// # Errors
    /// [`ErrorKind::FailedPrecondition`] when it does not run, [`ErrorKind::NotFound`] when it has none; and as [`Client::send`].
    pub async fn display(&self, name: &str) -> Result<Box<dyn ByteStream>, Error> {
        self.client.transport.console(&self.of(Operation::V1VmConsole, name).param("display", true)).await
    }

    /// Changes after `resource_version`, which a list gave.
    pub fn watch(&self, selector: Option<&str>, resource_version: &str) -> GuestWatch {
        self.client.watch(Some(&self.namespace), selector, resource_version)
    }

    /// Waits until `is_so` holds of it. Watches; never polls. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is or goes away; and as [`Client::send`].
    pub async fn wait_for(&self, name: &str, mut is_so: impl FnMut(&VmObject) -> bool) -> Result<VmObject, Error> {
        loop {
            let now = self.get(name).await?;
            if is_so(&now) {
                return Ok(now);
            }
            let mut changes = self.watch(None, &now.metadata.resource_version);
            loop {
                match changes.next().await {
                    Ok(event) => {
                        let ours = event.object.filter(|vm| vm.metadata.uid == now.metadata.uid);
                        match ours {
                            Some(_) if event.kind == WatchType::Deleted => {
                                return Err(Error::not_found("vm.wait", format!("virtual machine {name}")));
                            }
                            Some(vm) if is_so(&vm) => return Ok(vm),
                            Some(_) | None => {}
                        }
                    }
                    // The history in between is gone: look again.
                    Err(e) if e.kind == ErrorKind::Conflict => break,
                    Err(e) => return Err(e),
                }
            }
        }
    }

    async fn act(&self, name: &str, verb: &str) -> Result<Job, Error> {
        self.client.begin(self.of(Operation::V1VmAction, name).verb(verb)).await
    }

    async fn plan(&self, request: Request) -> Result<Plan, Error> {
        self.client.get(request.param("dryRun", true)).await
    }

    async fn change(&self, request: Request) -> Result<Changed, Error> {
        let reply = self.client.exchange(request.idempotent(key())).await?;
        Ok(Changed { machine: read(reply.data)?, job: Job::new(self.client.clone(), reply.tasks.last().cloned()) })
    }
}
