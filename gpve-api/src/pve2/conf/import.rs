//! From a file to a guest of gpve.

use gpve_core::types::{PropertyKey, PropertyValue};

use super::{ConfFile, Mended, Section};
use crate::pve2::config::Definition;

/// The guest that a file becomes, and what does not come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The guest: the settings in force with what was pending, as at its next start.
    pub definition: Definition,
    /// Settings taken over, by name.
    pub taken: Vec<String>,
    /// Settings that gpve keeps and shows, and that have no effect: its own list, and what Proxmox VE does not know.
    pub without_effect: Vec<String>,
    /// Settings that gpve cannot do, with the reason; the guest is without them.
    pub refused: Vec<(String, String)>,
    /// Settings that were pending and are in force now.
    pub pending: Vec<String>,
    /// Snapshots, which stay in the images and are not taken over.
    pub snapshots: Vec<String>,
    /// Work on snapshots that the node had not ended, and that the file is without.
    pub mended: Vec<Mended>,
}

impl ConfFile {
    /// The guest that this file becomes.
    pub fn import(&self) -> Imported {
        let mut file = self.clone();
        let mended = file.mend_snapshots();
        let (section, pending) = file.at_next_start();
        let (mut definition, refused) = section.define_what_can_be();
        for (key, value) in &section.unknown {
            if let (Ok(key), Ok(value)) = (key.parse::<PropertyKey>(), PropertyValue::try_from(value.clone())) {
                definition.spec.other.insert(key, value);
            }
        }
        let is_taken = |key: &&String| !Section::NOTES.contains(&key.as_str()) && !refused.iter().any(|(k, _)| k == *key);
        Imported {
            taken: section.values.keys().filter(is_taken).cloned().collect(),
            without_effect: definition.spec.without_effect(),
            snapshots: file.snapshots.keys().cloned().collect(),
            mended,
            definition,
            refused,
            pending,
        }
    }

    /// The settings in force with those that wait, and the names of the latter.
    fn at_next_start(&self) -> (Section, Vec<String>) {
        let mut section = self.main.clone();
        let waiting = &self.pending.values;
        let removed = waiting.get("delete").map(String::as_str).unwrap_or_default();
        // `!` before a name means that it is removed at any cost.
        let removed: Vec<&str> = crate::route::split_list(removed).map(|name| name.trim_start_matches('!')).collect();
        for name in &removed {
            section.values.remove(*name);
        }
        let set: Vec<String> = waiting.keys().filter(|k| *k != "delete").cloned().collect();
        for key in &set {
            section.values.insert(key.clone(), waiting[key].clone());
        }
        section.unknown.extend(self.pending.unknown.clone());
        if self.pending.description.is_some() {
            section.description.clone_from(&self.pending.description);
        }
        (section, set.into_iter().chain(removed.into_iter().map(str::to_owned)).collect())
    }
}
