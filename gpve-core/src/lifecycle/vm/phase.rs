//! Where a virtual machine is in its life.

use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::ports::Exit;
use crate::types::GuestPhase;

/// A phase in which nothing is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Settled {
    /// Not running.
    Stopped,
    /// Running.
    Running,
    /// In memory, processors halted.
    Paused,
    /// State on disk, not in memory.
    Suspended,
}

/// How a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopKind {
    /// The guest was asked to.
    Shutdown,
    /// It is ended.
    Kill,
    /// Its state is being written to disk.
    Suspend,
}

/// What is done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SnapshotWork {
    /// It is taken.
    Take,
    /// It is deleted.
    Delete,
    /// The machine is set back to it.
    Rollback,
}

/// What is left of the machine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProcessState {
    /// None.
    Gone,
    /// Processors run.
    Running,
    /// Processors are halted on request.
    Paused,
    /// Processors are halted by a fault.
    Halted,
}

/// Why a machine failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailCause {
    /// A request failed and was undone; says why.
    Undone(String),
    /// A request failed and could not be undone: somebody has to look. Ended by [`Request::ClearFailure`] only.
    Stuck {
        /// Which request.
        request: Request,
        /// What happened and what to do next.
        message: String,
    },
    /// The process ended unasked.
    ProcessGone(Exit),
    /// The guest's kernel panicked.
    Panicked,
    /// A device failed and halted the guest.
    IoError,
}

impl std::fmt::Display for FailCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Undone(message) | Self::Stuck { message, .. } => f.write_str(message),
            Self::ProcessGone(Exit::Crashed(detail)) => write!(f, "the process ended unexpectedly: {detail}"),
            Self::ProcessGone(Exit::GuestPoweroff) => f.write_str("the guest powered off"),
            Self::ProcessGone(Exit::Killed) => f.write_str("the process was killed"),
            Self::Panicked => f.write_str("the guest's kernel panicked"),
            Self::IoError => f.write_str("an I/O error halted the guest: check its storage, then resume it"),
        }
    }
}

/// Where a virtual machine is, with the data that is valid only there. Stored as part of a guest's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, nothing done.
    Pending,
    /// Volumes and records are being made.
    Creating,
    /// Not running.
    Stopped,
    /// On its way up.
    Starting,
    /// Running.
    Running,
    /// On its way down.
    Stopping {
        /// What it was.
        from: Settled,
        /// How.
        how: StopKind,
    },
    /// In memory, processors halted.
    Paused,
    /// State on disk, not in memory.
    Suspended,
    /// Coming back from disk.
    Resuming,
    /// Moving to another node.
    Migrating {
        /// What it is meanwhile, and afterwards.
        from: Settled,
    },
    /// A snapshot is worked on.
    Snapshotting {
        /// What it is meanwhile.
        from: Settled,
        /// What is done.
        work: SnapshotWork,
    },
    /// Going down to come up again.
    Rebooting,
    /// Hardware is being changed.
    Updating {
        /// What it is meanwhile, and afterwards.
        from: Settled,
    },
    /// Something went wrong.
    Failed {
        /// What.
        cause: FailCause,
        /// What is left of the process.
        process: ProcessState,
    },
    /// Being removed.
    Deleting,
}

impl Phase {
    /// The phase without its data.
    pub fn flat(&self) -> GuestPhase {
        match self {
            Self::Pending => GuestPhase::Pending,
            Self::Creating => GuestPhase::Creating,
            Self::Stopped => GuestPhase::Stopped,
            Self::Starting => GuestPhase::Starting,
            Self::Running => GuestPhase::Running,
            Self::Stopping { .. } => GuestPhase::Stopping,
            Self::Paused => GuestPhase::Paused,
            Self::Suspended => GuestPhase::Suspended,
            Self::Resuming => GuestPhase::Resuming,
            Self::Migrating { .. } => GuestPhase::Migrating,
            Self::Snapshotting { .. } => GuestPhase::Snapshotting,
            Self::Rebooting => GuestPhase::Rebooting,
            Self::Updating { .. } => GuestPhase::Updating,
            Self::Failed { .. } => GuestPhase::Failed,
            Self::Deleting => GuestPhase::Deleting,
        }
    }

