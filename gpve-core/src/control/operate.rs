//! Operations on guests that exist.

use serde::Serialize;

use super::call::{Accepted, Answer, Call, Plan};
use super::checks;
use super::create::is_open;
use super::nodes::NodeMirror;
use super::objects::GuestObject;
use super::plane::ControlPlane;
use super::request::{DeleteGuest, UpdateGuest};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    ConfigPatch, DeleteOptions, Guest as _, Operation, OperationRequest, ResizeTo, ShutdownOptions, TaskFilter, TaskReport, TaskState,
};
use crate::types::{ByteSize, DiskFormat, DiskSlot, NodeName, OperationId, SnapName, StorageId, VmSpec, Vmid, VolumeId, VolumeName};

/// Each returns once the node has accepted the task and reads show it. A guest that does not exist is
/// [`ErrorKind::NotFound`]; whatever depends on the tasks before it fails in the task.
impl ControlPlane {
    /// Starts a stopped guest.
    pub async fn start(&self, call: &Call, vmid: Vmid) -> Result<Answer> {
        self.operate(call, vmid, "start", Operation::Start).await
    }

    /// Ends a guest at once.
    pub async fn stop(&self, call: &Call, vmid: Vmid) -> Result<Answer> {
        self.operate(call, vmid, "stop", Operation::Stop).await
    }

    /// Asks a guest to power off.
    pub async fn shutdown_guest(&self, call: &Call, vmid: Vmid, options: ShutdownOptions) -> Result<Answer> {
        self.operate(call, vmid, "shutdown", Operation::Shutdown(options)).await
    }

    /// Shuts a guest down and starts it again, with pending changes in force.
    pub async fn reboot(&self, call: &Call, vmid: Vmid, options: ShutdownOptions) -> Result<Answer> {
        self.operate(call, vmid, "reboot", Operation::Reboot(options)).await
    }

    /// Resets a guest.
    pub async fn reset(&self, call: &Call, vmid: Vmid) -> Result<Answer> {
        self.operate(call, vmid, "reset", Operation::Reset).await
    }

    /// Halts a guest's processors.
    pub async fn pause(&self, call: &Call, vmid: Vmid) -> Result<Answer> {
        self.operate(call, vmid, "pause", Operation::Pause).await
    }

    /// Sets a guest's processors going.
    pub async fn resume(&self, call: &Call, vmid: Vmid) -> Result<Answer> {
        self.operate(call, vmid, "resume", Operation::Resume).await
    }

    /// Makes a stopped guest a template; `disk` limits it to one disk.
    pub async fn template(&self, call: &Call, vmid: Vmid, disk: Option<DiskSlot>) -> Result<Answer> {
        self.operate(call, vmid, "template", Operation::Template { disk }).await
    }

    /// Takes a snapshot.
    pub async fn snapshot(&self, call: &Call, vmid: Vmid, name: SnapName, description: String) -> Result<Answer> {
        self.operate(call, vmid, "snapshot", Operation::Snapshot { name, description }).await
    }

    /// Deletes a snapshot; `force` forgets it even if a disk's part cannot be deleted.
    pub async fn delete_snapshot(&self, call: &Call, vmid: Vmid, name: SnapName, force: bool) -> Result<Answer> {
        self.operate(call, vmid, "delete-snapshot", Operation::DeleteSnapshot { name, force }).await
    }

    /// Sets a guest back to a snapshot; `start` starts it afterwards.
    pub async fn rollback(&self, call: &Call, vmid: Vmid, name: SnapName, start: bool) -> Result<Answer> {
        self.operate(call, vmid, "rollback", Operation::Rollback { name, start }).await
    }

    /// Changes a snapshot's description.
    pub async fn describe_snapshot(&self, call: &Call, vmid: Vmid, name: SnapName, description: String) -> Result<Answer> {
        self.operate(call, vmid, "describe-snapshot", Operation::DescribeSnapshot { name, description }).await
    }

    /// Grows a disk. A `digest` that is not the configuration's is [`ErrorKind::Conflict`].
    pub async fn resize(&self, call: &Call, vmid: Vmid, disk: DiskSlot, size: ResizeTo, digest: Option<&str>) -> Result<Answer> {
        let digest = digest.map(str::to_owned);
        let allowed = move |guest: &GuestObject| {
            checks::digest(guest, digest.as_deref())?;
            match guest.spec().disks.contains_key(&disk) {
                true => Ok(()),
                false => Err(Error::field("guest.resize", "disk", format!("vm {} has no disk {disk}", guest.id()))),
            }
        };
        self.operate_if(call, vmid, "resize", Operation::Resize { disk, size }, allowed).await
    }

    /// Makes a volume that no slot uses yet; `owner` need not exist.
    pub async fn allocate_volume(&self, call: &Call, node: &NodeName, owner: Vmid, request: AllocateVolume) -> Result<Answer> {
        let AllocateVolume { storage, name, format, size } = request;
        self.operate_on(call, node, owner, "allocate-volume", Operation::AllocateVolume { storage, name, format, size }).await
    }

