//! Server-side apply: the object becomes what a manifest says, field by field, each field with its owner.

use serde_json::Value;
use uuid::Uuid;

use super::call::{Accepted, Answer, Call, Plan};
use super::keys;
use super::manifest::{Decision, Manifest, decide};
use super::objects::{GuestObject, PowerState};
use super::operate::following;
use super::owners::FieldOwners;
use super::plane::ControlPlane;
use super::request::CreateGuest;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ConfigPatch, Guest as _, Operation, ResizeTo, Revision, ShutdownOptions};
use crate::types::{FieldManager, GuestPhase, OperationId, Vmid};

/// How long an applied `powerState: Stopped` waits for the guest to shut down before it is ended.
const SHUTDOWN_SECONDS: u32 = 60;

/// A manifest to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// A `VirtualMachine` of `gpve.io/v1` with the fields that its author cares for. `status` and the fields of the
    /// metadata that the server sets are ignored, so that what was read can be applied; but a `uid` or
    /// `resourceVersion` must be the object's.
    pub manifest: Value,
    /// Who applies it.
    pub manager: FieldManager,
    /// Take over fields that other managers own.
    pub force: bool,
}

/// What became of an apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The guest.
    pub vmid: Vmid,
    /// What happened.
    pub outcome: ApplyOutcome,
    /// Tasks that carry it out, in order; each waits for the one before.
    pub tasks: Vec<Accepted>,
    /// What would be done, for a dry run.
    pub plan: Option<Box<Plan>>,
    /// The store's revision that shows it.
    pub revision: Revision,
}

/// What an apply did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The object is new.
    Created,
    /// The object was changed.
    Configured,
    /// The object was so already.
    Unchanged,
}

impl ControlPlane {
    /// Makes the object of the manifest's name what the manifest says: makes the guest, or changes the fields that the
    /// manifest sets and those that this manager set before and no longer does; then starts or stops it if the manifest
    /// declares a power state.
    ///
    /// Idempotent: the same manifest again is [`ApplyOutcome::Unchanged`]. A disk to be made stands for the disk that
    /// was made from it; a larger size grows it. Errors: [`ErrorKind::Conflict`] naming other managers and their fields,
    /// [`ErrorKind::InvalidInput`] naming the field.
    pub async fn apply(&self, call: &Call, apply: Apply) -> Result<Applied> {
        let manifest = Manifest::parse(apply.manifest.clone())?;
        let work = |plane: Self, call: Call| async move {
            let result = Box::pin(plane.apply_parsed(&call, &apply, &manifest)).await;
            if !call.dry_run {
                let name = format!("{}/{}", manifest.namespace, manifest.name);
                plane.audit(&call, "apply", ("virtualmachines", &name), &result).await;
            }
            result
        };
        self.to_the_end(call, work).await
    }

    async fn apply_parsed(&self, call: &Call, apply: &Apply, manifest: &Manifest) -> Result<Applied> {
        if let Some(guest) = self.guest_named(&manifest.namespace, manifest.name.as_str()) {
            return self.configure(call, apply, manifest, guest.id()).await;
        }
        match self.make_applied(call, apply, manifest).await {
            // A parallel apply of the same manifest was faster: then there is an object to configure.
            Err(e) if e.kind == ErrorKind::AlreadyExists => {
                let records = &self.inner.records;
                if let Some(taken) = records.store.get(&keys::name(&manifest.namespace, manifest.name.as_str())?).await? {
                    records.cache.reached(taken.modified).await?;
                }
                let guest = self.guest_named(&manifest.namespace, manifest.name.as_str()).ok_or(e)?;
                self.configure(call, apply, manifest, guest.id()).await
            }
            other => other,
        }
    }

