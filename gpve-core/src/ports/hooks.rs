//! The `Hooks` port: an administrator's script at steps of a guest's life.

use async_trait::async_trait;

use super::cx::OpCx;
use super::storage::VolumeAccess;
use crate::error::Result;
use crate::types::{Vmid, VolumeId};

/// When a script is run, as Proxmox VE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPhase {
    /// Before the guest's process is launched.
    PreStart,
    /// After its processors were set going.
    PostStart,
    /// Before it is stopped or asked to shut down.
    PreStop,
    /// After its process has ended, however it did.
    PostStop,
}

impl HookPhase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::PreStart, Self::PostStart, Self::PreStop, Self::PostStop];

    /// Proxmox VE's word, which the script gets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreStart => "pre-start",
            Self::PostStart => "post-start",
            Self::PreStop => "pre-stop",
            Self::PostStop => "post-stop",
        }
    }
}

/// One run of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// The script.
    pub script: VolumeId,
    /// How it is reached on this host.
    pub access: VolumeAccess,
    /// The guest: its first argument.
    pub vmid: Vmid,
    /// The phase: its second argument.
    pub phase: HookPhase,
}

/// Runs scripts on the node.
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Runs a script to its end; each line that it prints goes to the task's log as it comes. Not idempotent: after a
    /// crash a phase is run again. Dropped, or at its deadline, it leaves no process.
    ///
    /// # Errors
    /// [`FailedPrecondition`](crate::error::ErrorKind::FailedPrecondition) with its exit status and last line when it
    /// fails or must not be run; [`Timeout`](crate::error::ErrorKind::Timeout) when it does not end.
    async fn run(&self, cx: &OpCx, hook: &HookRun) -> Result<()>;
}
