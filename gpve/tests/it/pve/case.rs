//! One case: a configuration, what its head says about the host, and the command line or error that is expected.

use std::collections::BTreeSet;
use std::path::Path;

use gpve_api::pve2::conf::{ConfFile, Mode};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::types::ResolvedVm;
use gpve_qmp::qemu::argv::compose::{Composed, compose};

use super::command::Command;
use super::normal;
use super::world::World;

pub(super) struct Case {
    /// File name without ending; in a folder, with the folder.
    pub(super) name: String,
    text: String,
    /// The recorded command line; none where an error is expected.
    expected: Option<String>,
}

impl Case {
    /// Every case of the suite and its folders.
    pub(super) fn all(suite: &Path) -> Vec<Self> {
        let mut cases: Vec<_> = Self::below(suite, "");
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    fn below(folder: &Path, prefix: &str) -> Vec<Self> {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                cases.extend(Self::below(&path, &format!("{prefix}{file}/")));
            } else if let Some(name) = file.strip_suffix(".conf") {
                let expected = std::fs::read_to_string(path.with_file_name(format!("{file}.cmd"))).ok();
                cases.push(Self { name: format!("{prefix}{name}"), text: std::fs::read_to_string(&path).unwrap(), expected });
            }
        }
        cases
    }

    /// What a line `# NAME: value` of the head says.
    pub(super) fn directive(&self, name: &str) -> Option<&str> {
        let head = self.text.lines().take_while(|line| line.starts_with('#'));
        head.filter_map(|line| line.trim_start_matches('#').trim().split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
    }

    /// Compares; the error says what is different.
    pub(super) fn check(&self, suite: &Path) -> Result<(), String> {
        let world = World::read(suite, self);
        let ours = self.compose(&world);
        match (&self.expected, self.directive("EXPECT_ERROR")) {
            (_, Some(theirs)) => match ours {
                Err(error) => self.check_error(&error, theirs),
                Ok(_) => Err(format!("nothing is refused; Proxmox VE: {theirs}")),
            },
            (Some(recorded), None) => {
                let composed = ours.map_err(|error| format!("refused: {} {:?}", error.message, error.fields))?;
                self.check_warning(&composed)?;
                let theirs = normal::theirs(Command::parse(recorded));
                let ours = normal::ours(Command::of(&composed.arguments));
                differences(&ours, &theirs)
            }
            (None, None) => Err("there is neither a command line nor an error to compare with".to_owned()),
        }
    }

    /// A configuration of one's own, without an expectation.
    pub(super) fn of_text(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, expected: None }
    }

    /// The machine that the file describes.
    pub(super) fn machine(&self, world: &World) -> Result<ResolvedVm, Error> {
        let vmid = world.vmid();
        let parsed = ConfFile::parse(vmid, &self.text, Mode::Lenient)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, "conf", error.to_string()))?;
        if let Some(line) = parsed.passed_over.first() {
            return Err(Error::field("conf", line.key.clone().unwrap_or_default(), line.reason.clone()));
        }
        let definition = parsed.file.main.define()?;
        definition.spec.resolve(vmid, definition.name.as_ref())
    }

    fn compose(&self, world: &World) -> Result<Composed, Error> {
        let vm = self.machine(world)?;
        world.storages_allow(&vm)?;
        let host = world.host(&vm).map_err(|refusal| refusal.into_error("host"))?;
        compose(&vm, &host).map_err(|refusal| refusal.into_error("compose"))
    }

    /// An error is of the same thing if it names a setting that the configuration has, or the host's QEMU.
    fn check_error(&self, error: &Error, theirs: &str) -> Result<(), String> {
        let kinds = [ErrorKind::InvalidInput, ErrorKind::FailedPrecondition, ErrorKind::Unsupported];
        // What is wrong with a storage is told by its name.
        let storage = error.message.split('\'').nth(1).filter(|name| self.text.contains(&format!("{name}:")));
        let named = error.fields.iter().map(|field| field.field.as_str()).chain(error.message.split(':').next());
        let settings: BTreeSet<_> = self.text.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
        let is_known = |field: &str| field == "qemu" || settings.contains(field.split('.').next().unwrap_or_default());
        if kinds.contains(&error.kind) && (storage.is_some() || named.into_iter().any(is_known)) {
            return Ok(());
        }
        Err(format!("refused for something else: {:?} {} {:?}; Proxmox VE: {theirs}", error.kind, error.message, error.fields))
    }

    fn check_warning(&self, composed: &Composed) -> Result<(), String> {
        match self.directive("EXPECT_WARN").or_else(|| self.directive("EXPECT_WARNING")) {
            Some(theirs) if composed.warnings.is_empty() => Err(format!("no warning; Proxmox VE: {theirs}")),
            _ => Ok(()),
        }
    }
}

/// Both as multisets of switches.
fn differences(ours: &[String], theirs: &[String]) -> Result<(), String> {
    let without = |all: &[String], others: &[String]| {
        let mut others = others.to_vec();
        let left = all.iter().filter(|one| match others.iter().position(|other| other == *one) {
            Some(at) => {
                others.swap_remove(at);
                false
            }
            None => true,
        });
        left.cloned().collect::<Vec<_>>()
    };
    let (missing, extra) = (without(theirs, ours), without(ours, theirs));
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let lines = missing.iter().map(|line| format!("  - {line}")).chain(extra.iter().map(|line| format!("  + {line}")));
    Err(lines.collect::<Vec<_>>().join("\n"))
}
