//! Snapshots in a configuration file: the states that a node writes while it works on one.
//!
//! Taking one writes its section with `snapstate: prepare` under the lock `snapshot`, and completes both when the disks are
//! done; deleting one writes `snapstate: delete` under the lock `snapshot-delete`, takes out of the section what is gone, and
//! ends by removing it; a rollback holds the lock `rollback` until the disks are back. A file that was copied from a node shows
//! how far that came: [`ConfFile::mend_snapshots`] brings it to an end.
//!
//! Each function is one write of the file: it changes nothing where it fails.

mod mend;
mod rollback;
#[cfg(test)]
mod tests;

use super::{ConfFile, Section, drive};

pub use mend::Mended;

/// Names of `unusedN` that a file can have.
const UNUSED_MAX: usize = 256;

/// Why a snapshot cannot be worked on; in Proxmox VE's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The name is another snapshot's.
    #[error("snapshot name '{0}' already used")]
    Taken(String),
    /// There is no such snapshot.
    #[error("snapshot '{0}' does not exist")]
    Missing(String),
    /// A template has no state to keep.
    #[error("you can't take a snapshot if it's a template")]
    TakeOfTemplate,
    /// A template's snapshots are what clones stand on.
    #[error("you can't delete a snapshot if vm is a template")]
    DeleteOfTemplate,
    /// A template does not change.
    #[error("you can't rollback if vm is a template")]
    RollbackOfTemplate,
    /// Other work is under way; the lock.
    #[error("VM is locked ({0})")]
    Locked(String),
    /// The lock that the step before left is gone.
    #[error("missing snapshot lock")]
    NoLock,
    /// The step before left another lock.
    #[error("got wrong lock")]
    WrongLock,
    /// The snapshot is not being taken.
    #[error("wrong snapshot state")]
    WrongState,
    /// The snapshot's disks are not all there; its state.
    #[error("unable to rollback to incomplete snapshot (snapstate = {0})")]
    Incomplete(String),
    /// Every `unusedN` holds a volume.
    #[error("Too many unused volumes - please delete them first.")]
    TooManyUnused,
}

/// What is written of a snapshot that is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSnapshot {
    /// When, in seconds since 1970.
    pub time_secs: u64,
    /// Free text.
    pub description: Option<String>,
    /// The guest's memory, where it is kept.
    pub state: Option<SavedState>,
}

/// The memory of a running guest, and what it ran as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedState {
    /// The volume that holds it.
    pub volume: String,
    /// The machine's type and version.
    pub machine: Option<String>,
    /// The processor's model and flags.
    pub cpu: Option<String>,
}

/// Settings of a section that are no part of a snapshot of it.
fn is_left_out(key: &str) -> bool {
    matches!(key, "snapstate" | "snaptime" | "vmstate" | "lock" | "digest") || is_unused(key)
}

