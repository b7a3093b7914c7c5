//! The phases in the words of others. Every function is total; where the other side has fewer words, some are lost.

use super::vm::{FailCause, Phase, Settled, SnapshotWork, StopKind};
use crate::types::{Condition, Timestamp};

/// How Proxmox VE shows a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PveStatus {
    /// `status`: `running` or `stopped`.
    pub status: &'static str,
    /// `qmpstatus`: QEMU's run state, `stopped` without a process.
    pub qmpstatus: &'static str,
    /// `lock`: what it is locked for.
    pub lock: Option<&'static str>,
}

/// Proxmox VE's view.
pub fn pve(phase: &Phase) -> PveStatus {
    let (status, mut qmpstatus) = match phase.seen() {
        Settled::Stopped | Settled::Suspended => ("stopped", "stopped"),
        Settled::Running => ("running", "running"),
        Settled::Paused => ("running", "paused"),
    };
    if let Phase::Failed { cause, process } = phase
        && *process == super::vm::ProcessState::Halted
    {
        qmpstatus = match cause {
            FailCause::Panicked => "guest-panicked",
            FailCause::IoError => "io-error",
            FailCause::Undone(_) | FailCause::Stuck { .. } | FailCause::ProcessGone(_) => "paused",
        };
    }
    if *phase == Phase::Starting {
        qmpstatus = "prelaunch";
    }
    PveStatus { status, qmpstatus, lock: pve_lock(phase) }
}

fn pve_lock(phase: &Phase) -> Option<&'static str> {
    match phase {
        Phase::Pending | Phase::Creating => Some("create"),
        Phase::Suspended => Some("suspended"),
        Phase::Stopping { how: StopKind::Suspend, .. } => Some("suspending"),
        Phase::Migrating { .. } => Some("migrate"),
        Phase::Snapshotting { work, .. } => Some(match work {
            SnapshotWork::Take => "snapshot",
            SnapshotWork::Delete => "snapshot-delete",
            SnapshotWork::Rollback => "rollback",
        }),
        Phase::Failed { cause: FailCause::Stuck { request, .. }, .. } => request.lock(),
        Phase::Stopped
        | Phase::Starting
        | Phase::Running
        | Phase::Stopping { how: StopKind::Shutdown | StopKind::Kill, .. }
        | Phase::Paused
        | Phase::Resuming
        | Phase::Rebooting
        | Phase::Updating { .. }
        | Phase::Failed { .. }
        | Phase::Deleting => None,
    }
}

/// The guest machine of design document 000: Created, Starting, Running, Stopping, Stopped, Destroyed, Paused,
/// Migrating, Snapshots, Error. Rebooting is Stopping, what is changed stays what it is, what is removed is Destroyed.
pub fn document_000(phase: &Phase) -> &'static str {
    match phase {
        Phase::Pending | Phase::Creating => "Created",
        Phase::Starting | Phase::Resuming => "Starting",
        Phase::Stopping { .. } | Phase::Rebooting => "Stopping",
        Phase::Migrating { .. } => "Migrating",
        Phase::Snapshotting { .. } => "Snapshots",
        Phase::Failed { .. } => "Error",
        Phase::Deleting => "Destroyed",
        Phase::Stopped | Phase::Running | Phase::Paused | Phase::Suspended | Phase::Updating { .. } => match phase.seen() {
            Settled::Stopped | Settled::Suspended => "Stopped",
            Settled::Running => "Running",
            Settled::Paused => "Paused",
        },
    }
}

/// VirtRigaud's phase of a `VirtualMachine`.
pub fn virtrigaud_phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Creating => "Provisioning",
        Phase::Updating { .. } => "Reconfiguring",
        Phase::Deleting => "Deleting",
        Phase::Failed { .. } => "Failed",
        Phase::Stopped
        | Phase::Starting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::Paused
        | Phase::Suspended
        | Phase::Resuming
        | Phase::Migrating { .. }
        | Phase::Snapshotting { .. }
        | Phase::Rebooting => match phase.seen() {
            Settled::Stopped => "Stopped",
            Settled::Running | Settled::Paused | Settled::Suspended => "Running",
        },
    }
}

/// VirtRigaud's power state, `On` or `Off`: anything else stalls its controller. Paused and suspended machines are on.
pub fn virtrigaud_power(phase: &Phase) -> &'static str {
    match phase.seen() {
        Settled::Stopped => "Off",
        Settled::Running | Settled::Paused | Settled::Suspended => "On",
    }
}

/// Conditions in Kubernetes' manner: `Ready` (settled as asked), `Running` (processors run), `Progressing` (work is under
/// way), `Failed`. `since` is when the phase began.
pub fn conditions(phase: &Phase, since: Timestamp) -> Vec<Condition> {
    let settled = phase.settled().is_some();
    let failed = matches!(phase, Phase::Failed { .. });
    let word = phase.flat().as_str();
    let condition = |kind: &str, holds: bool| Condition {
        kind: kind.to_owned(),
        status: Some(holds),
        reason: word.to_owned(),
        message: phase.reason().unwrap_or_default(),
        last_transition_time: since,
    };
    vec![
        condition("Ready", settled && !failed),
        condition("Running", phase.seen() == Settled::Running),
        condition("Progressing", !settled),
        condition("Failed", failed),
    ]
}
