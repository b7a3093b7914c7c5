//! What happens to a virtual machine, and what has to be done about it.

use super::phase::{FailCause, ProcessState};
use super::request::Request;
use crate::ports::{EventKind, Exit};

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An admitted request begins.
    Begin(Request),
    /// It has ended well.
    Done(Request),
    /// It has failed.
    Failed {
        /// Which.
        request: Request,
        /// How it ended.
        cause: FailCause,
        /// What the process is now.
        process: ProcessState,
    },
    /// Something was seen that nobody asked for.
    Observed(Observation),
}

/// What is seen of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Processors run.
    Running,
    /// Processors are halted.
    Paused,
    /// The process is gone.
    ProcessGone(Exit),
    /// The guest reset itself.
    GuestReset,
    /// The guest's kernel panicked.
    Panicked,
    /// A device failed and halted the guest.
    IoError,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell whoever listens.
    Publish(EventKind),
    /// Remove what the dead process left: ports, attachments, runtime directory.
    CleanUp,
    /// Remove the record: the machine exists no more.
    Forget,
}
