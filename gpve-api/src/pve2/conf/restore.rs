//! Rewriting the configuration in a backup for the guest that is restored from it.

use std::collections::BTreeMap;

use gpve_core::types::{MacAddr, VolumeId};
use uuid::Uuid;

use crate::pve2::config::{as_stored, option};
use crate::pve2::property::PropertyString;
use crate::route::Kind;
use crate::routes::properties as forms;

/// One drive of a backup: `#qmdump#map:DRIVE:NAME:STORAGE:FORMAT:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedDrive {
    /// The drive (`scsi0`).
    pub drive: String,
    /// The storage it was on; may be empty.
    pub storage: String,
    /// The format it had; empty is raw.
    pub format: String,
}

/// The drives that a backup holds, in its order.
pub fn device_map(text: &str) -> Vec<MappedDrive> {
    let mapped = |line: &str| {
        let fields: Vec<&str> = line.strip_prefix("#qmdump#map:")?.strip_suffix(':')?.split(':').collect();
        match fields.as_slice() {
            [drive, _, storage, format] if !drive.is_empty() => {
                Some(MappedDrive { drive: (*drive).to_owned(), storage: (*storage).to_owned(), format: (*format).to_owned() })
            }
            _ => None,
        }
    };
    text.lines().filter_map(mapped).collect()
}

/// New identities for a guest that shall live beside the one that was backed up.
pub struct Unique<'a> {
    /// A new address for each card.
    pub mac: &'a mut dyn FnMut() -> MacAddr,
    /// The new system UUID.
    pub uuid: Uuid,
}

/// How a configuration is rewritten.
pub struct Restore<'a> {
    /// The new volume of each drive that is restored.
    pub volumes: &'a BTreeMap<String, VolumeId>,
    /// The new generation id; a guest without one gets none.
    pub generation_id: Uuid,
    /// New identities; none: cards keep their addresses and the guest its UUID.
    pub unique: Option<Unique<'a>>,
}

impl Restore<'_> {
    /// Rewrites `text`, the configuration in a backup: drives get their new volumes, those that were not backed up
    /// become comments, and what belongs to the old node goes.
    pub fn rewrite(mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut cards = 0;
        for line in text.split_inclusive('\n') {
            out.push_str(&self.line(line, &mut cards));
        }
        out
    }

    fn line(&mut self, line: &str, cards: &mut u32) -> String {
        let gone = ["#qmdump#", "#vzdump#", "lock:", "parent:"];
        let unused = |l: &str| l.split_once(':').is_some_and(|(key, _)| numbered(key, "unused"));
        if gone.iter().any(|start| line.starts_with(start)) || unused(line) {
            return String::new();
        }
        let Some((key, rest)) = line.split_once(':') else { return line.to_owned() };
        let value = rest.trim();
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let word = !value.is_empty() && !value.contains(char::is_whitespace);
        let rewritten = match stem {
            "vlan" if numbered(key, stem) && word => return old_cards(&key[stem.len()..], value, cards, &mut self.unique),
            "ide" | "scsi" | "virtio" | "sata" | "efidisk" | "tpmstate" if numbered(key, stem) && word => {
                return self.drive(line, key, value);
            }
            "net" if numbered(key, stem) && word => self.unique.as_mut().and_then(|u| card(value, (u.mac)())),
            "vmgenid" if value != "0" => Some(self.generation_id.to_string()),
            "smbios" => self.unique.as_ref().and_then(|u| with_uuid(value, u.uuid)),
            _ => None,
        };
        rewritten.map_or_else(|| line.to_owned(), |value| format!("{key}: {value}\n"))
    }

    fn drive(&self, line: &str, key: &str, value: &str) -> String {
        let Some(Kind::Property(form)) = option(key).map(|p| p.kind) else { return line.to_owned() };
        let Ok(mut parts) = PropertyString::parse(form, value) else { return line.to_owned() };
        if parts.flag("backup") == Some(false) {
            return format!("#{line}");
        }
        let Some(volume) = self.volumes.get(key) else { return line.to_owned() };
        parts.take("format");
        let _ = parts.set("file", &volume.to_string());
        format!("{key}: {}\n", as_stored(key, &parts.to_string()))
    }
}

fn numbered(key: &str, stem: &str) -> bool {
    key.strip_prefix(stem).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn card(value: &str, mac: MacAddr) -> Option<String> {
    let mut parts = PropertyString::parse(&forms::NET, value).ok()?;
    parts.get("macaddr")?;
    parts.set("macaddr", &mac.to_string()).ok()?;
    Some(parts.to_string())
}

fn with_uuid(value: &str, uuid: Uuid) -> Option<String> {
    let mut parts = PropertyString::parse(&forms::SMBIOS, value).ok()?;
    parts.set("uuid", &uuid.to_string()).ok()?;
    Some(parts.to_string())
}

/// Cards as Proxmox VE 1 wrote them: `vlan0: MODEL=MAC,MODEL` on bridge `vmbr0`.
fn old_cards(bridge: &str, value: &str, cards: &mut u32, unique: &mut Option<Unique<'_>>) -> String {
    let mut out = String::new();
    for text in crate::route::split_list(value) {
        let (model, mac) = text.split_once('=').map_or((text, None), |(model, mac)| (model, Some(mac.to_owned())));
        let mac = unique.as_mut().map(|u| (u.mac)().to_string()).or(mac);
        let shown = mac.map_or_else(|| model.to_owned(), |mac| format!("{model}={mac}"));
        out.push_str(&format!("net{cards}: {shown},bridge=vmbr{bridge}\n"));
        *cards += 1;
    }
    out
}
