use std::collections::BTreeSet;
use std::path::PathBuf;

use gpve_core::error::{Error, Result};
use gpve_core::ports::ContentKind;
use gpve_core::types::StorageId;
use serde::{Deserialize, Serialize};

use crate::image::Preallocation;

/// Configuration of a directory storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DirConfig {
    /// Its name.
    pub id: StorageId,
    /// The directory, absolute.
    pub path: PathBuf,
    /// What it holds; all that a directory can, unless given.
    #[serde(default = "DirConfig::all_contents")]
    pub content: BTreeSet<ContentKind>,
    /// Every node sees the same files.
    #[serde(default)]
    pub shared: bool,
    /// Not active while nothing is mounted at `path`, so that an absent disk is not taken for an empty one.
    #[serde(default)]
    pub is_mountpoint: bool,
    /// Makes `path` when it is missing; directories below it are always made when needed.
    #[serde(default = "DirConfig::yes")]
    pub mkdir: bool,
    /// Space taken at once by new disks.
    #[serde(default)]
    pub preallocation: Preallocation,
}

impl DirConfig {
    /// A storage `id` at `path` with every default.
    pub fn new(id: StorageId, path: impl Into<PathBuf>) -> Self {
        Self {
            id,
            path: path.into(),
            content: Self::all_contents(),
            shared: false,
            is_mountpoint: false,
            mkdir: true,
            preallocation: Preallocation::default(),
        }
    }

    pub(crate) fn checked(self) -> Result<Self> {
        const OP: &str = "storage.register";
        if !self.path.is_absolute() || self.path.components().any(|part| part == std::path::Component::ParentDir) {
            let reason = format!("'{}' is not an absolute path without '..'", self.path.display());
            return Err(Error::field(OP, "path", reason).on(&self.id));
        }
        if self.path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
            return Err(Error::field(OP, "path", "control characters are not allowed").on(&self.id));
        }
        if self.content.is_empty() {
            return Err(Error::field(OP, "content", "at least one content type is needed").on(&self.id));
        }
        Ok(self)
    }

    fn all_contents() -> BTreeSet<ContentKind> {
        ContentKind::ALL.into_iter().collect()
    }

    const fn yes() -> bool {
        true
    }
}
