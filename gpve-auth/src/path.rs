//! Object paths that privileges are granted on: `/`, `/vms/100`, `/storage/local`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Deepest path that is accepted; Proxmox VE's deepest has five components.
const MAX_COMPONENTS: usize = 8;
const MAX_PATH_BYTES: usize = 256;

/// A path was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid ACL path '{0}': an absolute path of at most {MAX_COMPONENTS} components of letters, digits and ._-@:")]
pub struct PathError(String);

/// An absolute, normalized path: no empty component, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// `/`
    pub fn root() -> Self {
        Self("/".into())
    }

    /// `/vms/{vmid}`
    pub fn vm(vmid: u32) -> Self {
        Self(format!("/vms/{vmid}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path and every path above it, nearest first, ending with `/`.
    pub fn ancestry(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(self.0.as_str());
        std::iter::from_fn(move || {
            let here = rest?;
            rest = match here.rfind('/') {
                _ if here == "/" => None,
                Some(0) => Some("/"),
                Some(at) => Some(&here[..at]),
                None => None,
            };
            Some(here)
        })
    }
}

impl FromStr for ObjectPath {
    type Err = PathError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let refuse = || PathError(s.chars().take(MAX_PATH_BYTES).collect());
        if !s.starts_with('/') || s.len() > MAX_PATH_BYTES {
            return Err(refuse());
        }
        let parts: Vec<&str> = s.split('/').filter(|p| !p.is_empty()).collect();
        let fine = |p: &&str| *p != ".." && *p != "." && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@:".contains(&b));
        if parts.len() > MAX_COMPONENTS || !parts.iter().all(fine) {
            return Err(refuse());
        }
        Ok(Self(format!("/{}", parts.join("/"))))
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