    /// Deletes a volume that no slot uses; `owner` need not exist.
    ///
    /// A disk of another guest is [`ErrorKind::FailedPrecondition`] at once. The owner's are looked at when the task's turn comes, so
    /// that a deletion may follow the change that frees the volume.
    pub async fn destroy_volume(&self, call: &Call, node: &NodeName, owner: Vmid, volume: VolumeId) -> Result<Answer> {
        if let Some(other) = self.guests().iter().map(|e| &e.guest).find(|g| g.id() != owner && g.has_disk(&volume)) {
            let message = format!("volume '{volume}' is a disk of vm {}: take it out of its slot and its snapshots first", other.id());
            return Err(Error::precondition("volume.delete", message).on(&volume));
        }
        self.operate_on(call, node, owner, "destroy-volume", Operation::DestroyVolume { volume }).await
    }

    /// Removes a guest and its volumes. [`Answer::Unchanged`] if its node had not begun to make it: only its object goes.
    pub async fn delete(&self, call: &Call, vmid: Vmid, request: DeleteGuest) -> Result<Answer> {
        if call.dry_run {
            let guest = self.guest_or_missing("guest.delete", vmid)?;
            let stop = request.stop_first.then(|| format!("end vm {vmid} if it runs"));
            let drive = guest.spec().cloud_init_drive(vmid).map(|(_, volume)| volume);
            let volumes = guest.spec().owned_volumes().chain(drive).map(|v| format!("delete volume {v}"));
            let steps = stop.into_iter().chain(volumes).chain([format!("remove vm {vmid}")]).collect();
            return Ok(Answer::Plan(Box::new(Plan::of("delete", vmid, guest.node().clone(), steps))));
        }
        let work = move |plane: Self, call: Call, id| async move { plane.delete_once(&call, vmid, request, id).await };
        self.called(call, "delete", format!("vm {vmid}"), request, work).await
    }

    async fn delete_once(&self, call: &Call, vmid: Vmid, request: DeleteGuest, id: OperationId) -> Result<Answer> {
        let guest = self.known_guest("guest.delete", vmid).await?;
        let mirror = self.mirror(guest.node())?;
        if request.stop_first && guest.making.is_none() {
            // Queued before the deletion; a stopped guest is left as it is.
            self.give(call, mirror, vmid, following(&id, "stop")?, Operation::Stop).await?;
        }
        let DeleteGuest { purge, destroy_unreferenced, .. } = request;
        let delete = Operation::Delete(DeleteOptions { purge, destroy_unreferenced });
        match self.give(call, mirror, vmid, id, delete).await {
            Err(e) if guest.making.is_some() && (e.kind == ErrorKind::NotFound || is_open(e.kind)) => self.give_up(&guest).await,
            given => given.map(Answer::Accepted),
        }
    }

    /// Removes the record of a guest that its node has never shown.
    async fn give_up(&self, guest: &GuestObject) -> Result<Answer> {
        let shown = |g: &GuestObject| g.making.is_none();
        if let Some((_, revision)) = self.inner.records.remove(guest.id(), shown).await? {
            self.inner.records.cache.reached(revision).await?;
        }
        Ok(Answer::Unchanged(guest.id()))
    }

    /// Changes a guest's configuration. What the machine cannot take while it runs becomes pending.
    ///
    /// With `wait` it returns when the change is made, and [`Answer::Unchanged`] without a task if it is so already.
    pub async fn update(&self, call: &Call, vmid: Vmid, request: UpdateGuest) -> Result<Answer> {
        if call.dry_run {
            let guest = self.guest_or_missing("guest.update", vmid)?;
            let after = updated(&guest, &request)?;
            let changes: Vec<String> = request.patch.paths().map(str::to_owned).collect();
            let steps = changes.iter().map(|c| format!("change {c}")).collect();
            let plan = Plan::of("update", vmid, guest.node().clone(), steps);
            return Ok(Answer::Plan(Box::new(Plan { changes, spec: Some(after), ..plan })));
        }
        let given = request.clone();
        let work = move |plane: Self, call: Call, id| async move { plane.update_once(&call, vmid, given, id).await };
        self.called(call, "update", format!("vm {vmid}"), request, work).await
    }

