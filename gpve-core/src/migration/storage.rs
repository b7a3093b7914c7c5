use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::ports::ContentKind;
use crate::types::{DiskFormat, StorageId, TextError};

/// What counts of a storage when a guest moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageFacts {
    /// Its type, in Proxmox VE's words.
    pub kind: String,
    /// Both nodes see the same volumes.
    pub is_shared: bool,
    /// It is in use.
    pub is_enabled: bool,
    /// It is there on the node that the guest leaves.
    pub on_source: bool,
    /// It is there on the node that the guest goes to.
    pub on_target: bool,
    /// What it may hold.
    pub contents: BTreeSet<ContentKind>,
    /// Formats of its disks, the usual one first.
    pub formats: Vec<DiskFormat>,
    /// Its volumes can be read and written as a whole, from one node to another.
    pub is_movable: bool,
}

impl StorageFacts {
    /// A storage of this type with what all of its type have; on both nodes, holding disks.
    pub fn of_kind(kind: &str) -> Self {
        let in_files = matches!(kind, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs");
        Self {
            kind: kind.to_owned(),
            is_shared: matches!(kind, "nfs" | "cifs" | "cephfs" | "rbd" | "iscsi" | "iscsidirect" | "zfs" | "pbs"),
            is_enabled: true,
            on_source: true,
            on_target: true,
            contents: BTreeSet::from([ContentKind::Images]),
            formats: if in_files { vec![DiskFormat::Raw, DiskFormat::Qcow2, DiskFormat::Vmdk] } else { vec![DiskFormat::Raw] },
            is_movable: matches!(kind, "dir" | "btrfs" | "zfspool" | "lvmthin" | "lvm"),
        }
    }

    /// Whether snapshots of a volume go where the volume goes.
    pub(super) fn moves_snapshots(&self, format: DiskFormat) -> bool {
        match self.kind.as_str() {
            "zfspool" => true,
            "btrfs" if format == DiskFormat::Raw => true,
            _ => format == DiskFormat::Qcow2,
        }
    }

    /// The format of a copy that is made here.
    pub(super) fn format_for(&self, source: DiskFormat) -> DiskFormat {
        if self.formats.contains(&source) { source } else { self.formats.first().copied().unwrap_or(DiskFormat::Raw) }
    }
}

/// Which storage of the target stands for which of the source, in text `SOURCE:TARGET,…` with at most one `TARGET` alone for
/// all others; `1` is each for itself, as is the empty map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageMap {
    named: BTreeMap<StorageId, StorageId>,
    others: Option<StorageId>,
}

impl StorageMap {
    /// The storage on the target.
    pub fn of(&self, source: &StorageId) -> StorageId {
        self.named.get(source).or(self.others.as_ref()).unwrap_or(source).clone()
    }
}

impl FromStr for StorageMap {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(text, "storage map", "SOURCE:TARGET pairs and at most one TARGET, joined by commas, or 1");
        let mut map = Self::default();
        for entry in text.split(',').filter(|entry| !entry.is_empty()) {
            let is_new = match entry.split_once(':') {
                Some((source, target)) => map.named.insert(source.parse()?, target.parse()?).is_none(),
                None if entry == "1" && text == "1" => true,
                None => map.others.replace(entry.parse()?).is_none(),
            };
            if !is_new {
                return Err(refused());
            }
        }
        Ok(map)
    }
}
