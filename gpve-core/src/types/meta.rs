//! What every object of `gpve.io/v1` carries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id::Namespace;
use super::time::Timestamp;

/// Keys and values that users hang on objects.
pub type Labels = BTreeMap<String, String>;

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectMeta {
    /// Name, unique in its namespace and kind. A guest made without one is called `vm-VMID`.
    pub name: String,
    /// Namespace.
    #[serde(default)]
    pub namespace: Namespace,
    /// Never reused, unlike the name.
    pub uid: Uuid,
    /// For selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// For tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Labels,
    /// When it was made.
    pub creation_timestamp: Timestamp,
    /// Grows by one with every change of the spec.
    pub generation: u64,
}

impl ObjectMeta {
    /// Most labels, and most annotations, on one object.
    pub const MAX_LABELS: usize = 64;
}
