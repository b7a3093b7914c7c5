//! What can be asked of a virtual machine.

use serde::{Deserialize, Serialize};

use crate::ports::Operation;

/// A request as far as the machine's life is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// Makes it.
    Create,
    /// Starts it, or brings it back from disk.
    Start,
    /// Ends it at once; gives up a state on disk.
    Stop,
    /// Asks the guest to power off.
    Shutdown {
        /// End it by force if the guest does not.
        force: bool,
    },
    /// Shuts it down and starts it again.
    Reboot,
    /// Resets it.
    Reset,
    /// Halts its processors.
    Pause,
    /// Sets them going, or brings it back from disk.
    Resume,
    /// Moves it to another node.
    Migrate,
    /// Writes its state to disk and ends it.
    Suspend,
    /// Removes it.
    Delete,
    /// Makes another one from it.
    Clone,
    /// Makes it a template.
    Template,
    /// Takes a snapshot.
    Snapshot,
    /// Deletes a snapshot.
    DeleteSnapshot,
    /// Sets it back to a snapshot.
    Rollback,
    /// Changes a snapshot's description.
    DescribeSnapshot,
    /// Grows a disk.
    Resize,
    /// Changes its spec.
    Update,
    /// Deletes a detached volume of it.
    DestroyVolume,
    /// Makes a volume for it.
    AllocateVolume,
    /// Declares a failure dealt with.
    ClearFailure,
}

impl Request {
    /// Every request.
    pub const ALL: [Request; 23] = [
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Shutdown { force: false },
        Self::Shutdown { force: true },
        Self::Reboot,
        Self::Reset,
        Self::Pause,
        Self::Resume,
        Self::Migrate,
        Self::Suspend,
        Self::Delete,
        Self::Clone,
        Self::Template,
        Self::Snapshot,
        Self::DeleteSnapshot,
        Self::Rollback,
        Self::DescribeSnapshot,
        Self::Resize,
        Self::Update,
        Self::DestroyVolume,
        Self::AllocateVolume,
        Self::ClearFailure,
    ];

    /// PVE's word for the lock that such work holds on a machine, if it holds one.
    pub fn lock(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("create"),
            Self::Clone => Some("clone"),
            Self::Migrate => Some("migrate"),
            Self::Suspend => Some("suspending"),
            Self::Snapshot => Some("snapshot"),
            Self::DeleteSnapshot => Some("snapshot-delete"),
            Self::Rollback => Some("rollback"),
            Self::Start
            | Self::Stop
            | Self::Shutdown { .. }
            | Self::Reboot
            | Self::Reset
            | Self::Pause
            | Self::Resume
            | Self::Delete
            | Self::Template
            | Self::DescribeSnapshot
            | Self::Resize
            | Self::Update
            | Self::DestroyVolume
            | Self::AllocateVolume
            | Self::ClearFailure => None,
        }
    }
}

impl From<&Operation> for Request {
    fn from(operation: &Operation) -> Request {
        match operation {
            Operation::Create { .. } => Self::Create,
            Operation::Start => Self::Start,
            Operation::Stop => Self::Stop,
            Operation::Shutdown(options) => Self::Shutdown { force: options.force },
            Operation::Reboot(_) => Self::Reboot,
            Operation::Reset => Self::Reset,
            Operation::Pause => Self::Pause,
            Operation::Resume => Self::Resume,
            Operation::Delete(_) => Self::Delete,
            Operation::Clone(_) => Self::Clone,
            Operation::Template { .. } => Self::Template,
            Operation::Snapshot { .. } => Self::Snapshot,
            Operation::DeleteSnapshot { .. } => Self::DeleteSnapshot,
            Operation::Rollback { .. } => Self::Rollback,
            Operation::DescribeSnapshot { .. } => Self::DescribeSnapshot,
            Operation::Resize { .. } => Self::Resize,
            Operation::Update(_) => Self::Update,
            Operation::DestroyVolume { .. } => Self::DestroyVolume,
            Operation::AllocateVolume { .. } => Self::AllocateVolume,
        }
    }
}
