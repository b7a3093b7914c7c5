//! Which requests may begin in which phase.

use super::phase::{FailCause, Phase, ProcessState};
use super::request::Request;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::machine::Admission::{self, AlreadySo, Deny, Proceed};
use crate::types::{GuestPhase, Vmid};

/// What besides the phase decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The machine's number, for texts.
    pub vmid: Vmid,
    /// It is a template.
    pub template: bool,
    /// It is protected from deletion.
    pub protected: bool,
}

/// Why a request may not begin. The texts are those that Proxmox clients look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Made twice.
    #[error("VM {0} already exists")]
    AlreadyExists(Vmid),
    /// Started twice.
    #[error("VM {0} already running")]
    AlreadyRunning(Vmid),
    /// Needs a process.
    #[error("VM {0} not running")]
    NotRunning(Vmid),
    /// Deleted while it runs.
    #[error("VM {0} is running - destroy failed")]
    DeleteRunning(Vmid),
    /// Made a template while it runs.
    #[error("VM {0} is running - stop it before making it a template")]
    TemplateRunning(Vmid),
    /// Its processors are halted, so that its guest cannot answer.
    #[error("VM {0} is paused - resume it first, or use force")]
    Paused(Vmid),
    /// Its state is on disk and must not be parted from its disks.
    #[error("VM {0} is locked (suspended)")]
    Suspended(Vmid),
    /// Other work is under way.
    #[error("VM {vmid} is busy ({phase})")]
    Busy {
        /// The machine.
        vmid: Vmid,
        /// What it is in.
        phase: GuestPhase,
    },
    /// Not for templates.
    #[error("VM {0} is a template - clone it instead")]
    Template(Vmid),
    /// Protected.
    #[error("can't remove VM {0} - protection mode enabled")]
    Protected(Vmid),
    /// It failed with its process alive.
    #[error("VM {vmid} has failed: {cause}")]
    Failed {
        /// The machine.
        vmid: Vmid,
        /// How.
        cause: FailCause,
    },
}

impl Denial {
    /// The machine.
    pub fn vmid(&self) -> Vmid {
        match self {
            Self::AlreadyExists(vmid)
            | Self::AlreadyRunning(vmid)
            | Self::NotRunning(vmid)
            | Self::DeleteRunning(vmid)
            | Self::TemplateRunning(vmid)
            | Self::Paused(vmid)
            | Self::Suspended(vmid)
            | Self::Busy { vmid, .. }
            | Self::Template(vmid)
            | Self::Protected(vmid)
            | Self::Failed { vmid, .. } => *vmid,
        }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Error {
        let kind = match &denial {
            Denial::AlreadyExists(_) => ErrorKind::AlreadyExists,
            Denial::Busy { .. } => ErrorKind::Conflict,
            Denial::AlreadyRunning(_)
            | Denial::NotRunning(_)
            | Denial::DeleteRunning(_)
            | Denial::TemplateRunning(_)
            | Denial::Paused(_)
            | Denial::Suspended(_)
            | Denial::Template(_)
            | Denial::Protected(_)
            | Denial::Failed { .. } => ErrorKind::FailedPrecondition,
        };
        Error::new(kind, "guest.admit", denial.to_string()).on(format!("vm {}", denial.vmid()))
    }
}

pub(super) fn admit(phase: &Phase, context: &Context, request: Request) -> Admission<Denial> {
    let by_phase = match phase {
        Phase::Pending => pending(context, request),
        Phase::Stopped => stopped(context, request),
        Phase::Running => running(context, request),
        Phase::Paused => paused(context, request),
        Phase::Suspended => suspended(context, request),
        Phase::Failed { cause, process } => failed(context, request, cause, *process),
        Phase::Creating
        | Phase::Starting
        | Phase::Stopping { .. }
        | Phase::Resuming
        | Phase::Migrating { .. }
        | Phase::Snapshotting { .. }
        | Phase::Rebooting
        | Phase::Updating { .. }
        | Phase::Deleting => busy(phase, context, request),
    };
    match (by_phase, forbidden(context, request)) {
        (Proceed, Some(denial)) => Deny(denial),
        (decided, _) => decided,
    }
}

/// What templates and protected machines never do.
fn forbidden(context: &Context, request: Request) -> Option<Denial> {
    match request {
        Request::Start
        | Request::Resume
        | Request::Template
        | Request::Snapshot
        | Request::Rollback
        | Request::Suspend
        | Request::Resize => context.template.then_some(Denial::Template(context.vmid)),
        Request::Delete | Request::DestroyVolume => context.protected.then_some(Denial::Protected(context.vmid)),
        Request::Create
        | Request::Stop
        | Request::Shutdown { .. }
        | Request::Reboot
        | Request::Reset
        | Request::Pause
        | Request::Migrate
        | Request::Clone
        | Request::DeleteSnapshot
        | Request::DescribeSnapshot
        | Request::Update
        | Request::AllocateVolume
        | Request::ClearFailure => None,
    }
}

fn pending(context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Proceed,
        other => busy(&Phase::Pending, context, other),
    }
}

