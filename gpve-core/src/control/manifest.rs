//! What a manifest of a virtual machine sets, and what applying it to a guest changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::checks;
use super::objects::{ApiVersion, GuestObject, ObjectKind, PLACEMENT_FIELDS, PowerState};
use super::owners::{FieldOwners, OwnerConflict};
use crate::error::{Error, ErrorKind, FieldError, Result};
use crate::patch::{SpecPatch, flat_fields};
use crate::types::{ByteSize, DiskSlot, DiskSource, DiskSpec, FieldManager, GuestName, Labels, Namespace, NodeName, VmSpec, Vmid};

const OP: &str = "object.apply";

/// A parsed manifest: only what its author wrote.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) name: GuestName,
    pub(super) namespace: Namespace,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) vmid: Option<Vmid>,
    pub(super) node: Option<NodeName>,
    pub(super) power_state: Option<PowerState>,
    /// The state that the author saw, if it says which.
    uid: Option<Uuid>,
    resource_version: Option<String>,
    spec: Map<String, Value>,
    /// The machine's fields by path.
    machine: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: ObjectKind,
    metadata: WireMeta,
    spec: Map<String, Value>,
    /// Present in what was read from the server; not the author's to set.
    #[serde(default, rename = "status")]
    _status: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireMeta {
    name: GuestName,
    #[serde(default)]
    namespace: Namespace,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    #[serde(default)]
    uid: Option<Uuid>,
    #[serde(default)]
    resource_version: Option<String>,
    // Present in what was read from the server; not the author's to set.
    #[serde(default, rename = "creationTimestamp")]
    _creation_timestamp: Option<Value>,
    #[serde(default, rename = "generation")]
    _generation: Option<Value>,
    #[serde(default, rename = "managedFields")]
    _managed_fields: Option<Value>,
}

impl Manifest {
    /// Parses a manifest. Values that are null count as not written.
    pub(super) fn parse(manifest: Value) -> Result<Self> {
        let wire: Wire = serde_json::from_value(manifest).map_err(|e| Error::field(OP, "manifest", e.to_string()))?;
        checks::labels("metadata.labels", &wire.metadata.labels)?;
        checks::labels("metadata.annotations", &wire.metadata.annotations)?;
        let mut spec = wire.spec;
        spec.retain(|_, v| !v.is_null());
        let [vmid, node, power_state] = PLACEMENT_FIELDS.map(|f| (f, spec.remove(f).unwrap_or(Value::Null)));
        Ok(Self {
            name: wire.metadata.name,
            namespace: wire.metadata.namespace,
            labels: wire.metadata.labels,
            annotations: wire.metadata.annotations,
            vmid: parsed(vmid)?,
            node: parsed(node)?,
            power_state: parsed(power_state)?,
            uid: wire.metadata.uid,
            resource_version: wire.metadata.resource_version,
            machine: flat_fields(spec.clone()).map_err(|e| Error::field(OP, "spec", e.message))?,
            spec,
        })
    }

    /// The machine that the manifest alone describes, for a guest to be made.
    pub(super) fn machine(&self) -> Result<VmSpec> {
        serde_json::from_value(Value::Object(self.spec.clone())).map_err(|e| Error::field(OP, "spec", e.to_string()))
    }

    /// The fields that it sets, by path (`spec.cpu.cores`, `metadata.labels.app`).
    pub(super) fn fields(&self) -> BTreeSet<String> {
        let machine = self.machine.keys().map(|p| format!("spec.{p}"));
        let labels = self.labels.keys().map(|k| format!("metadata.labels.{k}"));
        let annotations = self.annotations.keys().map(|k| format!("metadata.annotations.{k}"));
        let power = self.power_state.map(|_| "spec.powerState".to_owned());
        machine.chain(labels).chain(annotations).chain(power).collect()
    }
}

fn parsed<T: serde::de::DeserializeOwned>((field, value): (&str, Value)) -> Result<Option<T>> {
    serde_json::from_value(value).map_err(|e| Error::field(OP, format!("spec.{field}"), e.to_string()))
}

/// What applying a manifest to a guest changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// Changes of the machine, for its node.
    pub(super) patch: SpecPatch,
    /// Disks to grow.
    pub(super) resizes: Vec<(DiskSlot, ByteSize)>,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) power_state: Option<PowerState>,
    pub(super) owners: FieldOwners,
    /// Every field that changes.
    pub(super) changes: BTreeSet<String>,
    /// The machine afterwards.
    pub(super) spec: VmSpec,
}

