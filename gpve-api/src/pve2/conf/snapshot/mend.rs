//! A file that was copied while a node worked on a snapshot, or after the work had failed.

use std::fmt;

use super::super::ConfFile;
use super::own_drives;

/// What was under way and is brought to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mended {
    /// A snapshot was being taken: the file is without it. Disks may hold parts of it.
    Taking(String),
    /// A snapshot was being deleted: the file is without it. Disks may hold parts of it.
    Deleting(String),
    /// The guest was going back to a snapshot: some of its disks may be back there and others not. The lock stays.
    RollingBack,
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taking(name) => {
                write!(f, "snapshot '{name}' was being taken and is not complete: it is left out, its disks may hold parts of it")
            }
            Self::Deleting(name) => write!(f, "snapshot '{name}' was being deleted: it is left out, its disks may hold parts of it"),
            Self::RollingBack => f.write_str("a rollback was under way: disks may be of different times; the lock is kept"),
        }
    }
}

impl ConfFile {
    /// Brings what was under way with snapshots to an end, and says what that was: unfinished ones leave the file, and
    /// volumes that only they name are unused.
    pub fn mend_snapshots(&mut self) -> Vec<Mended> {
        let mut mended = Vec::new();
        let unfinished: Vec<(String, String)> =
            self.snapshots.iter().filter_map(|(name, section)| Some((name.clone(), section.values.get("snapstate")?.clone()))).collect();
        let lock = self.lock().map(str::to_owned);
        for (name, state) in unfinished {
            let Some(section) = self.snapshots.get(&name) else { continue };
            let volumes: Vec<String> = own_drives(section).into_iter().map(|(_, volume)| volume).collect();
            // With every `unusedN` taken, they stay what they were: volumes that the disks' storage shows.
            if self.end_snapshot_deletion(&name, &volumes).is_err() && self.end_snapshot_deletion(&name, &[]).is_err() {
                continue;
            }
            mended.push(if state == "prepare" { Mended::Taking(name) } else { Mended::Deleting(name) });
        }
        match lock.as_deref() {
            // Without an unfinished section nothing was done yet, or all is.
            Some("snapshot" | "snapshot-delete") | None => drop(self.main.values.remove("lock")),
            Some(other) => {
                self.main.values.insert("lock".to_owned(), other.to_owned());
            }
        }
        if lock.as_deref() == Some("rollback") {
            mended.push(Mended::RollingBack);
        }
        mended
    }
}
