//! How a disk is shown and driven.

use serde::{Deserialize, Serialize};

use super::disk::{DiskFormat, words};
use super::text::text_type;
use super::throttle::Throttle;

words!(
    /// How the host caches a disk.
    CacheMode, "cache mode", "one of none, writethrough, writeback, directsync, unsafe", {
        /// O_DIRECT.
        None = "none",
        /// Host cache for reads, writes reach the disk.
        Writethrough = "writethrough",
        /// Host cache; the guest's flushes reach the disk.
        Writeback = "writeback",
        /// O_DIRECT and every write reaches the disk.
        Directsync = "directsync",
        /// Flushes are ignored.
        Unsafe = "unsafe",
    }
);

words!(
    /// How QEMU does I/O.
    Aio, "aio mode", "one of native, threads, io_uring", {
        /// Linux AIO, with O_DIRECT only.
        Native = "native",
        /// A thread pool.
        Threads = "threads",
        /// io_uring.
        IoUring = "io_uring",
    }
);

words!(
    /// What happens to blocks the guest discards.
    Discard, "discard mode", "one of ignore, on", {
        /// Nothing.
        Ignore = "ignore",
        /// They are given back.
        On = "on",
    }
);

words!(
    /// What the guest sees.
    Media, "media", "one of disk, cdrom", {
        /// A disk.
        Disk = "disk",
        /// A CD-ROM drive.
        Cdrom = "cdrom",
    }
);

words!(
    /// What happens when a read fails.
    ReadError, "read error action", "one of ignore, report, stop", {
        /// The guest gets garbage.
        Ignore = "ignore",
        /// The guest is told.
        Report = "report",
        /// The guest is paused.
        Stop = "stop",
    }
);

words!(
    /// What happens when a write fails.
    WriteError, "write error action", "one of enospc, ignore, report, stop", {
        /// The guest is paused when the storage is full, and told of anything else.
        Enospc = "enospc",
        /// Nothing.
        Ignore = "ignore",
        /// The guest is told.
        Report = "report",
        /// The guest is paused.
        Stop = "stop",
    }
);

words!(
    /// Size and layout of the volume with UEFI variables.
    EfiType, "EFI type", "one of 2m, 4m", {
        /// 128 KiB of variables; of old guests.
        TwoMib = "2m",
        /// 528 KiB of variables; Secure Boot needs it.
        FourMib = "4m",
    }
);

words!(
    /// Which of Microsoft's certificates are enrolled; a note.
    MsCertificates, "Microsoft certificates", "one of 2011, 2023, 2023w, 2023k", {
        /// Those of 2011.
        Y2011 = "2011",
        /// Those of 2023.
        Y2023 = "2023",
        /// Those of 2023, with the Windows UEFI CA.
        Y2023w = "2023w",
        /// Those of 2023, with the key exchange key.
        Y2023k = "2023k",
    }
);

words!(
    /// Version of the TPM.
    TpmVersion, "TPM version", "one of v1.2, v2.0", {
        /// TPM 1.2.
        V12 = "v1.2",
        /// TPM 2.0.
        V20 = "v2.0",
    }
);

text_type!(
    /// A disk's serial number as the guest reads it, percent-encoded where it has other characters.
    DiskSerial, "disk serial number",
    "letters, digits, '-', '_', '.', '~', '+' and percent-encoded bytes, not starting with '-' or '.', at most 20 bytes",
    |s| !s.starts_with(['-', '.']) && decoded(s).is_some_and(|text| (1..=20).contains(&text.len()))
);

text_type!(
    /// A disk's model as the guest reads it, percent-encoded where it has other characters.
    DiskModelName, "disk model",
    "letters, digits, '-', '_', '.', '~', '+' and percent-encoded bytes, not starting with '-' or '.', at most 40 bytes",
    |s| !s.starts_with(['-', '.']) && decoded(s).is_some_and(|text| (1..=40).contains(&text.len()))
);

impl DiskSerial {
    /// As the guest reads it.
    pub fn decoded(&self) -> String {
        decoded(self.as_str()).unwrap_or_default()
    }
}

impl DiskModelName {
    /// As the guest reads it.
    pub fn decoded(&self) -> String {
        decoded(self.as_str()).unwrap_or_default()
    }
}

/// Percent-encoded text decoded; none if it holds other characters, or bytes that are no printable text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok()).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let plain = !text.contains("..") && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~+%".contains(c));
    String::from_utf8(bytes).ok().filter(|t| plain && !t.contains(char::is_control))
}

text_type!(
    /// A disk's world-wide name (`0x` and 16 hex digits).
    Wwn, "world-wide name", "0x and 16 hex digits",
    |s| s.strip_prefix("0x").is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
);

text_type!(
    /// Vendor of a SCSI disk as the guest reads it.
    ScsiVendor, "SCSI vendor", "letters, digits, '-', '_' and blanks, not starting with '-', 1 to 8 characters",
    |s| scsi_text(s, 8)
);

text_type!(
    /// Product of a SCSI disk as the guest reads it.
    ScsiProduct, "SCSI product", "letters, digits, '-', '_' and blanks, not starting with '-', 1 to 16 characters",
    |s| scsi_text(s, 16)
);

fn scsi_text(s: &str, longest: usize) -> bool {
    (1..=longest).contains(&s.len()) && !s.starts_with('-') && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_ ".contains(c))
}

/// Options of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiskOptions {
    /// Disk (absent) or CD-ROM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Host caching.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMode>,
    /// I/O mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aio: Option<Aio>,
    /// Discards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard: Option<Discard>,
    /// Writes of zeroes become discards or holes (absent: yes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_zeroes: Option<bool>,
    /// An I/O thread of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iothread: Option<bool>,
    /// Queues of the controller (SCSI), from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<u16>,
    /// A block device of the host passed through with all of SCSI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scsiblock: Option<bool>,
    /// Shown as an SSD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssd: Option<bool>,
    /// Read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ro: Option<bool>,
    /// Changes are forgotten when the guest stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<bool>,
    /// Part of backups (absent: yes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// Part of replication (absent: yes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicate: Option<bool>,
    /// The volume is there on every node although its storage is not shared; a note for migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// When a read fails (absent: report).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerror: Option<ReadError>,
    /// When a write fails (absent: enospc).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub werror: Option<WriteError>,
    /// Limits of its speed.
    #[serde(skip_serializing_if = "Throttle::is_default")]
    pub throttle: Throttle,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<DiskSerial>,
    /// World-wide name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<Wwn>,
    /// Model (IDE).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<DiskModelName>,
    /// Vendor (SCSI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<ScsiVendor>,
    /// Product (SCSI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ScsiProduct>,
    /// Layout of UEFI variables (efidisk; absent: 2m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efi_type: Option<EfiType>,
    /// The variables begin with the keys of distributions and Microsoft enrolled (efidisk; absent: no).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_enrolled_keys: Option<bool>,
    /// Which certificates are enrolled (efidisk).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms_cert: Option<MsCertificates>,
    /// Version of the TPM (tpmstate; absent: v1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_version: Option<TpmVersion>,
    /// Format as the client wrote it; shown back, the volume's own format counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
    /// Options without a place here; kept, shown and without effect.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub other: std::collections::BTreeMap<super::property::PropertyKey, super::property::PropertyValue>,
}
