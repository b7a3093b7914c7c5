//! Names of things.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::disk::DiskFormat;
use super::text::{TextError, only, serde_as_text, starts_alnum, text_type};

/// The number of a guest, `100..=999_999_999`, unique in a cluster (Proxmox VE's VMID).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(u32);

impl Vmid {
    /// The smallest id.
    pub const MIN: Vmid = Vmid(100);
    /// The largest id.
    pub const MAX: Vmid = Vmid(999_999_999);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The next id, if there is one.
    pub fn next(self) -> Option<Vmid> {
        (self < Self::MAX).then(|| Vmid(self.0 + 1))
    }
}

impl TryFrom<u32> for Vmid {
    type Error = TextError;
    fn try_from(n: u32) -> Result<Self, TextError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&n) {
            Ok(Self(n))
        } else {
            Err(TextError::new(&n.to_string(), "guest id", "an integer from 100 to 999999999"))
        }
    }
}

impl From<Vmid> for u32 {
    fn from(v: Vmid) -> u32 {
        v.0
    }
}

impl FromStr for Vmid {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "guest id", "an integer from 100 to 999999999");
        if !s.bytes().all(|b| b.is_ascii_digit()) || s.starts_with('0') {
            return Err(refused());
        }
        s.parse::<u32>().map_err(|_| refused())?.try_into()
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_type!(
    /// A storage's name in the configuration (`local`, `local-zfs`).
    StorageId, "storage id", "letters, digits, '-', '_' and '.', starting with a letter, at most 100 characters",
    |s| s.len() <= 100 && s.starts_with(|c: char| c.is_ascii_alphabetic()) && only(s, "-_.") && !s.contains("..")
);

text_type!(
    /// A volume's name inside its storage: a relative path whose parts are plain names (`100/vm-100-disk-0.qcow2`,
    /// `iso/debian.iso`). Never absolute, never with `..`, a comma or a leading `-` in any part.
    VolumeName, "volume name", "parts of letters, digits and '-_.+@' joined by '/', none starting with '-' or '.', at most 255 characters",
    |s| !s.is_empty() && s.len() <= 255 && s.split('/').all(|part| {
        !part.is_empty() && !part.starts_with(['-', '.']) && only(part, "-_.+@~") && !part.contains("..")
    })
);

impl VolumeName {
    /// The guest whose cloud-init drive a volume of this name is: `vm-100-cloudinit`, in any folder, with an image's ending or
    /// without one. Such a drive is known by its name alone, as in Proxmox VE.
    pub fn cloud_init_of(&self) -> Option<Vmid> {
        let file = self.as_str().rsplit_once('/').map_or(self.as_str(), |(_, file)| file);
        let stem = file
            .split_once('.')
            .map_or(file, |(stem, format)| if DiskFormat::ALL.iter().any(|f| f.as_str() == format) { stem } else { file });
        stem.strip_prefix("vm-")?.strip_suffix("-cloudinit")?.parse().ok()
    }

    /// The name of `owner`'s cloud-init drive where a storage names its disks as this one (`100/vm-100-disk-0.qcow2`). None
    /// if it names them otherwise than Proxmox VE does.
    pub fn cloud_init_beside(&self, owner: Vmid) -> Option<Self> {
        let stem = format!("vm-{owner}-");
        let (before, disk) = self.as_str().rsplit_once(&stem)?;
        let ending = disk.strip_prefix("disk-")?.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}{stem}cloudinit{ending}").parse().ok().filter(|name: &Self| name.cloud_init_of() == Some(owner))
    }
}

/// A volume: `STORAGE:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId {
    storage: StorageId,
    name: VolumeName,
}

impl VolumeId {
    /// The volume `name` on `storage`.
    pub fn new(storage: StorageId, name: VolumeName) -> Self {
        Self { storage, name }
    }

    /// The storage that holds it.
    pub fn storage(&self) -> &StorageId {
        &self.storage
    }

    /// Its name there.
    pub fn name(&self) -> &VolumeName {
        &self.name
    }
}

impl FromStr for VolumeId {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let (storage, name) =
            s.split_once(':').ok_or_else(|| TextError::new(s, "volume id", "STORAGE:NAME, such as local:iso/debian.iso"))?;
        Ok(Self { storage: storage.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.storage, self.name)
    }
}

serde_as_text!(VolumeId);

text_type!(
    /// A node's name: one DNS label.
    NodeName, "node name", "a DNS label: letters, digits and '-', starting and ending with a letter or digit, at most 63 characters",
    dns_label
);

text_type!(
    /// A guest's name: DNS labels joined by dots, as it becomes the guest's host name.
    GuestName, "guest name", "DNS labels joined by '.', at most 253 characters",
    |s| !s.is_empty() && s.len() <= 253 && s.split('.').all(dns_label)
);

text_type!(
    /// A namespace of objects, one tenant's room.
    Namespace, "namespace", "a DNS label: letters, digits and '-', at most 63 characters",
    dns_label
);

impl Default for Namespace {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

text_type!(
    /// A snapshot's name: a letter, then letters, digits, `-` and `_`; `current` is the running state and no snapshot.
    SnapName, "snapshot name", "a letter, then letters, digits, '-' and '_', 2 to 40 characters, and not 'current'",
    |s| (2..=40).contains(&s.len()) && s.starts_with(|c: char| c.is_ascii_alphabetic()) && only(s, "-_") && s != "current"
);

text_type!(
    /// A tag on a guest.
    Tag, "tag", "letters, digits and '-_+.', not starting with '-', '+' or '.', at most 128 characters",
    |s| !s.is_empty() && s.len() <= 128 && (starts_alnum(s) || s.starts_with('_')) && only(s, "-_+.") && !s.contains("..")
);

text_type!(
    /// A host bridge's name.
    BridgeName, "bridge name", "letters, digits, '-', '_' and '.', starting with a letter, at most 15 characters",
    |s| s.len() <= 15 && s.starts_with(|c: char| c.is_ascii_alphabetic()) && only(s, "-_.") && !s.contains("..")
);

text_type!(
    /// A user as shown in task ids: `root@pam`, or with a token `root@pam!ci`.
    UserId, "user id", "NAME@REALM or NAME@REALM!TOKEN without spaces, ':' or '/'",
    |s| s.len() <= 128 && starts_alnum(s) && s.contains('@') && only(s, "@!-_.+") && !s.contains("..")
);

text_type!(
    /// Who owns the fields of an object in server-side apply.
    FieldManager, "field manager", "letters, digits and '-_./', at most 128 characters",
    |s| !s.is_empty() && s.len() <= 128 && starts_alnum(s) && only(s, "-_./") && !s.contains("..")
);

text_type!(
    /// The id of an operation given to a node: the same id twice is the same task.
    OperationId, "operation id", "letters, digits, '-' and '_', at most 64 characters",
    |s| !s.is_empty() && s.len() <= 64 && starts_alnum(s) && only(s, "-_")
);

fn dns_label(s: &str) -> bool {
    !s.is_empty() && s.len() <= 63 && only(s, "-") && starts_alnum(s) && s.ends_with(|c: char| c.is_ascii_alphanumeric())
}
