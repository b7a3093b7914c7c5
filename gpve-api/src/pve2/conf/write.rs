//! Printing a configuration file in Proxmox VE's form.

use std::fmt;

use gpve_core::types::VolumeName;

use super::{ConfFile, Section, check, drive};

impl fmt::Display for ConfFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut main = self.main.clone();
        // A volume that is in a drive is not unused.
        let used: Vec<String> = main.values.iter().filter_map(|(k, v)| drive::file(k, v)).collect();
        main.values.retain(|key, value| !key.starts_with("unused") || !used.contains(value));
        section(f, &main, false)?;
        if !self.pending.values.is_empty() || self.pending.description.is_some() {
            f.write_str("\n[PENDING]\n")?;
            section(f, &self.pending, true)?;
        }
        for (name, special) in self.special.iter().filter(|(_, s)| !s.values.is_empty()) {
            if name == "cloudinit" && !has_cloud_init_drive(&main) {
                continue;
            }
            write!(f, "\n[special:{name}]\n")?;
            description(f, special, false)?;
            special.values.iter().try_for_each(|(key, value)| writeln!(f, "{key}: {value}"))?;
        }
        for (name, snapshot) in &self.snapshots {
            write!(f, "\n[{name}]\n")?;
            section(f, snapshot, false)?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, section: &Section, pending: bool) -> fmt::Result {
    description(f, section, pending)?;
    section.values.iter().try_for_each(|(key, value)| writeln!(f, "{key}: {}", check::printed(key, value)))
}

fn description(f: &mut fmt::Formatter<'_>, section: &Section, pending: bool) -> fmt::Result {
    match section.description.as_deref() {
        // A pending removal of the description.
        Some("") if pending => f.write_str("#\n"),
        Some("") | None => Ok(()),
        Some(text) => text.trim_end_matches('\n').split('\n').try_for_each(|line| writeln!(f, "#{}", encoded(line))),
    }
}

fn has_cloud_init_drive(main: &Section) -> bool {
    // `STORAGE:cloudinit` is one that was not made yet.
    let is_named = |name: &str| name == "cloudinit" || name.parse().is_ok_and(|name: VolumeName| name.cloud_init_of().is_some());
    let is_cloud_init = |volume: &str| volume.split_once(':').is_some_and(|(_, name)| is_named(name));
    main.values
        .iter()
        .any(|(key, value)| drive::is_drive(key) && drive::is_cdrom(value) && drive::file(key, value).is_some_and(|v| is_cloud_init(&v)))
}

/// A line of a description: control characters, `%`, `:` and everything beyond ASCII are percent-encoded.
fn encoded(line: &str) -> String {
    let plain = |b: u8| matches!(b, 0x20..=0x7e) && b != b'%' && b != b':';
    line.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
