//! Settings that a client may store and read back, and that this version does not act on.

use super::text::{TextError, only, text_type};

text_type!(
    /// The key of such a setting (`hookscript`, `ciuser`), as Proxmox VE names it.
    PropertyKey, "property", "lower-case letters, digits, '-' and '_', starting with a letter, at most 64 characters",
    |s| !s.is_empty() && s.len() <= 64 && s.starts_with(|c: char| c.is_ascii_lowercase()) && only(s, "-_")
);

impl PropertyKey {
    /// True for what a dialect keeps for itself (`pve-…`): no setting, so that nobody misses its effect.
    pub fn is_note(&self) -> bool {
        self.as_str().starts_with("pve-")
    }
}

/// The value of such a setting: text without NUL, at most 16 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PropertyValue(String);

impl PropertyValue {
    /// The longest value in bytes: PVE's longest text option (`description`) is 8 KiB; twice that.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PropertyValue {
    type Error = TextError;
    fn try_from(s: String) -> Result<Self, TextError> {
        if s.len() > Self::MAX_BYTES || s.contains('\0') {
            return Err(TextError::new(&s, "property value", "text without NUL of at most 16384 bytes"));
        }
        Ok(Self(s))
    }
}

impl From<PropertyValue> for String {
    fn from(v: PropertyValue) -> String {
        v.0
    }
}
