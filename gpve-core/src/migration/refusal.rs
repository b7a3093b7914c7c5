use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::types::{NodeName, SnapName, StorageId, Vmid};

/// One reason why a guest does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Other work is under way; the lock.
    #[error("VM is locked ({0})")]
    Locked(String),
    /// It runs and shall move stopped.
    #[error("can't migrate running VM without --online")]
    NotLive,
    /// It has devices of this node.
    #[error("can't migrate VM which uses local devices: {}", .0.join(", "))]
    LocalDevices(Vec<String>),
    /// It runs with devices that mappings name.
    #[error("can't migrate running VM which uses mapped devices: {}", .0.join(", "))]
    MappedDevices(Vec<String>),
    /// It has this node's CD-ROM drive; snapshots that have it, where it has it no more.
    #[error("can't migrate local cdrom drive{}", in_snapshots(.0))]
    CdromDrive(Vec<SnapName>),
    /// There is no such storage.
    #[error("storage '{0}' does not exist")]
    NoStorage(StorageId),
    /// The storage is out of use.
    #[error("storage '{0}' is disabled")]
    Disabled(StorageId),
    /// The node does not have the storage.
    #[error("storage '{storage}' is not available on node '{node}'")]
    NotThere {
        /// The storage.
        storage: StorageId,
        /// The node.
        node: NodeName,
    },
    /// The storage must not hold disks.
    #[error("content type 'images' is not available on storage '{0}'")]
    NoImages(StorageId),
    /// Several volumes are one.
    #[error("detected not supported aliased volumes: '{}'", .0.join("', '"))]
    Aliased(Vec<String>),
    /// A volume, or a file or device of the host, stays.
    #[error("can't migrate local disk '{volume}': {why}")]
    Volume {
        /// Its id or path.
        volume: String,
        /// Why.
        why: NoMove,
    },
}

fn in_snapshots(names: &[SnapName]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    format!(" (referenced in snapshot - {})", names.join(", "))
}

/// Why a volume does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMove {
    /// It is beside all storages.
    #[error("local file/device")]
    OfHost,
    /// It is not there.
    #[error("volume does not exist")]
    Missing,
    /// It is an image in a CD-ROM drive, which others may use too.
    #[error("local cdrom image")]
    CdromImage,
    /// It is another guest's, if anybody's.
    #[error("owned by other VM (owner = VM {})", .0.map(|id| id.to_string()).unwrap_or_default())]
    Foreign(Option<Vmid>),
    /// It has snapshots, and a running guest's disk is copied without.
    #[error("online storage migration not possible if non-replicated snapshot exists")]
    SnapshotOfRunning,
    /// It has snapshots, which its storage cannot give away.
    #[error("non-migratable snapshot exists")]
    Snapshot,
    /// Linked clones depend on it.
    #[error("referenced by linked clone(s)")]
    HasClones,
    /// It is a linked clone.
    #[error("it's a clone of '{0}'")]
    IsClone(String),
    /// It was not said that disks shall be copied.
    #[error("can't live migrate attached local disks without with-local-disks option")]
    NotAsked,
    /// Its storage cannot give volumes away; the type.
    #[error("storage type '{0}' not supported")]
    StorageKind(String),
}

/// Every reason, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Refusals {}

impl From<Refusals> for Error {
    fn from(refusals: Refusals) -> Self {
        Self::new(ErrorKind::FailedPrecondition, "guest.migrate", refusals.to_string())
    }
}
