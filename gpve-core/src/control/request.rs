//! What can be asked of the control plane, besides reading.

use serde::Serialize;

use super::objects::PowerState;
use super::owners::FieldOwners;
use crate::patch::SpecPatch;
use crate::types::{DiskFormat, GuestName, Labels, Namespace, NodeName, SnapName, StorageId, VmSpec, Vmid};

/// A guest to be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreateGuest {
    /// Its number; absent: the lowest free one.
    pub vmid: Option<Vmid>,
    /// Its node; absent: the scheduler chooses.
    pub node: Option<NodeName>,
    /// Its namespace.
    pub namespace: Namespace,
    /// The object's name, refused if it is taken. Absent: made from `name` or the number.
    pub object_name: Option<GuestName>,
    /// The guest's own name. As in Proxmox VE several guests may have the same. Absent: `object_name`.
    pub name: Option<GuestName>,
    /// Labels of the object.
    pub labels: Labels,
    /// Annotations of the object.
    pub annotations: Labels,
    /// What it shall be.
    pub spec: VmSpec,
    /// Start it when it is made.
    pub start: bool,
    /// Declared power state, kept in the object.
    pub power_state: Option<PowerState>,
    /// Who owns which field from the start (server-side apply).
    pub owners: FieldOwners,
}

impl CreateGuest {
    /// A guest of `spec`, everything else chosen.
    pub fn of(spec: VmSpec) -> Self {
        Self {
            vmid: None,
            node: None,
            namespace: Namespace::default(),
            object_name: None,
            name: None,
            labels: Labels::new(),
            annotations: Labels::new(),
            spec,
            start: false,
            power_state: None,
            owners: FieldOwners::default(),
        }
    }
}

/// A clone to be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CloneGuest {
    /// Of which guest.
    pub source: Vmid,
    /// The clone's number; absent: the lowest free one.
    pub target: Option<Vmid>,
    /// The clone's name.
    pub name: Option<GuestName>,
    /// The clone's free text; absent: that of the source.
    pub description: Option<String>,
    /// Copy all blocks; absent: only if the source is no template.
    pub full: Option<bool>,
    /// State at this snapshot instead of now.
    pub snapshot: Option<SnapName>,
    /// Put full copies on this storage.
    pub storage: Option<StorageId>,
    /// Layout of full copies.
    pub format: Option<DiskFormat>,
}

impl CloneGuest {
    /// A clone of `source`, everything else chosen.
    pub fn of(source: Vmid) -> Self {
        Self { source, target: None, name: None, description: None, full: None, snapshot: None, storage: None, format: None }
    }
}

/// A guest to be removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DeleteGuest {
    /// Also remove it from jobs, replication and access lists.
    pub purge: bool,
    /// Also delete volumes that carry its number and that its spec does not name.
    pub destroy_unreferenced: bool,
    /// End it first if it runs. Otherwise a running guest is refused, as Proxmox VE does.
    pub stop_first: bool,
}

/// A change of a guest's configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UpdateGuest {
    /// Field by field.
    pub patch: SpecPatch,
    /// New name: absent is no change, `Some(None)` removes it.
    pub name: Option<Option<GuestName>>,
    /// Refuse unless the configuration has this digest.
    pub digest: Option<String>,
    /// Paths whose pending change is dropped.
    pub revert: Vec<String>,
    /// Write the cloud-init drive anew with what is asked, and show it to a running guest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refresh_cloud_init: bool,
    /// Return when it is done (and fail if it fails) instead of when it is accepted.
    pub wait: bool,
}
