//! Memory of a virtual machine.

use serde::{Deserialize, Serialize};

use super::unit::MemMib;

/// Memory asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemorySpec {
    /// The most the guest can have (`8Gi`).
    pub size: MemMib,
    /// Balloon device and its lower bound.
    #[serde(default, skip_serializing_if = "Ballooning::is_default")]
    pub ballooning: Ballooning,
    /// Weight in automatic ballooning, 0 to 50000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<u32>,
}

impl MemorySpec {
    /// `size` with a balloon device that nobody inflates.
    pub fn of(size: MemMib) -> Self {
        Self { size, ballooning: Ballooning::default(), shares: None }
    }
}

/// The balloon device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ballooning {
    /// The device is there and the target is the full size.
    #[default]
    On,
    /// No device.
    Off,
    /// The device is there and may shrink the guest to this size.
    Min(MemMib),
}

impl Ballooning {
    fn is_default(&self) -> bool {
        *self == Self::On
    }
}
