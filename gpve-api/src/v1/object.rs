//! Virtual machines as objects.

use std::collections::BTreeMap;

use gpve_core::control::{CreateGuest, GuestObject, PowerState, VirtualMachineSpec};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::types::{GuestName, GuestPhase, Labels, Namespace, NodeName, VmSpec, Vmid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{API_VERSION, Rfc3339};

const KIND: &str = "VirtualMachine";

/// Metadata of an object as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name, unique in its namespace and kind.
    pub name: String,
    /// Namespace.
    pub namespace: Namespace,
    /// Never reused, unlike the name.
    pub uid: Uuid,
    /// Changes with every write; give it back to refuse a write on another state.
    pub resource_version: String,
    /// Grows with every change of the spec.
    pub generation: u64,
    /// When it was made.
    pub creation_timestamp: Rfc3339,
    /// For selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// For tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Labels,
    /// Fields by the manager that applied them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub managed_fields: BTreeMap<String, Vec<String>>,
}

/// A virtual machine as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmObject {
    /// `gpve.io/v1`
    pub api_version: String,
    /// `VirtualMachine`
    pub kind: String,
    /// Name, identity, labels.
    pub metadata: Metadata,
    /// What was asked.
    pub spec: VirtualMachineSpec,
    /// What is observed.
    pub status: VmStatusView,
}

/// What is observed of a virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmStatusView {
    /// Number.
    pub vmid: Vmid,
    /// The node that has it.
    pub node: NodeName,
    /// Where it is in its life.
    pub phase: GuestPhase,
    /// Why, where the phase alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Rfc3339>,
    /// What a task is doing to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Whether the guest agent's channel is open.
    pub agent_connected: bool,
    /// Fields of the spec that take effect at the next start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// Aspects: type, status, reason, message, lastTransitionTime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Json>,
    /// What it uses.
    pub usage: gpve_core::types::GuestUsage,
    /// Generation of the spec that was last carried out.
    pub observed_generation: u64,
}

impl From<&GuestObject> for VmObject {
    fn from(guest: &GuestObject) -> Self {
        let meta = &guest.object.metadata;
        let owned = guest.owners.iter().map(|(m, fields)| (m.to_string(), fields.iter().cloned().collect()));
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid,
                resource_version: guest.revision.to_string(),
                generation: meta.generation,
                creation_timestamp: meta.creation_timestamp.into(),
                labels: meta.labels.clone(),
                annotations: meta.annotations.clone(),
                managed_fields: owned.collect(),
            },
            spec: as_shown(guest.object.spec.clone()),
            status: VmStatusView::from(guest),
        }
    }
}

/// How the Proxmox VE dialect spelled settings is its own affair; passwords are not shown.
fn as_shown(mut spec: VirtualMachineSpec) -> VirtualMachineSpec {
    spec.vm.cloud_init.password = None;
    spec.vm.other.retain(|key, _| key.as_str() != crate::pve2::config::SPELLING);
    spec
}

impl From<&GuestObject> for VmStatusView {
    fn from(guest: &GuestObject) -> Self {
        let s = &guest.object.status;
        let difference = |running: &VmSpec| gpve_core::patch::SpecPatch::between(running, guest.spec()).unwrap_or_default();
        let pending = guest.running.as_deref().map(difference);
        let condition = |c: &gpve_core::types::Condition| {
            serde_json::json!({
                "type": c.kind,
                "status": c.status.map_or("Unknown", |v| if v { "True" } else { "False" }),
                "reason": c.reason,
                "message": c.message,
                "lastTransitionTime": Rfc3339(c.last_transition_time),
            })
        };
        Self {
            vmid: s.vmid,
            node: s.node.clone(),
            phase: s.phase,
            reason: s.reason.clone(),
            start_time: s.start_time.map(Rfc3339),
            lock: guest.lock.clone(),
            agent_connected: guest.agent_connected,
            pending: pending.iter().flat_map(|p| p.paths()).map(str::to_owned).collect(),
            conditions: s.conditions.iter().map(condition).collect(),
            usage: s.usage,
            observed_generation: s.observed_generation,
        }
    }
}

/// Metadata as a client gives it. What the server sets may be there too, so that an object that was read can be sent back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MetadataInput {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<GuestName>,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// For selection.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// For tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Labels,
    /// The write is refused if the object has another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Of an object that was read; the write is refused for an object of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uuid>,
    #[serde(skip_serializing)]
    generation: Option<u64>,
    #[serde(skip_serializing)]
    creation_timestamp: Option<Rfc3339>,
    #[serde(skip_serializing)]
    managed_fields: Option<Json>,
}

/// A virtual machine as a client gives it, whole. `status` is ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct VmDocument {
    /// Metadata.
    pub metadata: MetadataInput,
    /// Number that it shall have; absent: any.
    pub vmid: Option<Vmid>,
    /// Node that it shall be on; absent: the scheduler chooses.
    pub node: Option<NodeName>,
    /// Whether it shall run.
    pub power_state: Option<PowerState>,
    /// The machine.
    pub spec: VmSpec,
}

/// Some fields of a virtual machine, for server-side apply.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyDocument {
    /// Metadata.
    pub metadata: MetadataInput,
    /// The applied fields of the spec, as they were given.
    pub spec: Map<String, Json>,
}

