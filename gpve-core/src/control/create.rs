//! Making guests: create and clone.

use uuid::Uuid;

use super::call::{Accepted, Answer, Call, Plan, PlannedVolume};
use super::ids::VMID_TRIES;
use super::job::{Begun, Job, TAKE_TRIES};
use super::mirror::object_names;
use super::nodes::NodeMirror;
use super::objects::{ApiVersion, GuestObject, ObjectKind, VirtualMachine, VirtualMachineSpec};
use super::observe::{blank_status, events};
use super::owners::FieldOwners;
use super::plane::ControlPlane;
use super::records::NotInserted;
use super::request::{CloneGuest, CreateGuest};
use super::{SEEN_PATIENCE, checks, ids};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ports::{CloneOptions, Guest as _, Operation, OperationRequest, Placement, PlacementRequest, Revision};
use crate::types::{DiskSource, GuestName, Labels, Millicores, Namespace, NodeName, ObjectMeta, VmSpec, Vmid};

/// What all new guests have in common, however they are made.
struct NewGuest<'a> {
    vmid: Option<Vmid>,
    node: NodeName,
    namespace: Namespace,
    object_name: Option<&'a GuestName>,
    name: Option<GuestName>,
    labels: Labels,
    annotations: Labels,
    power_state: Option<super::PowerState>,
    owners: FieldOwners,
    spec: VmSpec,
}

impl ControlPlane {
    /// Makes a guest: chooses number, addresses and node, keeps its object and has the node make it.
    ///
    /// When this returns, reads show the guest and its task. If the node refuses it at once, or its task fails, the
    /// object is gone again. Errors: [`ErrorKind::InvalidInput`] naming the fields, [`ErrorKind::AlreadyExists`] for a
    /// number or object name that is taken, [`ErrorKind::FailedPrecondition`] when no node can have it.
    pub async fn create(&self, call: &Call, request: CreateGuest) -> Result<Answer> {
        if call.dry_run {
            return self.plan_create(&request);
        }
        self.to_the_end(call, |plane, call| async move { plane.create_called(&call, request).await }).await
    }

    async fn create_called(&self, call: &Call, request: CreateGuest) -> Result<Answer> {
        let subject = subject(request.vmid, request.object_name.as_ref().or(request.name.as_ref()));
        for _ in 0..TAKE_TRIES {
            let mut job = match self.begin(call, "create", &subject, &request).await? {
                Begun::Go(job) => *job,
                Begun::Done(accepted) => return Ok(Answer::Accepted(accepted)),
            };
            let result = Box::pin(self.create_once(call, request.clone(), &mut job)).await;
            if !job.overtaken {
                return self.end(call, job, result.map(Answer::Accepted)).await;
            }
        }
        Err(overtaken())
    }

    async fn create_once(&self, call: &Call, request: CreateGuest, job: &mut Job) -> Result<Accepted> {
        if let Some((vmid, revision)) = job.made() {
            return self.make_made(vmid, revision, job).await;
        }
        checks::create(&request)?;
        let placement = self.place(request.vmid, &request.spec, request.node.clone())?;
        let mut spec = request.spec;
        ids::allocate(&mut spec, &ids::addresses(&self.inner.records.cache), Uuid::new_v4)?;
        let new = NewGuest {
            vmid: request.vmid,
            node: placement.node,
            namespace: request.namespace,
            object_name: request.object_name.as_ref(),
            name: request.name.or_else(|| request.object_name.clone()),
            labels: request.labels,
            annotations: request.annotations,
            power_state: request.power_state,
            owners: request.owners,
            spec,
        };
        let (uid, name, spec) = (job.uid, new.name.clone(), Box::new(new.spec.clone()));
        let operation = move |_vmid| Operation::Create { uid, name: name.clone(), spec: spec.clone(), start: request.start };
        self.record_and_make(call, new, &|vmid| vmid, &operation, job).await
    }

    /// Makes a guest from another one, on the same node. As [`ControlPlane::create`] otherwise.
    pub async fn clone_guest(&self, call: &Call, request: CloneGuest) -> Result<Answer> {
        if call.dry_run {
            return self.plan_clone(&request);
        }
        self.to_the_end(call, |plane, call| async move { plane.clone_called(&call, request).await }).await
    }

