//! Disks and CD-ROMs of a virtual machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::disk_options::{DiskOptions, Media};
use super::id::{StorageId, Vmid, VolumeId};
use super::text::{TextError, serde_as_text};
use super::unit::ByteSize;

/// Declares an enum with its words, `FromStr`, `Display` and serde through them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::TextError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                match s { $($word => Ok($name::$variant),)+ _ => Err($crate::types::TextError::new(s, $what, $allowed)) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::types::text::serde_as_text!($name);
    };
}
pub(crate) use words;

words!(
    /// What a disk hangs on: a controller that the guest sees, or what keeps its state there.
    DiskBus, "disk bus", "one of scsi, virtio, ide, sata, nvme, efidisk, tpmstate", {
        /// SCSI, on the guest's SCSI controller.
        Scsi = "scsi",
        /// virtio-blk.
        Virtio = "virtio",
        /// IDE.
        Ide = "ide",
        /// SATA (AHCI).
        Sata = "sata",
        /// NVMe; an extension, PVE has none.
        Nvme = "nvme",
        /// The variables of the UEFI firmware.
        Efi = "efidisk",
        /// The state of the TPM.
        Tpm = "tpmstate",
    }
);

impl DiskBus {
    /// True for what the guest sees as a drive: not for firmware variables and TPM state.
    pub const fn is_drive(self) -> bool {
        !matches!(self, Self::Efi | Self::Tpm)
    }

    /// Drives of buses with a smaller rank come first where devices are booted by class, or the first is wanted: PVE's
    /// order.
    pub const fn boot_rank(self) -> u8 {
        match self {
            Self::Ide => 0,
            Self::Scsi => 1,
            Self::Virtio => 2,
            Self::Sata => 3,
            Self::Nvme | Self::Efi | Self::Tpm => 4,
        }
    }

    /// How many slots the bus has: scsi 31, virtio 16, ide 4, sata 6, efidisk and tpmstate 1 (PVE's numbers), nvme 8.
    pub const fn slots(self) -> u8 {
        match self {
            Self::Scsi => 31,
            Self::Virtio => 16,
            Self::Ide => 4,
            Self::Sata => 6,
            Self::Nvme => 8,
            Self::Efi | Self::Tpm => 1,
        }
    }
}

/// A bus and a number: `scsi0`, `ide2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskSlot {
    bus: DiskBus,
    index: u8,
}

const ALLOWED_SLOT: &str = "scsi0 to scsi30, virtio0 to virtio15, ide0 to ide3, sata0 to sata5, nvme0 to nvme7, efidisk0 or tpmstate0";

impl DiskSlot {
    /// Slot `index` of `bus`, if the bus has it.
    pub fn new(bus: DiskBus, index: u8) -> Result<Self, TextError> {
        if index < bus.slots() { Ok(Self { bus, index }) } else { Err(TextError::new(&format!("{bus}{index}"), "disk slot", ALLOWED_SLOT)) }
    }

    /// The bus.
    pub fn bus(self) -> DiskBus {
        self.bus
    }

    /// The number on the bus.
    pub fn index(self) -> u8 {
        self.index
    }
}

impl FromStr for DiskSlot {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "disk slot", ALLOWED_SLOT);
        let digits = s.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let bus = s[..s.len() - digits.len()].parse().map_err(|_| refused())?;
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(refused());
        }
        Self::new(bus, digits.parse().map_err(|_| refused())?).map_err(|_| refused())
    }
}

impl fmt::Display for DiskSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.bus, self.index)
    }
}

serde_as_text!(DiskSlot);

words!(
    /// How the bytes of an image are laid out.
    DiskFormat, "disk format", "one of raw, qcow2, vmdk", {
        /// The disk's bytes, nothing else.
        Raw = "raw",
        /// QEMU's copy-on-write format: thin, internal snapshots.
        Qcow2 = "qcow2",
        /// VMware's format; read, not written.
        Vmdk = "vmdk",
    }
);

/// Where the bytes of an imported disk come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportSource {
    /// A volume that the caller may read.
    Volume(VolumeId),
    /// A file of the host; for the administrator only. Absolute.
    File(PathBuf),
}

/// What is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DiskSource {
    /// An empty CD-ROM drive.
    Empty,
    /// A block device or an image file of the host, beside all storages; for the administrator only. Absolute.
    Host(PathBuf),
    /// A volume that exists.
    #[serde(rename_all = "camelCase")]
    Volume {
        /// Which.
        volume: VolumeId,
        /// Its virtual size, filled in by the node; a client's word is not taken for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<ByteSize>,
    },
    /// A volume to be made.
    #[serde(rename_all = "camelCase")]
    New {
        /// Where.
        storage: StorageId,
        /// Virtual size.
        size: ByteSize,
        /// Absent: the storage's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<DiskFormat>,
    },
    /// A volume to be made from an image.
    #[serde(rename_all = "camelCase")]
    Import {
        /// Where.
        storage: StorageId,
        /// From what.
        from: ImportSource,
        /// Format of the source; it is never guessed from the bytes.
        source_format: DiskFormat,
        /// Absent: the storage's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<DiskFormat>,
    },
    /// The drive that cloud-init reads, to be made; the slot must be a CD-ROM drive's. What is on it follows from the spec
    /// and is written anew at every start.
    #[serde(rename_all = "camelCase")]
    CloudInit {
        /// Where.
        storage: StorageId,
        /// Absent: the storage's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<DiskFormat>,
    },
}

impl DiskSource {
    /// Size of a cloud-init drive.
    pub const CLOUD_INIT_SIZE: ByteSize = ByteSize::from_mib(4);
}

/// One disk or CD-ROM asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSpec {
    /// The slot.
    pub name: DiskSlot,
    /// What is in it.
    pub source: DiskSource,
    /// How it is shown and driven.
    #[serde(flatten)]
    pub options: DiskOptions,
}

impl DiskSpec {
    /// True for a CD-ROM drive.
    pub fn is_cdrom(&self) -> bool {
        self.options.media == Some(Media::Cdrom)
    }

    /// The existing volume in it, if any.
    pub fn volume(&self) -> Option<&VolumeId> {
        match &self.source {
            DiskSource::Volume { volume, .. } => Some(volume),
            DiskSource::Empty | DiskSource::Host(_) | DiskSource::New { .. } | DiskSource::Import { .. } | DiskSource::CloudInit { .. } => {
                None
            }
        }
    }

    /// The guest whose cloud-init drive it is, by the name of the volume in a CD-ROM drive.
    pub fn cloud_init_of(&self) -> Option<Vmid> {
        self.volume().filter(|_| self.is_cdrom())?.name().cloud_init_of()
    }

    /// True for a cloud-init drive, made or to be made.
    pub fn is_cloud_init(&self) -> bool {
        matches!(self.source, DiskSource::CloudInit { .. }) || self.cloud_init_of().is_some()
    }

    /// What of the host it is, if it is beside all storages.
    pub fn host_path(&self) -> Option<&std::path::Path> {
        match &self.source {
            DiskSource::Host(path) => Some(path),
            _ => None,
        }
    }
}
