//! Changes that wait for the next start.

use serde::Serialize;
use serde_json::Value as Json;

use super::{Definition, VmConfig, cloud_init, typed};

/// One setting with what is in force and what waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PendingEntry {
    /// The setting.
    pub key: String,
    /// What is in force; absent for a setting that only waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// What will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Json>,
    /// 1 for a setting that will be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<u8>,
}

/// The settings that cloud-init reads, as [`pending`] shows settings: what is on the drive of a running guest, and what would
/// be on it if it was written now. Without a digest.
pub fn cloud_init_pending(asked: &Definition, running: Option<&Definition>) -> Vec<PendingEntry> {
    let mut entries = pending(asked, running);
    entries.retain(|entry| cloud_init::is_setting(&entry.key));
    entries
}

/// Settings that are asked for beside those in force; `running` is none for a guest that does not run. The last entry is
/// the digest.
pub fn pending(asked: &Definition, running: Option<&Definition>) -> Vec<PendingEntry> {
    let digest = asked.digest();
    let asked = VmConfig::of(asked);
    let in_force = running.map_or_else(|| asked.clone(), VmConfig::of);
    let mut entries: Vec<PendingEntry> = in_force
        .iter()
        .map(|(key, value)| {
            let wanted = asked.get(key);
            PendingEntry {
                key: key.to_owned(),
                value: Some(typed(key, value)),
                pending: wanted.filter(|w| *w != value).map(|w| typed(key, w)),
                delete: wanted.is_none().then_some(1),
            }
        })
        .collect();
    for (key, wanted) in asked.iter().filter(|(k, _)| in_force.get(k).is_none()) {
        entries.push(PendingEntry { key: key.to_owned(), value: None, pending: Some(typed(key, wanted)), delete: None });
    }
    entries.push(PendingEntry { key: "digest".to_owned(), value: Some(digest.into()), pending: None, delete: None });
    entries
}
