//! Moving a guest to another node: what is decided before anything moves.
//!
//! [`plan`] is pure. From what is known of the guest, of its volumes and of the storages of both nodes it says which volume
//! goes which way ([`Plan`]), or every reason why the guest stays ([`Refusal`]); [`Plan::apply`] is the guest's configuration
//! afterwards. The rules and the words of refusals are Proxmox VE's.
//!
//! ```
//! use gpve_core::migration::{Guest, Refusal, Refusals, Wish, World, plan};
//! use gpve_core::types::{MemMib, VmSpec};
//!
//! let spec = VmSpec::of("1Gi".parse::<MemMib>()?);
//! let guest = Guest { vmid: "100".parse()?, is_running: true, lock: None, current: &spec, asked: None, snapshots: Vec::new() };
//! let wish = Wish::to("other".parse()?);
//! assert_eq!(plan(&guest, &World::default(), &wish), Err(Refusals(vec![Refusal::NotLive])));
//! assert!(plan(&guest, &World::default(), &Wish { live: true, ..wish })?.moves.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod outcome;
mod plan;
mod refusal;
mod storage;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;

pub use outcome::{Move, Plan, Way};
pub use plan::plan;
pub use refusal::{NoMove, Refusal, Refusals};
pub use storage::{StorageFacts, StorageMap};

use crate::types::{ByteSize, DiskFormat, NodeName, SnapName, StorageId, VmSpec, Vmid, VolumeId};

/// A guest that shall move.
#[derive(Debug, Clone)]
pub struct Guest<'g> {
    /// Its number.
    pub vmid: Vmid,
    /// It runs.
    pub is_running: bool,
    /// Work on it that is under way.
    pub lock: Option<&'g str>,
    /// What runs; of a stopped guest, what would be started.
    pub current: &'g VmSpec,
    /// What was asked and waits for the next start.
    pub asked: Option<&'g VmSpec>,
    /// Its snapshots.
    pub snapshots: Vec<SnapshotOf<'g>>,
}

/// A snapshot of a guest that shall move.
#[derive(Debug, Clone)]
pub struct SnapshotOf<'g> {
    /// Its name.
    pub name: SnapName,
    /// The guest then.
    pub spec: &'g VmSpec,
    /// The volume with its memory.
    pub memory: Option<VolumeId>,
}

/// What is known beside the guest.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Storages of the cluster.
    pub storages: BTreeMap<StorageId, StorageFacts>,
    /// The guest's volumes on this node; those on shared storages are not needed.
    pub volumes: BTreeMap<VolumeId, VolumeState>,
    /// Size of the UEFI variables that the guest's firmware has, where it has them on a volume: storages round up, and
    /// a copy has to be what the firmware expects.
    pub efi_variables: Option<ByteSize>,
}

/// A volume on the node that the guest leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeState {
    /// Virtual size.
    pub size: ByteSize,
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// The guest it belongs to.
    pub owner: Option<Vmid>,
    /// What has its bytes: two volumes with the same are one.
    pub place: String,
    /// The volume that it is a linked clone of.
    pub base: Option<String>,
    /// Linked clones depend on it.
    pub has_clones: bool,
    /// The target has a copy of it that is kept up to date.
    pub is_replicated: bool,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The node to go to.
    pub target: NodeName,
    /// Without a stop, if it runs.
    pub live: bool,
    /// Disks on storages of this node alone are copied while the guest runs.
    pub with_local_disks: bool,
    /// A stopped guest goes although it has devices of this node.
    pub force: bool,
    /// Which storage of the target stands for which of this node.
    pub storages: StorageMap,
}

impl Wish {
    /// To a node, as it is.
    pub fn to(target: NodeName) -> Self {
        Self { target, live: false, with_local_disks: false, force: false, storages: StorageMap::default() }
    }
}