    async fn make_applied(&self, call: &Call, apply: &Apply, manifest: &Manifest) -> Result<Applied> {
        let mut owners = FieldOwners::default();
        owners.set(&apply.manager, manifest.fields(), &std::collections::BTreeSet::new());
        let request = CreateGuest {
            vmid: manifest.vmid,
            node: manifest.node.clone(),
            namespace: manifest.namespace.clone(),
            object_name: Some(manifest.name.clone()),
            name: Some(manifest.name.clone()),
            labels: manifest.labels.clone(),
            annotations: manifest.annotations.clone(),
            spec: manifest.machine()?,
            start: manifest.power_state == Some(PowerState::Running),
            power_state: manifest.power_state,
            owners,
        };
        // Applying is idempotent by itself, whatever key the caller gave.
        let call = Call { idempotency_key: None, ..call.clone() };
        let answer = self.create(&call, request).await?;
        Ok(match answer {
            Answer::Plan(plan) => Applied {
                vmid: plan.vmid,
                outcome: ApplyOutcome::Created,
                tasks: Vec::new(),
                plan: Some(plan),
                revision: self.guests().revision(),
            },
            answer => {
                let accepted = answer.accepted()?;
                let (vmid, revision) = (accepted.vmid, accepted.revision);
                Applied { vmid, outcome: ApplyOutcome::Created, tasks: vec![accepted], plan: None, revision }
            }
        })
    }

    async fn configure(&self, call: &Call, apply: &Apply, manifest: &Manifest, vmid: Vmid) -> Result<Applied> {
        let guest = self.known_guest("object.apply", vmid).await?;
        let decision = decide(&guest, manifest, &apply.manager, apply.force)?;
        let power = manifest.power_state.and_then(|wanted| turn(&guest, wanted));
        let changed = !decision.changes.is_empty() || power.is_some();
        let outcome = if changed { ApplyOutcome::Configured } else { ApplyOutcome::Unchanged };
        if call.dry_run {
            let plan = Some(Box::new(planned(&guest, &decision, power.as_ref())));
            return Ok(Applied { vmid, outcome, tasks: Vec::new(), plan, revision: guest.revision });
        }
        let (before, decision, mut revision) = self.declare(apply, manifest, &guest, decision).await?;
        let carried = self.carry_out(call, vmid, &decision, power).await;
        let tasks = match carried {
            Ok(tasks) => tasks,
            Err(e) => {
                // Refused at once: what was declared with it is taken back, as if nothing had been applied.
                self.take_back(vmid, &before, &decision).await?;
                return Err(e);
            }
        };
        revision = tasks.last().map_or(revision, |t| t.revision.max(revision));
        self.inner.records.cache.reached(revision).await?;
        Ok(Applied { vmid, outcome, tasks, plan: None, revision })
    }

    /// Writes what the control plane itself keeps: labels, annotations, power state, owners. Compare-and-swap makes
    /// parallel applies see each other's fields.
    async fn declare(
        &self,
        apply: &Apply,
        manifest: &Manifest,
        guest: &GuestObject,
        decision: Decision,
    ) -> Result<(GuestObject, Decision, Revision)> {
        let change = |before: &GuestObject| {
            let decision = decide(before, manifest, &apply.manager, apply.force)?;
            let after = declared(before, &decision);
            Ok((after != *before).then_some(after))
        };
        match self.inner.records.update(guest.id(), change).await? {
            None => Ok((guest.clone(), decision, guest.revision)),
            Some((before, after)) => {
                self.inner.records.cache.reached(after.revision).await?;
                let decision = decide(&before, manifest, &apply.manager, apply.force)?;
                Ok(((*before).clone(), decision, after.revision))
            }
        }
    }

    async fn take_back(&self, vmid: Vmid, before: &GuestObject, decision: &Decision) -> Result<()> {
        let undo = |now: &GuestObject| {
            let ours = declared(before, decision);
            let same = now.owners == ours.owners && now.object.metadata.labels == ours.object.metadata.labels;
            let mut after = now.clone();
            after.owners = before.owners.clone();
            after.object.metadata.labels = before.object.metadata.labels.clone();
            after.object.metadata.annotations = before.object.metadata.annotations.clone();
            after.object.spec.power_state = before.object.spec.power_state;
            Ok((same && after != *now).then_some(after))
        };
        match self.inner.records.update(vmid, undo).await? {
            Some((_, after)) => self.inner.records.cache.reached(after.revision).await,
            None => Ok(()),
        }
    }