impl VmDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// The first field that is wrong, with its path and what is allowed.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let ApplyDocument { metadata, mut spec } = ApplyDocument::parse(body)?;
        let mut placement = |field: &str| spec.remove(field).unwrap_or(Json::Null);
        let (vmid, node, power_state) = (placement("vmid"), placement("node"), placement("powerState"));
        Ok(Self {
            metadata,
            vmid: read("spec.vmid", vmid)?,
            node: read("spec.node", node)?,
            power_state: read("spec.powerState", power_state)?,
            spec: read("spec", Json::Object(spec))?,
        })
    }

    /// The guest that a create asks for, in the namespace of the path.
    ///
    /// # Errors
    /// When the document names another namespace.
    pub fn create(self, namespace: Namespace) -> Result<CreateGuest, Error> {
        self.metadata.check_place(&namespace, None)?;
        let start = self.power_state == Some(PowerState::Running);
        Ok(CreateGuest {
            vmid: self.vmid,
            node: self.node,
            namespace,
            object_name: self.metadata.name,
            labels: self.metadata.labels,
            annotations: self.metadata.annotations,
            start,
            power_state: self.power_state,
            ..CreateGuest::of(self.spec)
        })
    }
}

impl MetadataInput {
    /// Checks that a document sent to a path names no other object.
    ///
    /// # Errors
    /// Names the field that differs.
    pub fn check_place(&self, namespace: &Namespace, name: Option<&str>) -> Result<(), Error> {
        let refuse =
            |field: &str, path: &str| Err(Error::field("vm.document", field, format!("differs from the path, which says '{path}'")));
        if self.namespace.as_ref().is_some_and(|n| n != namespace) {
            return refuse("metadata.namespace", namespace.as_str());
        }
        match (self.name.as_ref(), name) {
            (Some(given), Some(path)) if given.as_str() != path => refuse("metadata.name", path),
            _ => Ok(()),
        }
    }

    /// Checks that a document is about the object as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it was read in another state, or is another object of the same name.
    pub fn check_state(&self, guest: &GuestObject) -> Result<(), Error> {
        let other = self.uid.is_some_and(|uid| uid != guest.object.metadata.uid);
        let stale = self.resource_version.as_ref().is_some_and(|v| *v != guest.revision.to_string());
        if other || stale {
            let message = "the object was changed in the meantime (its resourceVersion or uid is another one): read it again and retry";
            return Err(Error::new(ErrorKind::Conflict, "vm.document", message));
        }
        Ok(())
    }
}

impl ApplyDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// The first field that is wrong, with its path and what is allowed.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Raw {
            api_version: Option<String>,
            kind: Option<String>,
            #[serde(default)]
            metadata: Map<String, Json>,
            #[serde(default)]
            spec: Map<String, Json>,
            #[serde(default, rename = "status")]
            _status: Json,
        }
        let raw: Raw = serde_json::from_slice(body).map_err(|e| Error::field("vm.document", "body", e.to_string()))?;
        let expect = |field: &str, given: Option<String>, wanted: &str| match given {
            Some(v) if v != wanted => Err(Error::field("vm.document", field, format!("must be '{wanted}'"))),
            _ => Ok(()),
        };
        expect("apiVersion", raw.api_version, API_VERSION)?;
        expect("kind", raw.kind, KIND)?;
        Ok(Self { metadata: read("metadata", Json::Object(raw.metadata))?, spec: raw.spec })
    }
}

impl ApplyDocument {
    /// The manifest that the control plane applies: the document with the place that the path says.
    ///
    /// # Errors
    /// When the document names another object.
    pub fn manifest(mut self, namespace: &Namespace, name: &GuestName) -> Result<Json, Error> {
        self.metadata.check_place(namespace, Some(name.as_str()))?;
        self.metadata.namespace = Some(namespace.clone());
        self.metadata.name = Some(name.clone());
        let metadata = serde_json::to_value(&self.metadata).map_err(|e| Error::internal("vm.document", e.to_string()))?;
        Ok(serde_json::json!({ "apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec }))
    }
}

fn read<T: serde::de::DeserializeOwned>(field: &str, value: Json) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|e| Error::field("vm.document", field, e.to_string()))
}

/// A guest of any kind in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestSummary {
    /// `VirtualMachine`
    pub kind: String,
    /// Number.
    pub vmid: Vmid,
    /// Name of its object.
    pub name: String,
    /// Namespace.
    pub namespace: Namespace,
    /// Node.
    pub node: NodeName,
    /// Where it is in its life.
    pub phase: GuestPhase,
    /// Processors.
    pub cpus: u16,
    /// Memory.
    pub memory: gpve_core::types::MemMib,
    /// What it uses.
    pub usage: gpve_core::types::GuestUsage,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Rfc3339>,
}

impl From<&GuestObject> for GuestSummary {
    fn from(guest: &GuestObject) -> Self {
        let (meta, status) = (&guest.object.metadata, &guest.object.status);
        Self {
            kind: KIND.to_owned(),
            vmid: status.vmid,
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            node: status.node.clone(),
            phase: status.phase,
            cpus: guest.spec().cpu.total(),
            memory: guest.spec().memory.size,
            usage: status.usage,
            start_time: status.start_time.map(Rfc3339),
        }
    }
}