    async fn clone_called(&self, call: &Call, request: CloneGuest) -> Result<Answer> {
        for _ in 0..TAKE_TRIES {
            let mut job = match self.begin(call, "clone", format!("vm {}", request.source), &request).await? {
                Begun::Go(job) => *job,
                Begun::Done(accepted) => return Ok(Answer::Accepted(accepted)),
            };
            let result = Box::pin(self.clone_once(call, request.clone(), &mut job)).await;
            if !job.overtaken {
                return self.end(call, job, result.map(Answer::Accepted)).await;
            }
        }
        Err(overtaken())
    }

    async fn clone_once(&self, call: &Call, request: CloneGuest, job: &mut Job) -> Result<Accepted> {
        if let Some((vmid, revision)) = job.made() {
            return self.make_made(vmid, revision, job).await;
        }
        let source = self.known_guest("guest.clone", request.source).await?;
        let new = NewGuest {
            vmid: request.target,
            node: source.node().clone(),
            namespace: source.object.metadata.namespace.clone(),
            object_name: None,
            name: request.name.clone(),
            labels: source.object.metadata.labels.clone(),
            annotations: Labels::new(),
            power_state: None,
            owners: FieldOwners::default(),
            spec: provisional(source.spec()),
        };
        let (uid, full) = (job.uid, request.full.unwrap_or(!source.spec().template));
        let operation = move |target| {
            let CloneGuest { name, description, snapshot, storage, format, .. } = request.clone();
            Operation::Clone(Box::new(CloneOptions { target, uid, name, description, full, snapshot, storage, format }))
        };
        let vmid = source.id();
        self.record_and_make(call, new, &|_| vmid, &operation, job).await
    }

    /// Keeps the new guest's record and has its node make it. `on` gives the guest that the operation is for.
    async fn record_and_make(
        &self,
        call: &Call,
        new: NewGuest<'_>,
        on: &(dyn Fn(Vmid) -> Vmid + Send + Sync),
        operation: &(dyn Fn(Vmid) -> Operation + Send + Sync),
        job: &mut Job,
    ) -> Result<Accepted> {
        let mirror = self.mirror(&new.node)?.clone();
        let mut guest = self.blank(call, &new, job)?;
        for _ in 0..VMID_TRIES {
            // Held until the guest shows, so that parallel calls try different numbers.
            let picked = match new.vmid {
                Some(_) => None,
                None => Some(self.inner.ids.pick(&self.inner.records.cache)?),
            };
            let vmid = new.vmid.or(picked.as_ref().map(|p| p.vmid)).unwrap_or(Vmid::MIN);
            let vm = on(vmid);
            let request = OperationRequest { id: job.operation.clone(), user: call.user.clone(), vmid: vm, operation: operation(vmid) };
            guest.object.spec.vmid = vmid;
            guest.object.status.vmid = vmid;
            guest.making = Some(Box::new(request));
            match self.record(&mut guest, &new, job).await {
                Ok(revision) => return self.make(&mirror, guest, revision).await,
                // Another server took it: once that shows, the next free number is tried.
                Err(NotInserted::VmidTaken(since)) if new.vmid.is_none() => self.inner.records.cache.reached(since).await?,
                Err(NotInserted::VmidTaken(_)) => return Err(Error::already_exists("guest.create", format!("vm {vmid}"))),
                Err(NotInserted::NameTaken) => return Err(name_taken(&new)),
                Err(NotInserted::Overtaken) => {
                    job.overtaken = true;
                    return Err(overtaken());
                }
                Err(NotInserted::Failed(e)) => return Err(e),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "guest.create", "too many guests are being made at once: retry").retry(Retry::Later))
    }

    /// The object of a new guest, but for its number.
    fn blank(&self, call: &Call, new: &NewGuest<'_>, job: &Job) -> Result<GuestObject> {
        let now = self.inner.clock.now();
        let vmid = new.vmid.unwrap_or(Vmid::MIN);
        let metadata = ObjectMeta {
            name: String::new(),
            namespace: new.namespace.clone(),
            uid: job.uid,
            labels: new.labels.clone(),
            annotations: new.annotations.clone(),
            creation_timestamp: now,
            generation: 1,
        };
        tracing::debug!(user = %call.user, node = %new.node, "a guest is recorded");
        let node = new.node.clone();
        Ok(GuestObject {
            object: VirtualMachine {
                api_version: ApiVersion::V1,
                kind: ObjectKind::VirtualMachine,
                metadata,
                spec: VirtualMachineSpec { vmid, node: node.clone(), power_state: new.power_state, vm: new.spec.clone() },
                status: blank_status(vmid, node),
            },
            name: new.name.clone(),
            running: None,
            lock: None,
            agent_connected: false,
            snapshots: Vec::new(),
            owners: new.owners.clone(),
            making: None,
            revision: Revision(0),
        })
    }

