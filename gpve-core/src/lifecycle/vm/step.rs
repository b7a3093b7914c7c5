//! Which phase follows from what happened.

use super::input::{Effect, Input, Observation};
use super::phase::{FailCause, Phase, ProcessState, Settled, SnapshotWork, StopKind};
use super::request::Request;
use crate::ports::{EventKind, Exit};

pub(super) fn step(phase: Phase, input: Input) -> (Phase, Vec<Effect>) {
    let before = phase.clone();
    let (after, mut effects) = match input {
        Input::Begin(request) => (begin(phase, request), Vec::new()),
        Input::Done(request) => done(phase, request),
        Input::Failed { request: _, cause, process } => (failed(phase, cause, process), Vec::new()),
        Input::Observed(seen) => observed(phase, seen),
    };
    if after != before {
        effects.insert(0, Effect::Publish(EventKind::GuestPhaseChanged));
    }
    (after, effects)
}

/// The phase in which an admitted request is carried out; work that leaves the machine as it is has none of its own.
fn begin(phase: Phase, request: Request) -> Phase {
    let Some(from) = phase.settled() else {
        let first = phase == Phase::Pending && request == Request::Create;
        return if first { Phase::Creating } else { phase };
    };
    if request == Request::Delete {
        return Phase::Deleting;
    }
    if phase.is_stuck() {
        // Only clearing ends it; whatever else is done to the machine is done inside it.
        return phase;
    }
    let down = |how| (from != Settled::Stopped).then_some(Phase::Stopping { from, how });
    let next = match request {
        Request::Start if from == Settled::Suspended => Some(Phase::Resuming),
        Request::Start => (from == Settled::Stopped).then_some(Phase::Starting),
        Request::Resume => (from == Settled::Suspended).then_some(Phase::Resuming),
        Request::Stop => down(StopKind::Kill),
        Request::Shutdown { .. } => down(StopKind::Shutdown),
        Request::Suspend => down(StopKind::Suspend),
        Request::Reboot => (from == Settled::Running).then_some(Phase::Rebooting),
        Request::Migrate => Some(Phase::Migrating { from }),
        Request::Snapshot => Some(Phase::Snapshotting { from, work: SnapshotWork::Take }),
        Request::DeleteSnapshot => Some(Phase::Snapshotting { from, work: SnapshotWork::Delete }),
        Request::Rollback => Some(Phase::Snapshotting { from, work: SnapshotWork::Rollback }),
        Request::Resize | Request::Update | Request::Template => Some(Phase::Updating { from }),
        Request::Create
        | Request::Delete
        | Request::Reset
        | Request::Pause
        | Request::Clone
        | Request::DescribeSnapshot
        | Request::DestroyVolume
        | Request::AllocateVolume
        | Request::ClearFailure => None,
    };
    next.unwrap_or(phase)
}

fn done(phase: Phase, request: Request) -> (Phase, Vec<Effect>) {
    if let Phase::Failed { cause, process } = phase {
        return (done_failed(cause, process, request), Vec::new());
    }
    let effects = if phase == Phase::Deleting && request == Request::Delete { vec![Effect::Forget] } else { Vec::new() };
    let stopping = matches!(phase, Phase::Stopping { .. });
    let next = match request {
        Request::Create => (phase == Phase::Creating).then_some(Phase::Stopped),
        Request::Start => matches!(phase, Phase::Starting | Phase::Resuming).then_some(Phase::Running),
        Request::Resume => matches!(phase, Phase::Resuming | Phase::Paused).then_some(Phase::Running),
        Request::Stop | Request::Shutdown { .. } => stopping.then_some(Phase::Stopped),
        Request::Suspend => stopping.then_some(Phase::Suspended),
        Request::Reboot => (phase == Phase::Rebooting).then_some(Phase::Running),
        Request::Pause => (phase == Phase::Running).then_some(Phase::Paused),
        Request::Rollback => matches!(phase, Phase::Snapshotting { .. }).then_some(Phase::Stopped),
        Request::Migrate | Request::Snapshot | Request::DeleteSnapshot | Request::Resize | Request::Update | Request::Template => {
            phase.during().map(Phase::from)
        }
        Request::Delete
        | Request::Reset
        | Request::Clone
        | Request::DescribeSnapshot
        | Request::DestroyVolume
        | Request::AllocateVolume
        | Request::ClearFailure => None,
    };
    (next.unwrap_or(phase), effects)
}