    async fn update_once(&self, call: &Call, vmid: Vmid, request: UpdateGuest, id: OperationId) -> Result<Answer> {
        let guest = self.known_guest("guest.update", vmid).await?;
        let after = updated(&guest, &request)?;
        let UpdateGuest { patch, name, digest, revert, refresh_cloud_init, wait } = request;
        let same = !refresh_cloud_init && after == *guest.spec() && name.as_ref().is_none_or(|n| *n == guest.name) && revert.is_empty();
        if same && wait && self.is_idle(vmid) {
            return Ok(Answer::Unchanged(vmid));
        }
        let mirror = self.mirror(guest.node())?;
        let operation = Operation::Update(ConfigPatch { spec: patch, name, digest, revert, refresh_cloud_init });
        let accepted = self.give(call, mirror, vmid, id, operation).await?;
        if wait {
            outcome(&*mirror.ended(&accepted.upid).await?)?;
        }
        Ok(Answer::Accepted(Accepted { revision: self.guests().revision(), ..accepted }))
    }

    /// True if no task of the guest is on its way.
    fn is_idle(&self, vmid: Vmid) -> bool {
        let filter = TaskFilter { vmid: Some(vmid), running: Some(true), ..TaskFilter::default() };
        self.tasks(None, &filter).is_empty()
    }

    async fn operate(&self, call: &Call, vmid: Vmid, verb: &'static str, operation: Operation) -> Result<Answer> {
        self.operate_if(call, vmid, verb, operation, |_| Ok(())).await
    }

    /// An operation on a guest that is `allowed` as it is now.
    async fn operate_if(
        &self,
        call: &Call,
        vmid: Vmid,
        verb: &'static str,
        operation: Operation,
        allowed: impl FnOnce(&GuestObject) -> Result<()> + Send + 'static,
    ) -> Result<Answer> {
        if call.dry_run {
            let guest = self.guest_or_missing(verb, vmid)?;
            allowed(&guest)?;
            return Ok(planned(verb, vmid, guest.node()));
        }
        let given = operation.clone();
        let work = move |plane: Self, call: Call, id| async move {
            let guest = plane.known_guest(verb, vmid).await?;
            allowed(&guest)?;
            plane.give(&call, plane.mirror(guest.node())?, vmid, id, given).await.map(Answer::Accepted)
        };
        self.called(call, verb, format!("vm {vmid}"), operation, work).await
    }

    /// An operation on a node for a guest that need not exist.
    async fn operate_on(&self, call: &Call, node: &NodeName, owner: Vmid, verb: &'static str, operation: Operation) -> Result<Answer> {
        if call.dry_run {
            return self.mirror(node).map(|_| planned(verb, owner, node));
        }
        let (node, given) = (node.clone(), operation.clone());
        let work = move |plane: Self, call: Call, id| async move {
            plane.give(&call, plane.mirror(&node)?, owner, id, given).await.map(Answer::Accepted)
        };
        self.called(call, verb, format!("vm {owner}"), operation, work).await
    }

    /// Gives the node an operation on a guest.
    pub(super) async fn give(
        &self,
        call: &Call,
        mirror: &NodeMirror,
        vmid: Vmid,
        id: OperationId,
        operation: Operation,
    ) -> Result<Accepted> {
        let upid = self.submit(mirror, OperationRequest { id, user: call.user.clone(), vmid, operation }).await?;
        Ok(Accepted { vmid, node: mirror.name().clone(), upid, revision: self.guests().revision() })
    }
}

fn planned(verb: &str, vmid: Vmid, node: &NodeName) -> Answer {
    Answer::Plan(Box::new(Plan::of(verb, vmid, node.clone(), vec![format!("{verb} vm {vmid}")])))
}

/// The machine after an update, if the update is allowed.
fn updated(guest: &GuestObject, request: &UpdateGuest) -> Result<VmSpec> {
    checks::digest(guest, request.digest.as_deref())?;
    let after = request.patch.apply(guest.spec())?;
    checks::spec("guest.update", &after)?;
    Ok(after)
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AllocateVolume {
    /// Where.
    pub storage: StorageId,
    /// Its name; absent: the first free one.
    pub name: Option<VolumeName>,
    /// Layout; absent: the storage's default.
    pub format: Option<DiskFormat>,
    /// Size.
    pub size: ByteSize,
}

/// The id of an operation that belongs to another: the same for every attempt.
pub(super) fn following(operation: &OperationId, what: &str) -> Result<OperationId> {
    let id = format!("{operation}-{what}");
    id.parse().map_err(|e: crate::types::TextError| Error::internal("operation.id", e.to_string()))
}

/// The error of a task that did not do what it was to do.
pub fn outcome(task: &TaskReport) -> Result<()> {
    let error = |kind, message: &str| Err(Error::new(kind, "task", message).on(&task.upid));
    match &task.state {
        TaskState::Ok | TaskState::Warnings(_) => Ok(()),
        TaskState::Failed(reason) => error(ErrorKind::FailedPrecondition, reason),
        TaskState::Cancelled => error(ErrorKind::Cancelled, "the task was cancelled"),
        TaskState::Stuck(reason) => error(ErrorKind::Stuck, reason),
        TaskState::Queued | TaskState::Running | TaskState::Undoing => error(ErrorKind::Internal, "the task has not ended"),
    }
}