    /// What the machine is where nothing is under way; `None` in between. A failed machine is what its process is.
    pub fn settled(&self) -> Option<Settled> {
        match self {
            Self::Stopped => Some(Settled::Stopped),
            Self::Running => Some(Settled::Running),
            Self::Paused => Some(Settled::Paused),
            Self::Suspended => Some(Settled::Suspended),
            Self::Failed { process, .. } => Some((*process).into()),
            Self::Pending
            | Self::Creating
            | Self::Starting
            | Self::Stopping { .. }
            | Self::Resuming
            | Self::Migrating { .. }
            | Self::Snapshotting { .. }
            | Self::Rebooting
            | Self::Updating { .. }
            | Self::Deleting => None,
        }
    }

    /// What the machine is, seen from outside: in between, what it was before as long as that holds. Machines that are
    /// made or removed are stopped.
    pub fn seen(&self) -> Settled {
        match self {
            Self::Pending | Self::Creating | Self::Stopped | Self::Deleting => Settled::Stopped,
            Self::Starting | Self::Running | Self::Resuming | Self::Rebooting => Settled::Running,
            Self::Paused => Settled::Paused,
            Self::Suspended => Settled::Suspended,
            Self::Stopping { from, .. } | Self::Migrating { from } | Self::Snapshotting { from, .. } | Self::Updating { from } => *from,
            Self::Failed { process, .. } => (*process).into(),
        }
    }

    /// What the machine is while work that leaves its process alone goes on.
    pub(super) fn during(&self) -> Option<Settled> {
        match self {
            Self::Migrating { from } | Self::Snapshotting { from, .. } | Self::Updating { from } => Some(*from),
            Self::Pending
            | Self::Creating
            | Self::Stopped
            | Self::Starting
            | Self::Running
            | Self::Stopping { .. }
            | Self::Paused
            | Self::Suspended
            | Self::Resuming
            | Self::Rebooting
            | Self::Failed { .. }
            | Self::Deleting => None,
        }
    }

    /// What the machine is when its work was undone and it has no process; `None` where that is a failure.
    pub(super) fn without_process(&self) -> Option<Settled> {
        match self {
            Self::Stopped => Some(Settled::Stopped),
            Self::Suspended | Self::Resuming => Some(Settled::Suspended),
            Self::Stopping { from, .. } | Self::Migrating { from } | Self::Snapshotting { from, .. } | Self::Updating { from } => {
                match from {
                    Settled::Stopped | Settled::Suspended => Some(*from),
                    Settled::Running | Settled::Paused => None,
                }
            }
            Self::Pending
            | Self::Creating
            | Self::Starting
            | Self::Running
            | Self::Paused
            | Self::Rebooting
            | Self::Failed { .. }
            | Self::Deleting => None,
        }
    }

    /// True while the request under way starts and ends processes itself: what is seen of them is its business, and
    /// whoever drives the machine looks once more when it has ended.
    pub fn owns_process(&self) -> bool {
        match self {
            Self::Pending
            | Self::Creating
            | Self::Stopping { .. }
            | Self::Migrating { .. }
            | Self::Rebooting
            | Self::Deleting
            | Self::Snapshotting { work: SnapshotWork::Rollback, .. } => true,
            Self::Stopped
            | Self::Starting
            | Self::Running
            | Self::Paused
            | Self::Suspended
            | Self::Resuming
            | Self::Snapshotting { work: SnapshotWork::Take | SnapshotWork::Delete, .. }
            | Self::Updating { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// True for a failure that only [`Request::ClearFailure`] ends.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Failed { cause: FailCause::Stuck { .. }, .. })
    }

    /// Why, where the phase alone does not say it.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Failed { cause, .. } => Some(cause.to_string()),
            Self::Pending
            | Self::Creating
            | Self::Stopped
            | Self::Starting
            | Self::Running
            | Self::Stopping { .. }
            | Self::Paused
            | Self::Suspended
            | Self::Resuming
            | Self::Migrating { .. }
            | Self::Snapshotting { .. }
            | Self::Rebooting
            | Self::Updating { .. }
            | Self::Deleting => None,
        }
    }
}

impl From<Settled> for Phase {
    fn from(s: Settled) -> Phase {
        match s {
            Settled::Stopped => Phase::Stopped,
            Settled::Running => Phase::Running,
            Settled::Paused => Phase::Paused,
            Settled::Suspended => Phase::Suspended,
        }
    }
}

impl From<ProcessState> for Settled {
    /// A halted process is as good as a paused one.
    fn from(p: ProcessState) -> Settled {
        match p {
            ProcessState::Gone => Settled::Stopped,
            ProcessState::Running => Settled::Running,
            ProcessState::Paused | ProcessState::Halted => Settled::Paused,
        }
    }
}