fn busy(phase: &Phase, context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Deny(Denial::AlreadyExists(context.vmid)),
        Request::Start
        | Request::Stop
        | Request::Shutdown { .. }
        | Request::Reboot
        | Request::Reset
        | Request::Pause
        | Request::Resume
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
        | Request::AllocateVolume
        | Request::ClearFailure => Deny(Denial::Busy { vmid: context.vmid, phase: phase.flat() }),
    }
}

fn stopped(context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Deny(Denial::AlreadyExists(context.vmid)),
        Request::Stop | Request::Shutdown { .. } | Request::ClearFailure => AlreadySo,
        Request::Reboot | Request::Reset | Request::Pause | Request::Resume | Request::Suspend => Deny(Denial::NotRunning(context.vmid)),
        Request::Start
        | Request::Migrate
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
        | Request::AllocateVolume => Proceed,
    }
}

fn running(context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Deny(Denial::AlreadyExists(context.vmid)),
        Request::Start => Deny(Denial::AlreadyRunning(context.vmid)),
        Request::Delete => Deny(Denial::DeleteRunning(context.vmid)),
        Request::Template => Deny(Denial::TemplateRunning(context.vmid)),
        Request::Resume | Request::ClearFailure => AlreadySo,
        Request::Stop
        | Request::Shutdown { .. }
        | Request::Reboot
        | Request::Reset
        | Request::Pause
        | Request::Migrate
        | Request::Suspend
        | Request::Clone
        | Request::Snapshot
        | Request::DeleteSnapshot
        | Request::Rollback
        | Request::DescribeSnapshot
        | Request::Resize
        | Request::Update
        | Request::DestroyVolume
        | Request::AllocateVolume => Proceed,
    }
}

fn paused(context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Deny(Denial::AlreadyExists(context.vmid)),
        Request::Start => Deny(Denial::AlreadyRunning(context.vmid)),
        Request::Delete => Deny(Denial::DeleteRunning(context.vmid)),
        Request::Template => Deny(Denial::TemplateRunning(context.vmid)),
        Request::Shutdown { force: false } | Request::Reboot => Deny(Denial::Paused(context.vmid)),
        Request::Pause | Request::ClearFailure => AlreadySo,
        Request::Resume
        | Request::Stop
        | Request::Shutdown { force: true }
        | Request::Reset
        | Request::Migrate
        | Request::Suspend
        | Request::Clone
        | Request::Snapshot
        | Request::DeleteSnapshot
        | Request::Rollback
        | Request::DescribeSnapshot
        | Request::Resize
        | Request::Update
        | Request::DestroyVolume
        | Request::AllocateVolume => Proceed,
    }
}

fn suspended(context: &Context, request: Request) -> Admission<Denial> {
    match request {
        Request::Create => Deny(Denial::AlreadyExists(context.vmid)),
        Request::Suspend | Request::ClearFailure => AlreadySo,
        Request::Shutdown { .. } | Request::Reboot | Request::Reset | Request::Pause => Deny(Denial::NotRunning(context.vmid)),
        Request::Migrate
        | Request::Clone
        | Request::Template
        | Request::Snapshot
        | Request::DeleteSnapshot
        | Request::Rollback
        | Request::Resize
        | Request::Update
        | Request::DestroyVolume => Deny(Denial::Suspended(context.vmid)),
        Request::Start | Request::Stop | Request::Resume | Request::Delete | Request::DescribeSnapshot | Request::AllocateVolume => Proceed,
    }
}

/// A failure without process is answered by anything that a stopped machine may do; one that is stuck only by looking.
fn failed(context: &Context, request: Request, cause: &FailCause, process: ProcessState) -> Admission<Denial> {
    let stuck = matches!(cause, FailCause::Stuck { .. });
    match (process, request) {
        (_, Request::ClearFailure) => Proceed,
        (ProcessState::Gone, Request::Delete) => Proceed,
        (ProcessState::Gone, other) if !stuck => stopped(context, other),
        (ProcessState::Gone, Request::Stop | Request::Shutdown { .. }) => AlreadySo,
        (ProcessState::Gone, other) => failed_refuses(context, other, cause),
        (ProcessState::Running | ProcessState::Paused | ProcessState::Halted, other) => failed_alive(context, other, cause),
    }
}

fn failed_alive(context: &Context, request: Request, cause: &FailCause) -> Admission<Denial> {
    match request {
        Request::Stop | Request::Shutdown { .. } | Request::Reset | Request::Resume | Request::ClearFailure => Proceed,
        Request::Start => Deny(Denial::AlreadyRunning(context.vmid)),
        Request::Delete => Deny(Denial::DeleteRunning(context.vmid)),
        Request::Create
        | Request::Reboot
        | Request::Pause
        | Request::Migrate
        | Request::Suspend
        | Request::Clone
        | Request::Template
        | Request::Snapshot
        | Request::DeleteSnapshot
        | Request::Rollback
        | Request::DescribeSnapshot
        | Request::Resize
        | Request::Update
        | Request::DestroyVolume
        | Request::AllocateVolume => failed_refuses(context, request, cause),
    }
}

fn failed_refuses(context: &Context, request: Request, cause: &FailCause) -> Admission<Denial> {
    if request == Request::Create {
        return Deny(Denial::AlreadyExists(context.vmid));
    }
    Deny(Denial::Failed { vmid: context.vmid, cause: cause.clone() })
}
