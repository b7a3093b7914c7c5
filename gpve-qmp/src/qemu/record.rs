//! What the driver writes into a run record, in its own words.

use std::collections::BTreeMap;

use gpve_core::ports::{LimitSpec, ProcessId};
use gpve_core::types::{Aio, DiskSlot, ResolvedVm};
use serde::{Deserialize, Serialize};

use super::argv::compose::Facts;
use super::argv::switches::Accelerator;

/// Enough to control a guest launched by another process, perhaps an older gpve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Detail {
    /// The machine as it was launched.
    pub(super) vm: ResolvedVm,
    /// How its processors are driven.
    pub(super) accelerator: Accelerator,
    /// I/O mode of disks that ask for none.
    pub(super) default_aio: Aio,
    /// The host that it was launched on, which decides what a card that is plugged later looks like.
    #[serde(default)]
    pub(super) facts: Facts,
    /// The limits that its process got.
    pub(super) limits: LimitSpec,
    /// Layout of the bytes of each disk at launch.
    pub(super) formats: BTreeMap<DiskSlot, String>,
    /// Interfaces of its cards on the host.
    pub(super) taps: Vec<String>,
    /// The emulator of its TPM.
    #[serde(default)]
    pub(super) tpm: Option<ProcessId>,
}

impl Detail {
    /// For a guest whose record is lost.
    pub(super) fn of_unknown(vm: ResolvedVm) -> Self {
        Self {
            vm,
            accelerator: Accelerator::Tcg,
            default_aio: Aio::Threads,
            facts: Facts::default(),
            limits: LimitSpec::default(),
            formats: BTreeMap::new(),
            taps: Vec::new(),
            tpm: None,
        }
    }
}