/// Decides what applying `manifest` as `manager` changes of `guest`. [`ErrorKind::Conflict`] if another manager owns a
/// field that would change, unless `force`.
pub(super) fn decide(guest: &GuestObject, manifest: &Manifest, manager: &FieldManager, force: bool) -> Result<Decision> {
    let (uid, version) = (guest.object.metadata.uid, guest.revision.to_string());
    if manifest.uid.is_some_and(|u| u != uid) || manifest.resource_version.as_ref().is_some_and(|v| *v != version) {
        let message = "the object was changed in the meantime (its uid or resourceVersion is another one): read it again and retry";
        return Err(Error::new(ErrorKind::Conflict, OP, message).on(&guest.object.metadata.name));
    }
    fixed("spec.vmid", manifest.vmid.as_ref(), &guest.object.spec.vmid, "never changes")?;
    fixed("spec.node", manifest.node.as_ref(), guest.node(), "is not changed by apply: migrate the guest")?;
    let applied = manifest.fields();
    let dropped = guest.owners.dropped(manager, &applied);
    let values = manifest.machine.iter().map(|(path, value)| (path.clone(), Some(value.clone())));
    let gone = dropped.iter().filter_map(|f| Some((f.strip_prefix("spec.")?.to_owned(), None)));
    let wanted: SpecPatch = values.chain(gone.filter(|(path, _)| path != "powerState")).collect();
    let mut spec = wanted.apply(guest.spec()).map_err(|e| Error::field(OP, "spec", e.message))?;
    let resizes = settle(&mut spec, guest.spec())?;
    checks::spec(OP, &spec)?;
    let patch = SpecPatch::between(guest.spec(), &spec)?;

    let meta = &guest.object.metadata;
    let labels = merged("metadata.labels.", &meta.labels, &manifest.labels, &dropped);
    let annotations = merged("metadata.annotations.", &meta.annotations, &manifest.annotations, &dropped);
    let keeps = guest.object.spec.power_state.filter(|_| !dropped.contains("spec.powerState"));
    let power_state = manifest.power_state.or(keeps);
    let mut changes: BTreeSet<String> = patch.paths().map(|p| format!("spec.{p}")).collect();
    changes.extend(resizes.iter().map(|(slot, _)| format!("spec.disks.{slot}")));
    changes.extend(differing("metadata.labels.", &meta.labels, &labels));
    changes.extend(differing("metadata.annotations.", &meta.annotations, &annotations));
    changes.extend((power_state != guest.object.spec.power_state).then(|| "spec.powerState".to_owned()));

    let conflicts = guest.owners.conflicts(manager, changes.iter().map(String::as_str));
    if !conflicts.is_empty() && !force {
        return Err(conflict(guest, &conflicts));
    }
    let mut owners = guest.owners.clone();
    owners.set(manager, applied, &changes);
    if owners.iter().count() > FieldOwners::MAX_MANAGERS {
        let message = format!("the object has {} field managers already", FieldOwners::MAX_MANAGERS);
        return Err(Error::new(ErrorKind::ResourceExhausted, OP, message));
    }
    Ok(Decision { patch, resizes, labels, annotations, power_state, owners, changes, spec })
}

fn fixed<T: PartialEq + std::fmt::Display>(field: &str, asked: Option<&T>, is: &T, why: &str) -> Result<()> {
    match asked {
        Some(asked) if asked != is => Err(Error::field(OP, field, format!("is {is} and {why}"))),
        _ => Ok(()),
    }
}

fn conflict(guest: &GuestObject, conflicts: &[OwnerConflict]) -> Error {
    let named = |c: &OwnerConflict| format!("{} (of {})", c.field, c.manager);
    let list = conflicts.iter().map(named).collect::<Vec<_>>().join(", ");
    let message = format!("other managers own fields that would change: {list}; apply with force to take them over");
    let fields = conflicts.iter().map(|c| FieldError { field: c.field.clone(), reason: format!("is owned by {}", c.manager) });
    Error { fields: fields.collect(), ..Error::new(ErrorKind::Conflict, OP, message).on(&guest.object.metadata.name) }
}

/// Puts what exists into the wanted spec: a volume to be made that was made keeps its volume, a card without address
/// keeps its address. Gives the disks to grow.
fn settle(wanted: &mut VmSpec, is: &VmSpec) -> Result<Vec<(DiskSlot, ByteSize)>> {
    let mut resizes = Vec::new();
    for (slot, disk) in &mut wanted.disks {
        if let Some(there) = is.disks.get(slot)
            && let Some(size) = settle_disk(disk, there)?
        {
            resizes.push((*slot, size));
        }
    }
    for (index, nic) in &mut wanted.networks {
        if nic.mac_address.is_none() {
            nic.mac_address = is.networks.get(index).and_then(|n| n.mac_address);
        }
    }
    Ok(resizes)
}

fn settle_disk(wanted: &mut DiskSpec, is: &DiskSpec) -> Result<Option<ByteSize>> {
    let DiskSource::Volume { volume, size: Some(size) } = &is.source else { return Ok(None) };
    let (storage, asked) = match &wanted.source {
        DiskSource::New { storage, size, .. } => (storage, Some(*size)),
        DiskSource::Import { storage, .. } => (storage, None),
        DiskSource::CloudInit { storage, .. } if is.is_cloud_init() => (storage, None),
        DiskSource::Volume { volume: same, size } if same == volume => (volume.storage(), *size),
        DiskSource::Volume { .. } | DiskSource::Empty | DiskSource::Host(_) | DiskSource::CloudInit { .. } => return Ok(None),
    };
    if storage != volume.storage() {
        let reason = format!("is on storage {}: apply does not move disks", volume.storage());
        return Err(Error::field(OP, format!("spec.disks.{}", wanted.name), reason));
    }
    if asked.is_some_and(|asked| asked < *size) {
        let reason = format!("has {size} already: disks do not shrink");
        return Err(Error::field(OP, format!("spec.disks.{}", wanted.name), reason));
    }
    let grown = asked.filter(|asked| asked > size);
    wanted.source = is.source.clone();
    Ok(grown)
}

fn merged(prefix: &str, is: &Labels, applied: &Labels, dropped: &BTreeSet<String>) -> Labels {
    let mut out = is.clone();
    out.retain(|key, _| !dropped.contains(&format!("{prefix}{key}")));
    out.extend(applied.iter().map(|(k, v)| (k.clone(), v.clone())));
    out
}

fn differing(prefix: &str, before: &Labels, after: &Labels) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|k| before.get(*k) != after.get(*k)).map(|k| format!("{prefix}{k}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
