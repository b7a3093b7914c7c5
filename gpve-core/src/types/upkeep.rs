//! How a virtual machine is looked after: start order, locks, migration, origin.

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::text::text_type;
use super::time::Timestamp;

/// When the guest starts relative to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StartupOrder {
    /// Smaller starts first and stops last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Seconds to wait after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<u32>,
    /// Seconds to wait for its shutdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<u32>,
}

words!(
    /// Why a guest was locked. PVE's nodes write it while they work; gpve queues instead, and keeps what was imported.
    GuestLock, "lock", "one of backup, clone, create, migrate, rollback, snapshot, snapshot-delete, suspending, suspended", {
        /// A backup runs.
        Backup = "backup",
        /// It is cloned.
        Clone = "clone",
        /// It is made.
        Create = "create",
        /// It moves to another node.
        Migrate = "migrate",
        /// It goes back to a snapshot.
        Rollback = "rollback",
        /// A snapshot is made.
        Snapshot = "snapshot",
        /// A snapshot is removed.
        SnapshotDelete = "snapshot-delete",
        /// Its memory is written to disk.
        Suspending = "suspending",
        /// Its memory is on disk.
        Suspended = "suspended",
    }
);

/// Limits of a live migration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MigrationSpec {
    /// Longest pause in milliseconds; absent: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<u32>,
    /// Fastest transfer in MB/s; absent or 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mb: Option<u32>,
}

impl MigrationSpec {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

text_type!(
    /// A version of QEMU (`9.0.2`).
    QemuVersion, "QEMU version", "numbers joined by dots, such as 9.0.2",
    |s| {
        let digits = |t: &str| (1..=4).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        s.len() <= 24 && s.contains('.') && s.split('.').all(digits)
    }
);

/// Where a guest comes from. Machine versions of Windows guests follow it where none is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Origin {
    /// The QEMU it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qemu: Option<QemuVersion>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}
