//! Storages and volumes.

use serde::Serialize;

/// A storage of a node. Its status alone has neither name nor fraction.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StorageEntry {
    /// Name; in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Type of its plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it may hold, joined by commas.
    pub content: String,
    /// 1: it answers.
    pub active: u8,
    /// 1: it is in use.
    pub enabled: u8,
    /// 1: all nodes see the same.
    pub shared: u8,
    /// Bytes in all.
    pub total: u64,
    /// Bytes used.
    pub used: u64,
    /// Bytes free.
    pub avail: u64,
    /// Share that is used; in lists, of one that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_fraction: Option<f64>,
}

impl StorageEntry {
    /// The entry as a list shows it.
    #[must_use]
    pub fn in_list(mut self, name: &str) -> Self {
        self.storage = Some(name.to_owned());
        // u64 to f64 rounds, which is what a fraction is for.
        self.used_fraction = (self.total > 0).then(|| self.used as f64 / self.total as f64);
        self
    }
}

/// Content types joined as Proxmox VE shows them.
pub fn content_list<S: AsRef<str>>(types: impl IntoIterator<Item = S>) -> String {
    types.into_iter().map(|t| t.as_ref().to_owned()).collect::<Vec<_>>().join(",")
}

/// Answer of defining or changing a storage.
#[derive(Debug, Clone, Serialize)]
pub struct StorageRef {
    /// Name.
    pub storage: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A volume in a list. A disk has `used`, `vmid` and `parent` (null without one); other contents have not.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VolumeEntry {
    /// `local:100/vm-100-disk-0.qcow2`
    pub volid: String,
    /// Content type.
    pub content: String,
    /// Format.
    pub format: String,
    /// Size in bytes; of a disk, its virtual size.
    pub size: u64,
    /// When it was made, in Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctime: Option<u64>,
    /// Bytes that a disk takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Guest that a disk belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmid: Option<u32>,
    /// Of a disk: what it is a linked clone of, or null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Option<String>>,
}

/// One volume.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VolumeInfo {
    /// Format.
    pub format: String,
    /// Path on the node.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that it takes.
    pub used: u64,
}