    /// Writes the record under the first name that is free.
    async fn record(&self, guest: &mut GuestObject, new: &NewGuest<'_>, job: &mut Job) -> Result<Revision, NotInserted> {
        let vmid = guest.id();
        let names = match new.object_name {
            Some(name) => vec![name.to_string()],
            None => object_names(new.name.as_ref().map(GuestName::as_str), vmid, job.uid).into(),
        };
        for name in names {
            guest.object.metadata.name = name;
            match self.inner.records.insert(guest, job.making(vmid)?).await {
                Ok(revision) => {
                    job.made_at(vmid, revision);
                    return Ok(revision);
                }
                Err(NotInserted::NameTaken) => {}
                Err(other) => return Err(other),
            }
        }
        Err(NotInserted::NameTaken)
    }

    /// Has the node make a recorded guest. If it refuses, the record goes again.
    async fn make(&self, mirror: &NodeMirror, guest: GuestObject, revision: Revision) -> Result<Accepted> {
        self.inner.records.cache.reached(revision).await?;
        let (vmid, node) = (guest.id(), guest.node().clone());
        let Some(request) = guest.making.clone() else {
            return Err(Error::internal("guest.make", "a new guest has no operation that makes it").on(format!("vm {vmid}")));
        };
        let id = request.id.clone();
        match self.submit(mirror, *request).await {
            Ok(upid) => {
                events(None, Some(&guest), self.inner.clock.now()).into_iter().for_each(|e| self.inner.events.publish(e));
                Ok(Accepted { vmid, node, upid, revision })
            }
            Err(e) if is_open(e.kind) => {
                let message = format!(
                    "node {node} does not answer; vm {vmid} is made when it answers again, or give it up with: gpvectl vm delete {vmid}"
                );
                Err(Error::new(e.kind, "guest.make", message).on(format!("vm {vmid}")).because(&e))
            }
            Err(e) => {
                let others = |g: &GuestObject| g.making.as_ref().is_none_or(|m| m.id != id);
                if let Some((_, revision)) = self.inner.records.remove(vmid, others).await? {
                    self.inner.records.cache.reached(revision).await?;
                }
                Err(e)
            }
        }
    }

    /// Goes on with a guest that an earlier attempt under the same idempotency key recorded.
    async fn make_made(&self, vmid: Vmid, revision: Revision, job: &Job) -> Result<Accepted> {
        self.inner.records.cache.reached(revision).await?;
        let guest = self.guest_or_missing("guest.make", vmid)?;
        let (node, revision) = (guest.node().clone(), guest.revision);
        let mirror = self.mirror(&node)?.clone();
        if guest.making.is_some() {
            return self.make(&mirror, (*guest).clone(), revision).await;
        }
        // The node has shown the guest; its task is shown right after it.
        let shown = mirror.until(|s| s.tasks.of_operation(&job.operation).map(|t| t.upid.clone()));
        match tokio::time::timeout(SEEN_PATIENCE, shown).await {
            Ok(upid) => Ok(Accepted { vmid, node, upid, revision }),
            Err(_) => Err(Error::already_exists("guest.make", format!("vm {vmid}"))),
        }
    }

    /// Chooses the node of a new guest.
    fn place(&self, vmid: Option<Vmid>, spec: &VmSpec, node: Option<NodeName>) -> Result<Placement> {
        if let Some(name) = &node {
            let mirror = self.mirror(name)?;
            if !mirror.read(|s| s.ready) {
                return Err(mirror.absent("guest.place"));
            }
        }
        let request = PlacementRequest {
            vmid: vmid.unwrap_or(Vmid::MIN),
            cpu: Millicores::from_cores(spec.cpu.total().into()),
            memory: spec.memory.size.bytes(),
            storages: checks::storages(spec),
            node,
        };
        self.inner.scheduler.place(&request, &self.node_views()).map_err(|e| Error::precondition("guest.place", e.to_string()))
    }

