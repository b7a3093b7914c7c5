//! Drives in a configuration file.

use crate::pve2::config::{as_stored, option};
use crate::pve2::property::PropertyString;
use crate::route::{Kind, PropertyFormat};

fn form(key: &str) -> Option<&'static PropertyFormat> {
    match option(key).map(|p| p.kind) {
        Some(Kind::Property(form)) if is_drive(key) => Some(form),
        _ => None,
    }
}

/// Whether a setting is a drive of Proxmox VE's.
pub(super) fn is_drive(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(stem, "ide" | "scsi" | "virtio" | "sata" | "efidisk" | "tpmstate") && option(key).is_some()
}

/// The volume in a drive.
pub(super) fn file(key: &str, value: &str) -> Option<String> {
    PropertyString::parse(form(key)?, value).ok()?.take("file")
}

/// Whether a drive is a CD-ROM drive.
pub(super) fn is_cdrom(value: &str) -> bool {
    value.split(',').any(|part| part.trim() == "media=cdrom")
}

/// The text of a drive as it is stored, its parts in order. None for a drive that makes no sense.
pub(super) fn stored(key: &str, value: &str) -> Option<String> {
    let parts = PropertyString::parse(form(key)?, value).ok()?;
    let set = |name: &str| parts.get(name).is_some_and(|v| v != "0");
    let both = |total: &str| set(total) && (set(&total.replacen("ps", "ps_rd", 1)) || set(&total.replacen("ps", "ps_wr", 1)));
    let twice = ["", "_rd", "_wr"].iter().any(|way| set(&format!("bps{way}")) && set(&format!("mbps{way}")));
    let cdrom = parts.get("media") == Some("cdrom") && (set("snapshot") || parts.get("format").is_some() || key.starts_with("virtio"));
    if ["mbps", "mbps_max", "iops", "iops_max"].iter().any(|total| both(total)) || twice || cdrom {
        return None;
    }
    Some(as_stored(key, value))
}
