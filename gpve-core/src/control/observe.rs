//! From what a node reports to objects and events. Pure.

use std::collections::BTreeMap;

use super::objects::{ApiVersion, GuestObject, ObjectKind, VirtualMachine, VirtualMachineSpec};
use super::owners::FieldOwners;
use crate::ports::{Event, EventKind, Guest as _, GuestReport, Revision};
use crate::types::{Condition, GuestUsage, Labels, Namespace, NodeName, ObjectMeta, SnapName, Timestamp, VmStatus};

/// `before` as `report` says it is now. What only the control plane knows (metadata, owners, declared power state) stays.
pub(super) fn observed(before: &GuestObject, report: &GuestReport, node: &NodeName, now: Timestamp) -> GuestObject {
    let old = &before.object;
    let object = VirtualMachine {
        api_version: ApiVersion::V1,
        kind: ObjectKind::VirtualMachine,
        metadata: ObjectMeta { uid: report.uid, creation_timestamp: report.created, generation: report.generation, ..old.metadata.clone() },
        spec: VirtualMachineSpec { vmid: report.vmid, node: node.clone(), power_state: old.spec.power_state, vm: report.spec.clone() },
        status: status(&old.status, report, node, now),
    };
    GuestObject {
        object,
        name: report.name.clone(),
        running: report.running.clone(),
        lock: report.lock.clone(),
        agent_connected: report.agent_connected,
        snapshots: report.snapshots.clone(),
        owners: before.owners.clone(),
        making: None,
        revision: before.revision,
    }
}

/// The object of a guest that a node has and the store does not: made by another control plane, or its object was lost.
pub(super) fn recreated(report: &GuestReport, node: &NodeName, object_name: String, now: Timestamp) -> GuestObject {
    let metadata = ObjectMeta {
        name: object_name,
        namespace: Namespace::default(),
        uid: report.uid,
        labels: Labels::new(),
        annotations: Labels::new(),
        creation_timestamp: report.created,
        generation: report.generation,
    };
    let blank = GuestObject {
        object: VirtualMachine {
            api_version: ApiVersion::V1,
            kind: ObjectKind::VirtualMachine,
            metadata,
            spec: VirtualMachineSpec { vmid: report.vmid, node: node.clone(), power_state: None, vm: report.spec.clone() },
            status: blank_status(report.vmid, node.clone()),
        },
        name: None,
        running: None,
        lock: None,
        agent_connected: false,
        snapshots: Vec::new(),
        owners: FieldOwners::default(),
        making: None,
        revision: Revision(0),
    };
    observed(&blank, report, node, now)
}

/// The status of a guest that was accepted and that no node has shown.
pub(super) fn blank_status(vmid: crate::types::Vmid, node: NodeName) -> VmStatus {
    VmStatus {
        vmid,
        phase: crate::types::GuestPhase::Pending,
        reason: None,
        node,
        qmp_socket: None,
        pid: None,
        start_time: None,
        conditions: Vec::new(),
        usage: GuestUsage::default(),
        parent_snapshot: None,
        observed_generation: 0,
    }
}

fn status(before: &VmStatus, report: &GuestReport, node: &NodeName, now: Timestamp) -> VmStatus {
    let carried_out = report.running.as_ref().is_none_or(|running| **running == report.spec);
    VmStatus {
        vmid: report.vmid,
        phase: report.phase,
        reason: report.reason.clone(),
        node: node.clone(),
        qmp_socket: report.qmp_socket.clone(),
        pid: report.pid,
        start_time: report.started,
        conditions: conditions(&before.conditions, report, carried_out, now),
        usage: GuestUsage::default(),
        parent_snapshot: report.parent.clone(),
        observed_generation: if carried_out { report.generation } else { before.observed_generation },
    }
}

fn conditions(before: &[Condition], report: &GuestReport, carried_out: bool, now: Timestamp) -> Vec<Condition> {
    use crate::types::GuestPhase::{Failed, Running};
    let ready = Condition {
        kind: "Ready".to_owned(),
        status: Some(report.phase == Running),
        reason: report.phase.to_string(),
        message: report.reason.clone().filter(|_| report.phase == Failed).unwrap_or_default(),
        last_transition_time: now,
    };
    let agent = Condition {
        kind: "AgentConnected".to_owned(),
        status: Some(report.agent_connected),
        reason: if report.agent_connected { "ChannelOpen" } else { "ChannelClosed" }.to_owned(),
        message: String::new(),
        last_transition_time: now,
    };
    let current = Condition {
        kind: "UpToDate".to_owned(),
        status: Some(carried_out),
        reason: if carried_out { "SpecInForce" } else { "RestartNeeded" }.to_owned(),
        message: if carried_out { "" } else { "some changes take effect at the next start" }.to_owned(),
        last_transition_time: now,
    };
    [ready, agent, current].map(|c| keep_time(before, c)).into()
}

/// A condition that did not turn keeps the time when it last did.
fn keep_time(before: &[Condition], now: Condition) -> Condition {
    match before.iter().find(|c| c.kind == now.kind && c.status == now.status) {
        Some(old) => Condition { last_transition_time: old.last_transition_time, ..now },
        None => now,
    }
}

/// What happened between two states of a guest.
pub(super) fn events(before: Option<&GuestObject>, after: Option<&GuestObject>, now: Timestamp) -> Vec<Event> {
    let Some(guest) = after.or(before) else { return Vec::new() };
    let event = |kind, details: &[(&str, String)]| Event {
        time: now,
        kind,
        node: guest.node().clone(),
        vmid: Some(guest.id()),
        details: details.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect::<BTreeMap<_, _>>(),
    };
    let (before, after) = match (before, after) {
        (None, _) => return vec![event(EventKind::GuestCreated, &[("phase", guest.phase().to_string())])],
        (_, None) => return vec![event(EventKind::GuestDeleted, &[])],
        (Some(before), Some(after)) => (before, after),
    };
    let mut out = Vec::new();
    if before.phase() != after.phase() {
        let details = [("phase", after.phase().to_string()), ("before", before.phase().to_string())];
        out.push(event(EventKind::GuestPhaseChanged, &details));
    }
    if before.spec() != after.spec() || before.name != after.name {
        out.push(event(EventKind::GuestUpdated, &[("generation", after.object.metadata.generation.to_string())]));
    }
    let has = |guest: &GuestObject, name: &SnapName| guest.snapshots.iter().any(|s| s.name == *name);
    for made in after.snapshots.iter().filter(|s| !has(before, &s.name)) {
        out.push(event(EventKind::SnapshotCreated, &[("snapshot", made.name.to_string())]));
    }
    for gone in before.snapshots.iter().filter(|s| !has(after, &s.name)) {
        out.push(event(EventKind::SnapshotDeleted, &[("snapshot", gone.name.to_string())]));
    }
    out
}