    fn plan_create(&self, request: &CreateGuest) -> Result<Answer> {
        checks::create(request)?;
        let vmid = match request.vmid {
            Some(vmid) => self.check_vmid(vmid).map(|()| vmid)?,
            None => self.preview_vmid()?,
        };
        if let Some(name) = &request.object_name
            && self.guest_named(&request.namespace, name.as_str()).is_some()
        {
            return Err(Error::already_exists("guest.create", format!("VirtualMachine {}/{name}", request.namespace)));
        }
        let placement = self.place(Some(vmid), &request.spec, request.node.clone())?;
        let volumes = planned_volumes(&request.spec);
        let mut steps: Vec<String> = volumes.iter().map(|v| format!("make a volume for {} on storage {}", v.slot, v.storage)).collect();
        steps.push(format!("record vm {vmid}"));
        if request.start {
            steps.push(format!("start vm {vmid}"));
        }
        let plan = Plan::of("create", vmid, placement.node, steps);
        Ok(Answer::Plan(Box::new(Plan { placement: placement.reason, volumes, spec: Some(request.spec.clone()), ..plan })))
    }

    fn plan_clone(&self, request: &CloneGuest) -> Result<Answer> {
        let source = self.guest_or_missing("guest.clone", request.source)?;
        let vmid = match request.target {
            Some(vmid) => self.check_vmid(vmid).map(|()| vmid)?,
            None => self.preview_vmid()?,
        };
        let full = request.full.unwrap_or(!source.spec().template);
        let how = if full { "copy" } else { "link" };
        let disks = source.spec().disks.iter().filter(|(_, d)| !d.is_cdrom());
        let mut steps: Vec<String> = disks.map(|(slot, _)| format!("{how} disk {slot} of vm {}", source.id())).collect();
        steps.push(format!("record vm {vmid}"));
        Ok(Answer::Plan(Box::new(Plan::of("clone", vmid, source.node().clone(), steps))))
    }
}

/// Whether a node that answered so may have accepted the operation all the same.
pub(super) fn is_open(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
}

impl NewGuest<'_> {
    fn wanted_name(&self) -> String {
        self.object_name.or(self.name.as_ref()).map(ToString::to_string).unwrap_or_default()
    }
}

fn overtaken() -> Error {
    let message = "parallel calls with the same idempotency key go on: retry to get their result";
    Error::new(ErrorKind::Unavailable, "guest.create", message)
}

fn name_taken(new: &NewGuest<'_>) -> Error {
    Error::already_exists("guest.create", format!("VirtualMachine {}/{}", new.namespace, new.wanted_name()))
}

/// A clone's spec until its node shows the real one: nothing in it belongs to the source.
fn provisional(source: &VmSpec) -> VmSpec {
    let mut spec = source.clone();
    spec.disks.clear();
    spec.unused.clear();
    spec.networks.clear();
    spec.boot = None;
    spec.uuid = None;
    spec.generation_id = None;
    spec.template = false;
    spec
}

/// The volumes that a machine's making makes.
pub(super) fn planned_volumes(spec: &VmSpec) -> Vec<PlannedVolume> {
    let planned = |slot: String, source: &DiskSource| match source {
        DiskSource::New { storage, size, format } => {
            Some(PlannedVolume { slot, storage: storage.clone(), size: Some(*size), format: *format })
        }
        DiskSource::Import { storage, format, .. } => Some(PlannedVolume { slot, storage: storage.clone(), size: None, format: *format }),
        DiskSource::CloudInit { storage, format } => {
            Some(PlannedVolume { slot, storage: storage.clone(), size: Some(DiskSource::CLOUD_INIT_SIZE), format: *format })
        }
        DiskSource::Empty | DiskSource::Host(_) | DiskSource::Volume { .. } => None,
    };
    spec.disks.iter().filter_map(|(slot, disk)| planned(slot.to_string(), &disk.source)).collect()
}

fn subject(vmid: Option<Vmid>, name: Option<&GuestName>) -> String {
    match (vmid, name) {
        (Some(vmid), _) => format!("vm {vmid}"),
        (None, Some(name)) => name.to_string(),
        (None, None) => "vm".to_owned(),
    }
}
