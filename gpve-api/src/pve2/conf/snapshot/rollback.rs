//! Going back to a snapshot.

use uuid::Uuid;

use super::super::{ConfFile, Section};
use super::{SnapshotError, add_unused, is_left_out, is_unused, own_drives};

/// What a guest ran as when its memory was kept; nothing of a guest that does not run.
const OF_RUN: [&str; 3] = ["runningmachine", "runningcpu", "running-nets-host-mtu"];

impl ConfFile {
    /// Whether the guest can go back to a snapshot, as far as the file says.
    ///
    /// # Errors
    /// [`SnapshotError::RollbackOfTemplate`], [`SnapshotError::Missing`], [`SnapshotError::Incomplete`],
    /// [`SnapshotError::Locked`].
    pub fn check_rollback(&self, name: &str) -> Result<(), SnapshotError> {
        if self.is_template() {
            return Err(SnapshotError::RollbackOfTemplate);
        }
        if let Some(state) = self.snapshot(name)?.values.get("snapstate") {
            return Err(SnapshotError::Incomplete(state.clone()));
        }
        self.check_lock()
    }

    /// Begins a rollback: a lock, under which the disks go back.
    ///
    /// # Errors
    /// As [`Self::check_rollback`].
    pub fn begin_rollback(&mut self, name: &str) -> Result<(), SnapshotError> {
        self.check_rollback(name)?;
        self.main.values.insert("lock".to_owned(), "rollback".to_owned());
        Ok(())
    }

    /// Ends a rollback: the settings are those of the snapshot. The description and unused volumes stay, and volumes that
    /// the snapshot does not have become unused; what was pending is gone. A guest with a generation id gets
    /// `generation_id`, so that it learns that its past is another.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLock`], [`SnapshotError::Missing`], [`SnapshotError::Incomplete`],
    /// [`SnapshotError::TooManyUnused`].
    pub fn end_rollback(&mut self, name: &str, generation_id: Uuid) -> Result<(), SnapshotError> {
        let snapshot = self.snapshot(name)?;
        if let Some(state) = snapshot.values.get("snapstate") {
            return Err(SnapshotError::Incomplete(state.clone()));
        }
        if self.lock() != Some("rollback") {
            return Err(SnapshotError::WrongLock);
        }
        let kept = self.main.values.iter().filter(|(key, _)| is_unused(key));
        let of_snapshot = snapshot.values.iter().filter(|(key, _)| !is_left_out(key));
        let mut main = Section {
            description: self.main.description.clone(),
            values: kept.chain(of_snapshot).map(|(key, value)| (key.clone(), value.clone())).collect(),
            unknown: snapshot.unknown.clone(),
        };
        let back: Vec<String> = own_drives(snapshot).into_iter().map(|(_, volume)| volume).collect();
        for (_, volume) in own_drives(&self.main).iter().filter(|(_, volume)| !back.contains(volume)) {
            add_unused(&mut main, volume)?;
        }
        // Before nodes noted what a guest ran as, they wrote it over the machine's setting.
        let is_of_run = snapshot.values.contains_key("vmstate") && !snapshot.values.contains_key("runningmachine");
        if is_of_run && !self.main.values.contains_key("machine") {
            main.values.remove("machine");
        }
        main.values.retain(|key, _| !OF_RUN.contains(&key.as_str()));
        if let Some(id) = main.values.get_mut("vmgenid").filter(|id| *id != "0") {
            *id = generation_id.to_string();
        }
        main.values.insert("parent".to_owned(), name.to_owned());
        self.main = main;
        self.pending = Section::default();
        self.special.remove("cloudinit");
        Ok(())
    }
}
