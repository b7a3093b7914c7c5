//! SMBIOS system information.

use serde::{Deserialize, Serialize};

use super::text::text_type;

text_type!(
    /// A text of the system information.
    SmbiosText, "SMBIOS text", "text without control characters, 1 to 256 bytes",
    |s| !s.is_empty() && s.len() <= 256 && !s.contains(char::is_control)
);

/// SMBIOS system information beside the UUID (type 1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SmbiosSpec {
    /// Manufacturer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<SmbiosText>,
    /// Product name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<SmbiosText>,
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<SmbiosText>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<SmbiosText>,
    /// Stock-keeping unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<SmbiosText>,
    /// Family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<SmbiosText>,
}

impl SmbiosSpec {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