/// What a request does to a machine that was failed when it began, or that failed while it ran.
fn done_failed(cause: FailCause, process: ProcessState, request: Request) -> Phase {
    let stuck = matches!(cause, FailCause::Stuck { .. });
    match request {
        Request::ClearFailure => Settled::from(process).into(),
        Request::Stop | Request::Shutdown { .. } => Phase::Failed { cause, process: ProcessState::Gone },
        Request::Resume | Request::Reset if process == ProcessState::Gone => Phase::Failed { cause, process },
        Request::Resume | Request::Reset if stuck => Phase::Failed { cause, process: ProcessState::Running },
        Request::Resume | Request::Reset => Phase::Running,
        Request::Create
        | Request::Start
        | Request::Reboot
        | Request::Pause
        | Request::Migrate
        | Request::Suspend
        | Request::Delete
        | Request::Clone
        | Request::Template
        | Request::Snapshot
        | Request::DeleteSnapshot
        | Request::Rollback
        | Request::DescribeSnapshot
        | Request::Resize
        | Request::Update
        | Request::DestroyVolume
        | Request::AllocateVolume => Phase::Failed { cause, process },
    }
}

/// Where a failed request leaves the machine: as it was, if its process says so.
fn failed(phase: Phase, cause: FailCause, process: ProcessState) -> Phase {
    if phase.is_stuck() {
        return with_process(phase, process);
    }
    if matches!(cause, FailCause::Stuck { .. }) {
        return Phase::Failed { cause, process };
    }
    match process {
        ProcessState::Running => Phase::Running,
        ProcessState::Paused => Phase::Paused,
        ProcessState::Halted => Phase::Failed { cause, process },
        ProcessState::Gone => match phase.without_process() {
            Some(rest) => rest.into(),
            None => Phase::Failed { cause, process },
        },
    }
}

fn observed(phase: Phase, seen: Observation) -> (Phase, Vec<Effect>) {
    let had_process = matches!(phase.seen(), Settled::Running | Settled::Paused);
    match seen {
        Observation::GuestReset => (phase, vec![Effect::Publish(EventKind::GuestReset)]),
        Observation::Panicked if phase.owns_process() => (phase, vec![Effect::Publish(EventKind::GuestPanicked)]),
        Observation::Panicked => {
            // Told once, however often it is seen.
            let known = matches!(phase, Phase::Failed { cause: FailCause::Panicked, process: ProcessState::Halted });
            let after = fault(phase, FailCause::Panicked, ProcessState::Halted);
            (after, if known { Vec::new() } else { vec![Effect::Publish(EventKind::GuestPanicked)] })
        }
        Observation::IoError | Observation::Running | Observation::Paused | Observation::ProcessGone(_) if phase.owns_process() => {
            (phase, Vec::new())
        }
        Observation::IoError => (fault(phase, FailCause::IoError, ProcessState::Halted), Vec::new()),
        Observation::Running => (now(phase, ProcessState::Running), Vec::new()),
        Observation::Paused => (now(phase, ProcessState::Paused), Vec::new()),
        Observation::ProcessGone(exit) => {
            let after = match exit {
                Exit::GuestPoweroff | Exit::Killed => now(phase, ProcessState::Gone),
                Exit::Crashed(_) if had_process => fault(phase, FailCause::ProcessGone(exit), ProcessState::Gone),
                Exit::Crashed(_) => phase,
            };
            (after, if had_process { vec![Effect::CleanUp] } else { Vec::new() })
        }
    }
}

/// The phase of a machine whose process turned out to be like this, without fault.
fn now(phase: Phase, process: ProcessState) -> Phase {
    let state = Settled::from(process);
    match phase {
        Phase::Stopped | Phase::Running | Phase::Paused => state.into(),
        Phase::Suspended => {
            if state == Settled::Stopped {
                Phase::Suspended
            } else {
                state.into()
            }
        }
        Phase::Starting | Phase::Resuming => {
            if state == Settled::Stopped {
                Phase::Stopped
            } else {
                phase
            }
        }
        Phase::Updating { .. } => Phase::Updating { from: state },
        Phase::Snapshotting { work, .. } => Phase::Snapshotting { from: state, work },
        Phase::Failed { .. } if phase.is_stuck() || state == Settled::Stopped => with_process(phase, process),
        Phase::Failed { .. } => state.into(),
        Phase::Pending | Phase::Creating | Phase::Stopping { .. } | Phase::Migrating { .. } | Phase::Rebooting | Phase::Deleting => phase,
    }
}

/// The phase of a machine that failed by itself. The first cause stays as long as its process was there since: a
/// panicked guest's process ends, too.
fn fault(phase: Phase, cause: FailCause, process: ProcessState) -> Phase {
    match &phase {
        Phase::Failed { process: was, .. } if phase.is_stuck() || *was != ProcessState::Gone => with_process(phase, process),
        _ => Phase::Failed { cause, process },
    }
}

fn with_process(phase: Phase, process: ProcessState) -> Phase {
    if let Phase::Failed { cause, .. } = phase { Phase::Failed { cause, process } } else { phase }
}
