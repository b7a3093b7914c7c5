//! The objects that the control plane keeps: a guest as users see it, and what its node reports besides.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digest::config_digest;
use super::owners::FieldOwners;
use crate::error::Error;
use crate::ports::{Guest, GuestType, OperationRequest, Revision, SnapshotReport};
use crate::types::{GuestName, GuestPhase, NodeName, ObjectMeta, VmSpec, VmStatus, Vmid, VolumeId};

/// The API that objects belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiVersion {
    /// The first.
    #[default]
    #[serde(rename = "gpve.io/v1")]
    V1,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A virtual machine.
    #[default]
    VirtualMachine,
}

/// A virtual machine as an object of `gpve.io/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualMachine {
    /// `gpve.io/v1`.
    pub api_version: ApiVersion,
    /// `VirtualMachine`.
    pub kind: ObjectKind,
    /// Name, identity, labels.
    pub metadata: ObjectMeta,
    /// What was asked.
    pub spec: VirtualMachineSpec,
    /// What is observed.
    pub status: VmStatus,
}

/// What was asked of a virtual machine: where it is, whether it shall run, and what it shall be. On the wire one flat
/// object; unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Map<String, Value>")]
pub struct VirtualMachineSpec {
    /// Its number; never changes.
    pub vmid: Vmid,
    /// The node that has it.
    pub node: NodeName,
    /// Declared by the last apply, and carried out by it. Calls such as `start` and `stop` do not change what was
    /// declared, and it does not undo them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// The machine.
    #[serde(flatten)]
    pub vm: VmSpec,
}

/// Fields of [`VirtualMachineSpec`] that are not of the machine.
pub(super) const PLACEMENT_FIELDS: [&str; 3] = ["vmid", "node", "powerState"];

impl TryFrom<Map<String, Value>> for VirtualMachineSpec {
    type Error = serde_json::Error;

    // By hand because serde's `flatten` would silently accept unknown fields.
    fn try_from(mut fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let [vmid, node, power_state] = PLACEMENT_FIELDS.map(|f| fields.remove(f).unwrap_or(Value::Null));
        Ok(Self {
            vmid: serde_json::from_value(vmid)?,
            node: serde_json::from_value(node)?,
            power_state: serde_json::from_value(power_state)?,
            vm: serde_json::from_value(Value::Object(fields))?,
        })
    }
}

/// Whether a guest shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    /// It runs.
    Running,
    /// It does not run.
    Stopped,
}

/// A guest as the control plane keeps it: the object that users see, and what dialects need of its node's report.
///
/// Once the node has shown the guest, the node's word is the truth for all but the metadata and who owns which field:
/// changes of the spec queue at the node behind running tasks, and the object mirrors the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestObject {
    /// The object that users see.
    pub object: VirtualMachine,
    /// The guest's own name. Unlike `metadata.name` it can change and need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<GuestName>,
    /// The spec of the running process; what differs from the asked spec is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Box<VmSpec>>,
    /// What a task is doing to it, in Proxmox VE's words of a lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The agent's channel is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_connected: bool,
    /// Snapshots, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotReport>,
    /// Who owns which field (server-side apply).
    #[serde(default, skip_serializing_if = "FieldOwners::is_empty")]
    pub owners: FieldOwners,
    /// The operation that makes the guest, until its node has shown it. After a crash it is submitted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub making: Option<Box<OperationRequest>>,
    /// The store's revision that wrote it.
    #[serde(skip)]
    pub revision: Revision,
}

/// Version of the stored form that this program writes. A form that older programs cannot read gets the next number,
/// and [`GuestObject::decode`] learns to lift the older one.
const STORED_VERSION: u64 = 1;

impl GuestObject {
    /// The digest of its configuration, for lost-update checks.
    pub fn digest(&self) -> String {
        config_digest(self.name.as_ref(), &self.object.spec.vm)
    }

    /// The asked machine.
    pub fn spec(&self) -> &VmSpec {
        &self.object.spec.vm
    }

    /// The node that has it.
    pub fn node(&self) -> &NodeName {
        &self.object.spec.node
    }

    /// True if a volume is a disk of the machine, as it is asked, as it runs or as a snapshot keeps it.
    pub fn has_disk(&self, volume: &VolumeId) -> bool {
        self.specs().any(|spec| spec.owned_volumes().any(|v| v == volume))
    }

    /// True if a volume is in a drive, disk or CD-ROM, of the machine as it is asked, as it runs or as a snapshot keeps it.
    pub fn uses(&self, volume: &VolumeId) -> bool {
        self.specs().any(|spec| spec.disks.values().any(|d| d.volume() == Some(volume)))
    }

    fn specs(&self) -> impl Iterator<Item = &VmSpec> {
        [self.spec()].into_iter().chain(self.running.as_deref()).chain(self.snapshots.iter().map(|s| &s.spec))
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        #[derive(Serialize)]
        struct Stored<'a> {
            v: u64,
            #[serde(flatten)]
            guest: &'a GuestObject,
        }
        serde_json::to_vec(&Stored { v: STORED_VERSION, guest: self })
            .map_err(|e| Error::internal("guest.encode", "a guest cannot be stored").because(&e).on(self.id()))
    }

    /// From the stored form, of this or an older version.
    pub(super) fn decode(stored: &[u8], revision: Revision) -> Result<Self, Error> {
        let damaged = |detail: String| Error::internal("guest.decode", format!("a stored guest cannot be read: {detail}"));
        let mut fields: Map<String, Value> = serde_json::from_slice(stored).map_err(|e| damaged(e.to_string()))?;
        match fields.remove("v").and_then(|v| v.as_u64()) {
            Some(STORED_VERSION) => {}
            Some(newer) => return Err(damaged(format!("its version {newer} is newer than this program"))),
            None => return Err(damaged("it has no version".to_owned())),
        }
        let guest: Self = serde_json::from_value(Value::Object(fields)).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { revision, ..guest })
    }
}

impl Guest for GuestObject {
    fn id(&self) -> Vmid {
        self.object.spec.vmid
    }

    fn guest_type(&self) -> GuestType {
        GuestType::Vm
    }

    fn name(&self) -> Option<&GuestName> {
        self.name.as_ref()
    }

    fn phase(&self) -> GuestPhase {
        self.object.status.phase
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
