//! Images that are not in files, and what is known of the storages that images are on.

use std::path::PathBuf;

use super::SnapName;

/// An image in a Ceph pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RbdImage {
    /// Pool.
    pub pool: String,
    /// Namespace in the pool.
    pub namespace: Option<String>,
    /// Image.
    pub image: String,
    /// Its state at this snapshot instead of now.
    pub snapshot: Option<SnapName>,
    /// Monitors; none where a configuration file names them.
    pub monitors: Vec<CephMonitor>,
    /// Ceph's configuration file, which also names the key.
    pub configuration: Option<PathBuf>,
    /// User, where the cluster asks for one.
    pub user: Option<String>,
    /// The file with the user's key; none where the configuration file names it.
    pub keyring: Option<PathBuf>,
}

/// A monitor of a Ceph cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CephMonitor {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port where it is not [`PORT`](Self::PORT).
    pub port: Option<u16>,
}

impl CephMonitor {
    /// The usual port.
    pub const PORT: u16 = 3300;
}

/// A unit of an iSCSI target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IscsiUnit {
    /// Host, with port where it is not the usual one.
    pub portal: String,
    /// Target.
    pub target: String,
    /// Unit.
    pub lun: u32,
}

/// What is known of the storage that an image is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageTraits {
    /// When io_uring can be trusted there.
    pub io_uring: IoUring,
    /// It checks data by sums, which change under direct I/O while the guest writes (btrfs): cached unless told otherwise.
    pub is_cached: bool,
    /// Snapshots are images of their own, whose clusters stay where they are when the guest discards them.
    pub keeps_clusters: bool,
    /// It is a CD-ROM drive of the host, whose tray and medium the guest shall see.
    pub is_cdrom_drive: bool,
}

/// Storages on which io_uring can be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IoUring {
    /// Always.
    #[default]
    Always,
    /// Past the host's cache only: with it requests hang (Ceph's kernel client).
    Direct,
    /// Never: requests hang or fail (LVM, CIFS).
    Never,
}
