//! Reading a configuration file.

use gpve_core::types::Vmid;

use super::{ConfError, ConfFile, Mode, Parsed, Section, check, drive};
use crate::pve2::config::{VmConfig, replace_old_names};

/// Where a line belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Main,
    Pending,
    Special(String),
    Snapshot(String),
    /// A section that Proxmox VE does not know: passed over as a whole.
    Unknown,
}

struct Reader {
    vmid: Vmid,
    mode: Mode,
    file: ConfFile,
    passed_over: Vec<ConfError>,
    place: Place,
    description: Option<String>,
    line: usize,
}

/// Reads a whole file.
pub(super) fn file(vmid: Vmid, text: &str, mode: Mode) -> Result<Parsed, ConfError> {
    let mut reader =
        Reader { vmid, mode, file: ConfFile::default(), passed_over: Vec::new(), place: Place::Main, description: None, line: 0 };
    if text.len() > ConfFile::MAX_BYTES {
        return Err(reader.error(None, format!("the file has more than {} bytes", ConfFile::MAX_BYTES)));
    }
    for (i, line) in text.split('\n').enumerate() {
        reader.line = i + 1;
        reader.line(line)?;
    }
    reader.end_section();
    reader.file.main.values.remove("snapstate");
    Ok(Parsed { file: reader.file, passed_over: reader.passed_over })
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), ConfError> {
        if line.trim_matches(is_blank).is_empty() {
            return Ok(());
        }
        if let Some(name) = heading(line) {
            return self.begin_section(name);
        }
        if self.place == Place::Unknown {
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix('#') {
            let description = self.description.get_or_insert_default();
            description.push_str(&decoded(comment));
            description.push('\n');
            return Ok(());
        }
        self.setting(line)
    }

    fn begin_section(&mut self, name: &str) -> Result<(), ConfError> {
        self.end_section();
        let special = ["cloudinit", "fleecing"].into_iter().find(|s| name.eq_ignore_ascii_case(&format!("special:{s}")));
        self.place = if name.eq_ignore_ascii_case("pending") {
            self.file.pending = Section::default();
            Place::Pending
        } else if let Some(special) = special {
            self.file.special.insert(special.to_owned(), Section::default());
            Place::Special(special.to_owned())
        } else if is_snapshot_name(name) {
            self.file.snapshots.insert(name.to_owned(), Section::default());
            Place::Snapshot(name.to_owned())
        } else {
            self.place = Place::Unknown;
            return self.refuse(None, format!("skipping unknown section: '{name}'"));
        };
        Ok(())
    }

    fn section(&mut self) -> &mut Section {
        match &self.place {
            Place::Main | Place::Unknown => &mut self.file.main,
            Place::Pending => &mut self.file.pending,
            Place::Special(name) => self.file.special.entry(name.clone()).or_default(),
            Place::Snapshot(name) => self.file.snapshots.entry(name.clone()).or_default(),
        }
    }

    /// The comments so far are the description of the section that ends.
    fn end_section(&mut self) {
        if let Some(description) = self.description.take() {
            self.section().description = Some(description.trim_end().to_owned());
        }
        let section = self.section();
        let mut config = VmConfig::default();
        for (key, value) in std::mem::take(&mut section.values) {
            config.set(key, value);
        }
        replace_old_names(&mut config);
        section.values = config.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    }

    fn setting(&mut self, line: &str) -> Result<(), ConfError> {
        let Some((key, value)) = key_and_value(line) else {
            return self.refuse(None, format!("unable to parse config: {line}"));
        };
        match key {
            "description" => {
                let more = decoded(value);
                self.description.get_or_insert_default().push_str(&more);
            }
            "snapstate" if matches!(value, "prepare" | "delete") => self.keep(key, value),
            "args" => self.keep(key, value),
            "delete" if self.place == Place::Pending => self.keep(key, value),
            "delete" => return self.refuse(Some(key), "property 'delete' is only allowed in [PENDING]".to_owned()),
            // Written by the node for its own use: never checked.
            _ if self.place == Place::Special("cloudinit".to_owned()) => self.keep(key, value),
            _ => return self.checked(key, value),
        }
        Ok(())
    }

    fn checked(&mut self, key: &str, value: &str) -> Result<(), ConfError> {
        let fleecing = self.place == Place::Special("fleecing".to_owned());
        let checked = if fleecing { check::fleecing(key, value) } else { check::value(key, value) };
        let value = match checked {
            Ok(value) => value,
            Err(why) => {
                if !fleecing && !check::is_known(key) {
                    self.section().unknown.insert(key.to_owned(), value.to_owned());
                }
                return self.refuse(Some(key), format!("unable to parse value of '{key}' - {why}"));
            }
        };
        let key = if key == "cdrom" { "ide2" } else { key };
        if !drive::is_drive(key) {
            self.keep(key, &value);
            return Ok(());
        }
        match drive::stored(key, &value) {
            Some(value) => {
                self.keep(key, &value);
                Ok(())
            }
            None => self.refuse(Some(key), format!("unable to parse value of '{key}'")),
        }
    }

    fn keep(&mut self, key: &str, value: &str) {
        self.section().values.insert(key.to_owned(), value.to_owned());
    }

    fn refuse(&mut self, key: Option<&str>, reason: String) -> Result<(), ConfError> {
        let error = self.error(key, reason);
        match self.mode {
            Mode::Strict => Err(error),
            Mode::Lenient => {
                self.passed_over.push(error);
                Ok(())
            }
        }
    }

    fn error(&self, key: Option<&str>, reason: String) -> ConfError {
        ConfError { vmid: self.vmid, line: self.line, key: key.map(str::to_owned), reason: reason.trim_end().to_owned() }
    }
}

/// Blanks are those of ASCII; others belong to a value.
pub(super) fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

/// What stands in the brackets of a line that begins a section.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.trim_end_matches(is_blank).strip_suffix(']').filter(|name| !name.contains(']'))
}

fn is_snapshot_name(name: &str) -> bool {
    let rest = name.strip_prefix(|c: char| c.is_ascii_alphabetic());
    rest.is_some_and(|r| !r.is_empty() && r.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)))
}

/// `key: value` with the form of a key that Proxmox VE reads: letters, `-` and `_`, then digits.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_key = stem.starts_with(|c: char| c.is_ascii_lowercase()) && stem.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
    let text = value.trim_matches(is_blank);
    // A blank alone is a value: of `boot` it says that nothing is booted from.
    let value = if text.is_empty() && value.ends_with(is_blank) { " " } else { text };
    (is_key && !value.is_empty()).then_some((key, value))
}

/// Percent-encoded text decoded; what is no UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).filter(|_| bytes[i] == b'%').and_then(|h| std::str::from_utf8(h).ok());
        let byte = hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(byte.unwrap_or(bytes[i]));
        i += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