fn is_unused(key: &str) -> bool {
    key.strip_prefix("unused").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

impl ConfFile {
    /// Whether a snapshot can be begun.
    ///
    /// # Errors
    /// [`SnapshotError::TakeOfTemplate`], [`SnapshotError::Locked`], [`SnapshotError::Taken`].
    pub fn check_new_snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        if self.is_template() {
            return Err(SnapshotError::TakeOfTemplate);
        }
        self.check_lock()?;
        if self.snapshots.contains_key(name) { Err(SnapshotError::Taken(name.to_owned())) } else { Ok(()) }
    }

    /// Begins a snapshot of the settings in force: its section, prepared, under a lock.
    ///
    /// # Errors
    /// As [`Self::check_new_snapshot`].
    pub fn prepare_snapshot(&mut self, name: &str, new: &NewSnapshot) -> Result<(), SnapshotError> {
        self.check_new_snapshot(name)?;
        let kept = self.main.values.iter().filter(|(key, _)| !is_left_out(key));
        let mut section = Section {
            description: new.description.clone().filter(|text| !text.is_empty()),
            values: kept.map(|(key, value)| (key.clone(), value.clone())).collect(),
            unknown: self.main.unknown.clone(),
        };
        section.values.insert("snapstate".to_owned(), "prepare".to_owned());
        section.values.insert("snaptime".to_owned(), new.time_secs.to_string());
        if let Some(state) = &new.state {
            section.values.insert("vmstate".to_owned(), state.volume.clone());
            let notes = [("runningmachine", &state.machine), ("runningcpu", &state.cpu)];
            section.values.extend(notes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
        }
        self.snapshots.insert(name.to_owned(), section);
        self.main.values.insert("lock".to_owned(), "snapshot".to_owned());
        Ok(())
    }

    /// Completes a snapshot whose disks are done: the present state descends from it.
    ///
    /// # Errors
    /// [`SnapshotError::NoLock`], [`SnapshotError::Missing`], [`SnapshotError::WrongState`].
    pub fn commit_snapshot(&mut self, name: &str) -> Result<(), SnapshotError> {
        if self.lock() != Some("snapshot") {
            return Err(SnapshotError::NoLock);
        }
        let section = self.snapshot_mut(name)?;
        if section.values.get("snapstate").map(String::as_str) != Some("prepare") {
            return Err(SnapshotError::WrongState);
        }
        section.values.remove("snapstate");
        self.main.values.remove("lock");
        self.main.values.insert("parent".to_owned(), name.to_owned());
        Ok(())
    }

    /// Begins the deletion of a snapshot. `is_cleanup`: it undoes one that is being taken, under whose lock it goes on.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`], [`SnapshotError::DeleteOfTemplate`], [`SnapshotError::Locked`].
    pub fn begin_snapshot_deletion(&mut self, name: &str, is_cleanup: bool) -> Result<(), SnapshotError> {
        self.snapshot(name)?;
        if self.is_template() {
            return Err(SnapshotError::DeleteOfTemplate);
        }
        if !is_cleanup {
            self.check_lock()?;
            self.main.values.insert("lock".to_owned(), "snapshot-delete".to_owned());
        }
        self.snapshot_mut(name)?.values.insert("snapstate".to_owned(), "delete".to_owned());
        Ok(())
    }

    /// Writes down that a part of a snapshot is deleted: `vmstate`, or that of a drive, whose volume stays the guest's.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`], [`SnapshotError::TooManyUnused`].
    pub fn drop_from_snapshot(&mut self, name: &str, key: &str) -> Result<(), SnapshotError> {
        let section = self.snapshot_mut(name)?;
        let Some(value) = section.values.get(key).cloned() else { return Ok(()) };
        if key == "vmstate" {
            section.values.remove(key);
        } else if let Some(volume) = own_volume(key, &value) {
            add_unused(section, &volume)?;
            section.values.remove(key);
        }
        Ok(())
    }

    /// Ends a deletion: the section is gone, what descended from it descends from its parent, and the volumes that it
    /// named and that no drive holds are unused.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`], [`SnapshotError::TooManyUnused`].
    pub fn end_snapshot_deletion(&mut self, name: &str, volumes: &[String]) -> Result<(), SnapshotError> {
        let heir = self.snapshot(name)?.values.get("parent").cloned();
        let mut main = self.main.clone();
        volumes.iter().filter(|volume| !holds(&self.main, volume)).try_for_each(|volume| add_unused(&mut main, volume))?;
        main.values.remove("lock");
        self.main = main;
        self.snapshots.remove(name);
        let sections = std::iter::once(&mut self.main).chain(self.snapshots.values_mut());
        for section in sections.filter(|section| section.values.get("parent").is_some_and(|parent| parent == name)) {
            match &heir {
                Some(heir) => section.values.insert("parent".to_owned(), heir.clone()),
                None => section.values.remove("parent"),
            };
        }
        Ok(())
    }

    /// Changes a snapshot's description; an empty one is none.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`].
    pub fn describe_snapshot(&mut self, name: &str, description: &str) -> Result<(), SnapshotError> {
        self.snapshot_mut(name)?.description = Some(description.to_owned()).filter(|text| !text.is_empty());
        Ok(())
    }

    /// The drives that a snapshot covers, with their volumes, in the order in which a node works on them. CD-ROM drives
    /// are not covered.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`].
    pub fn snapshot_drives(&self, name: &str) -> Result<Vec<(String, String)>, SnapshotError> {
        Ok(own_drives(self.snapshot(name)?))
    }

    fn snapshot(&self, name: &str) -> Result<&Section, SnapshotError> {
        self.snapshots.get(name).ok_or_else(|| SnapshotError::Missing(name.to_owned()))
    }

    fn snapshot_mut(&mut self, name: &str) -> Result<&mut Section, SnapshotError> {
        self.snapshots.get_mut(name).ok_or_else(|| SnapshotError::Missing(name.to_owned()))
    }

    fn lock(&self) -> Option<&str> {
        self.main.values.get("lock").map(String::as_str)
    }

    fn check_lock(&self) -> Result<(), SnapshotError> {
        self.lock().map_or(Ok(()), |lock| Err(SnapshotError::Locked(lock.to_owned())))
    }

    fn is_template(&self) -> bool {
        self.main.values.get("template").is_some_and(|value| value == "1")
    }
}

/// A drive's volume, unless it is a CD-ROM drive.
fn own_volume(key: &str, value: &str) -> Option<String> {
    if !drive::is_drive(key) || drive::is_cdrom(value) {
        return None;
    }
    drive::file(key, value)
}

/// Drives with volumes, by bus and number.
fn own_drives(section: &Section) -> Vec<(String, String)> {
    const BUSES: [&str; 6] = ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"];
    let place = |key: &str| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        (BUSES.iter().position(|bus| *bus == stem), key[stem.len()..].parse::<u32>().ok())
    };
    let mut drives: Vec<_> = section.values.iter().filter_map(|(key, value)| Some((key.clone(), own_volume(key, value)?))).collect();
    drives.sort_by_key(|(key, _)| place(key));
    drives
}

fn holds(section: &Section, volume: &str) -> bool {
    section.values.iter().any(|(key, value)| drive::is_drive(key) && drive::file(key, value).is_some_and(|file| file == volume))
}

/// Keeps a volume under the lowest free `unusedN`, once. A path of the host is no volume.
fn add_unused(section: &mut Section, volume: &str) -> Result<(), SnapshotError> {
    if volume.starts_with('/') || section.values.iter().any(|(key, value)| is_unused(key) && value == volume) {
        return Ok(());
    }
    let free = (0..UNUSED_MAX).map(|number| format!("unused{number}")).find(|key| !section.values.contains_key(key));
    section.values.insert(free.ok_or(SnapshotError::TooManyUnused)?, volume.to_owned());
    Ok(())
}
