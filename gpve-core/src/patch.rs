//! Changes of a spec as data: field by field, so that two changes of different fields can queue behind each other.
//!
//! A path is a field of [`VmSpec`] as on the wire (`bios`), or for the fields that hold several things the thing
//! (`cpu.cores`, `disks.scsi0`, `networks.net1`, `other.hookscript`). The value at a path is replaced whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::types::{CloudInitPassword, VmSpec};

/// Fields whose parts are addressed one by one.
const DEEP: [&str; 12] =
    ["cpu", "memory", "disks", "networks", "serials", "parallels", "usb", "hostPci", "sharedFolders", "unused", "cloudInit", "other"];
/// Fields that are lists of named entries on the wire.
const NAMED: [&str; 2] = ["disks", "networks"];

/// A set of changes: path to new value, `None` removes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecPatch(BTreeMap<String, Option<Value>>);

impl SpecPatch {
    /// The changes that turn `old` into `new`.
    pub fn between(old: &VmSpec, new: &VmSpec) -> Result<Self> {
        let (old, new) = (flat(old)?, flat(new)?);
        let mut changes = BTreeMap::new();
        for (path, value) in &new {
            if old.get(path) != Some(value) {
                changes.insert(path.clone(), Some(value.clone()));
            }
        }
        for path in old.keys().filter(|p| !new.contains_key(*p)) {
            changes.insert(path.clone(), None);
        }
        Ok(Self(changes))
    }

    /// `spec` with the changes made. Refuses paths and values that no spec has.
    pub fn apply(&self, spec: &VmSpec) -> Result<VmSpec> {
        let mut fields = flat(spec)?;
        for (path, value) in &self.0 {
            match value {
                Some(v) => drop(fields.insert(path.clone(), v.clone())),
                None => drop(fields.remove(path)),
            }
        }
        unflat(fields)
    }

    /// Only the changes whose path is in `paths`.
    #[must_use]
    pub fn only(&self, paths: &[String]) -> Self {
        Self(self.0.iter().filter(|(p, _)| paths.contains(p)).map(|(p, v)| (p.clone(), v.clone())).collect())
    }

    /// The changed paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn broken(detail: impl std::fmt::Display) -> Error {
    Error::field("vm.patch", "spec", detail.to_string())
}

impl FromIterator<(String, Option<Value>)> for SpecPatch {
    fn from_iter<I: IntoIterator<Item = (String, Option<Value>)>>(changes: I) -> Self {
        Self(changes.into_iter().map(|(path, value)| (path.clone(), value.map(|v| without_password(&path, v)))).collect())
    }
}

/// A patch is stored before it is applied: a password in it is hashed as in a spec. What is no password fails when applied.
fn without_password(path: &str, value: Value) -> Value {
    match value {
        Value::String(text) if path == "cloudInit.password" => {
            CloudInitPassword::try_from(text).map_or(Value::Bool(false), |hash| Value::String(hash.into()))
        }
        Value::Object(mut parts) if path == "cloudInit" => {
            let kept = parts.remove("password").map(|v| without_password("cloudInit.password", v));
            parts.extend(kept.map(|v| ("password".to_owned(), v)));
            Value::Object(parts)
        }
        other => other,
    }
}

fn flat(spec: &VmSpec) -> Result<BTreeMap<String, Value>> {
    match serde_json::to_value(spec).map_err(broken)? {
        Value::Object(fields) => flat_fields(fields),
        _ => Err(broken("not an object")),
    }
}

/// The paths that a spec as on the wire sets, with their values; also of an incomplete one.
pub(crate) fn flat_fields(fields: Map<String, Value>) -> Result<BTreeMap<String, Value>> {
    let mut out = BTreeMap::new();
    for (field, value) in fields {
        match (DEEP.contains(&field.as_str()), value) {
            (true, Value::Object(parts)) => out.extend(parts.into_iter().map(|(k, v)| (format!("{field}.{k}"), v))),
            (true, Value::Array(items)) => {
                for item in items {
                    let name = item.get("name").and_then(Value::as_str).ok_or_else(|| broken("an entry without name"))?;
                    out.insert(format!("{field}.{name}"), item);
                }
            }
            (_, value) => drop(out.insert(field, value)),
        }
    }
    Ok(out)
}

fn unflat(fields: BTreeMap<String, Value>) -> Result<VmSpec> {
    let mut out = Map::new();
    for (path, value) in fields {
        match path.split_once('.') {
            None => drop(out.insert(path, value)),
            Some((field, part)) if NAMED.contains(&field) => {
                let list = out.entry(field).or_insert_with(|| Value::Array(Vec::new()));
                let items = list.as_array_mut().ok_or_else(|| broken(format!("{field} is not a list")))?;
                if value.get("name").and_then(Value::as_str) != Some(part) {
                    return Err(broken(format!("{path} holds an entry of another name")));
                }
                items.push(value);
            }
            Some((field, part)) => {
                let map = out.entry(field).or_insert_with(|| Value::Object(Map::new()));
                let map = map.as_object_mut().ok_or_else(|| broken(format!("{field} has no parts")))?;
                map.insert(part.to_owned(), value);
            }
        }
    }
    serde_json::from_value(Value::Object(out)).map_err(broken)
}
