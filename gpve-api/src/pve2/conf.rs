//! The configuration file of a virtual machine on a Proxmox VE node: `/etc/pve/qemu-server/ID.conf`.
//!
//! A file has the settings in force, what is pending, what was last given to cloud-init, and the settings of each
//! snapshot, each in a section of `key: value` lines; comments are the description. [`ConfFile::parse`] reads it, strictly
//! or with a report of what it passed over; [`ConfFile`] prints in Proxmox VE's form. [`Restore`] rewrites the
//! configuration of a backup for new volumes. What a node writes of a snapshot while it takes, deletes or rolls back to it
//! are functions of [`ConfFile`] too. Nothing here touches a file.
//!
//! ```
//! use gpve_api::pve2::conf::{ConfFile, Mode};
//!
//! let text = "#a guest\nmemory: 512\nscsi0: local:100/vm-100-disk-0.raw,ssd=1,size=1G\nshape: round\n";
//! let read = ConfFile::parse(100.try_into().unwrap(), text, Mode::Lenient).unwrap();
//! assert_eq!(read.passed_over[0].to_string(), "vm 100 - unable to parse value of 'shape' - unknown setting 'shape'");
//! assert_eq!(read.file.to_string(), "#a guest\nmemory: 512\nscsi0: local:100/vm-100-disk-0.raw,size=1G,ssd=1\n");
//! ```

mod check;
mod drive;
mod import;
mod parse;
mod property;
mod restore;
mod snapshot;
mod write;

use std::collections::BTreeMap;

use gpve_core::error::Error;
use gpve_core::types::Vmid;

use super::config::{Definition, VmConfig};

pub use import::Imported;
pub use restore::{MappedDrive, Restore, Unique, device_map};
pub use snapshot::{Mended, NewSnapshot, SavedState, SnapshotError};

/// What happens to a line that Proxmox VE would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first one is an error.
    Strict,
    /// It is passed over and reported.
    Lenient,
}

/// A line that was passed over, or that a strict reading ends at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("vm {vmid} - {reason}")]
pub struct ConfError {
    /// The guest.
    pub vmid: Vmid,
    /// The line's number in the file, from 1.
    pub line: usize,
    /// The setting it sets, if it sets one.
    pub key: Option<String>,
    /// What is wrong, in Proxmox VE's words.
    pub reason: String,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The file without what was passed over.
    pub file: ConfFile,
    /// What was passed over, in the order of lines.
    pub passed_over: Vec<ConfError>,
}

/// The settings of one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The comments.
    pub description: Option<String>,
    /// Values by setting.
    pub values: BTreeMap<String, String>,
    /// Settings that Proxmox VE does not know, as they were written. They are kept and reported; [`ConfFile`] does not
    /// print them, as Proxmox VE does not.
    pub unknown: BTreeMap<String, String>,
}

/// One configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfFile {
    /// The settings in force.
    pub main: Section,
    /// What waits for the next start, with the names to remove in `delete`.
    pub pending: Section,
    /// Sections of tools by name: `cloudinit`, what was last given to the guest; `fleecing`, volumes of a backup.
    pub special: BTreeMap<String, Section>,
    /// Snapshots by name.
    pub snapshots: BTreeMap<String, Section>,
}

impl ConfFile {
    /// The longest file that is read, in bytes: far above what any guest has.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// Reads the file of guest `vmid`.
    ///
    /// # Errors
    /// In [`Mode::Strict`] the first line that Proxmox VE would not take. In either mode a file above
    /// [`Self::MAX_BYTES`].
    pub fn parse(vmid: Vmid, text: &str, mode: Mode) -> Result<Parsed, ConfError> {
        parse::file(vmid, text, mode)
    }

    /// The same file with what Proxmox VE does not know kept in its sections.
    pub fn with_unknown(&self) -> Self {
        let mut whole = self.clone();
        let sections = [&mut whole.main, &mut whole.pending].into_iter();
        for section in sections.chain(whole.special.values_mut()).chain(whole.snapshots.values_mut()) {
            for (key, value) in std::mem::take(&mut section.unknown) {
                section.values.entry(key).or_insert(value);
            }
        }
        whole
    }
}

impl Section {
    /// Settings that say something about a snapshot or about the node's work, and define no guest.
    const NOTES: [&str; 9] =
        ["parent", "snaptime", "snapstate", "vmstate", "runningmachine", "runningcpu", "running-nets-host-mtu", "digest", "delete"];

    /// The guest that these settings define.
    ///
    /// # Errors
    /// Settings that gpve cannot do, by field.
    pub fn define(&self) -> Result<Definition, Error> {
        self.config().define().map(as_of_a_file)
    }

    /// The guest that these settings define without those that gpve cannot do, and what they are: setting and reason.
    pub fn define_what_can_be(&self) -> (Definition, Vec<(String, String)>) {
        let mut config = self.config();
        let mut refused = Vec::new();
        loop {
            let error = match config.define() {
                Ok(definition) => return (as_of_a_file(definition), refused),
                Err(error) => error,
            };
            let mut fields: Vec<_> = error.fields.into_iter().map(|f| (f.field, f.reason)).collect();
            if fields.is_empty() {
                // A volume's name that no storage can have: the drive that holds it is found by trying.
                fields = config.iter().filter(|(k, v)| is_impossible(k, v)).map(|(k, _)| (k.to_owned(), error.message.clone())).collect();
            }
            let before = refused.len();
            refused.extend(fields.into_iter().filter(|(field, _)| config.remove(field).is_some()));
            if refused.len() == before {
                return (Definition { name: None, spec: crate::pve2::config::default_spec() }, refused);
            }
        }
    }

    fn config(&self) -> VmConfig {
        let mut config = VmConfig::default();
        for (key, value) in self.values.iter().filter(|(k, _)| !Self::NOTES.contains(&k.as_str())) {
            config.set(key, value);
        }
        if let Some(description) = &self.description {
            config.set("description", description);
        }
        config
    }
}

fn is_impossible(key: &str, value: &str) -> bool {
    let mut one = VmConfig::default();
    one.set(key, value);
    one.define().is_err()
}

/// A file without boot order boots by class, which a specification says outright.
fn as_of_a_file(mut definition: Definition) -> Definition {
    if definition.spec.boot.is_none() {
        definition.spec.legacy_boot.get_or_insert_default();
    }
    definition
}