    /// Gives the node what is its to do; the node does it in this order.
    async fn carry_out(&self, call: &Call, vmid: Vmid, decision: &Decision, power: Option<Operation>) -> Result<Vec<Accepted>> {
        let mirror = self.mirror_of("object.apply", vmid)?.clone();
        let id: OperationId =
            Uuid::new_v4().to_string().parse().map_err(|e: crate::types::TextError| Error::internal("operation.id", e.to_string()))?;
        let update =
            (!decision.patch.is_empty()).then(|| Operation::Update(ConfigPatch { spec: decision.patch.clone(), ..ConfigPatch::default() }));
        let resizes = decision.resizes.iter().map(|(disk, size)| Operation::Resize { disk: *disk, size: ResizeTo::Absolute(*size) });
        let mut tasks = Vec::new();
        for (n, operation) in update.into_iter().chain(resizes).chain(power).enumerate() {
            tasks.push(self.give(call, &mirror, vmid, following(&id, &n.to_string())?, operation).await?);
        }
        Ok(tasks)
    }
}

/// The record with what was declared.
fn declared(before: &GuestObject, decision: &Decision) -> GuestObject {
    let mut after = before.clone();
    after.owners = decision.owners.clone();
    after.object.metadata.labels = decision.labels.clone();
    after.object.metadata.annotations = decision.annotations.clone();
    after.object.spec.power_state = decision.power_state;
    after
}

/// What brings a guest to the wanted power state.
fn turn(guest: &GuestObject, wanted: PowerState) -> Option<Operation> {
    use GuestPhase as P;
    let shutdown = Operation::Shutdown(ShutdownOptions { timeout_s: SHUTDOWN_SECONDS, force: true });
    let declared = guest.object.spec.power_state == Some(wanted);
    match (wanted, guest.phase()) {
        // What makes it starts it.
        (PowerState::Running, P::Pending | P::Creating) => (!declared).then_some(Operation::Start),
        (PowerState::Running, P::Stopped | P::Stopping | P::Failed) => Some(Operation::Start),
        (PowerState::Running, P::Paused | P::Suspended) => Some(Operation::Resume),
        (
            PowerState::Running,
            P::Starting | P::Running | P::Resuming | P::Migrating | P::Snapshotting | P::Rebooting | P::Updating | P::Deleting,
        ) => None,
        (PowerState::Stopped, P::Running | P::Starting | P::Resuming | P::Migrating | P::Rebooting | P::Updating | P::Snapshotting) => {
            Some(shutdown)
        }
        // A halted guest does not hear a request to power off.
        (PowerState::Stopped, P::Paused | P::Suspended) => Some(Operation::Stop),
        (PowerState::Stopped, P::Stopped | P::Stopping | P::Failed | P::Pending | P::Creating | P::Deleting) => None,
    }
}

fn planned(guest: &GuestObject, decision: &Decision, power: Option<&Operation>) -> Plan {
    let changes: Vec<String> = decision.changes.iter().cloned().collect();
    let mut steps: Vec<String> = changes.iter().map(|c| format!("change {c}")).collect();
    steps.extend(decision.resizes.iter().map(|(slot, size)| format!("grow disk {slot} to {size}")));
    steps.extend(power.map(|p| match p {
        Operation::Start | Operation::Resume => format!("start vm {}", guest.id()),
        _ => format!("stop vm {}", guest.id()),
    }));
    let volumes = super::create::planned_volumes(&decision.spec);
    let plan = Plan::of("apply", guest.id(), guest.node().clone(), steps);
    Plan { changes, volumes, spec: Some(decision.spec.clone()), ..plan }
}
