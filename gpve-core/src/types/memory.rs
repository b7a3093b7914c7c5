//! Memory of a virtual machine.

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::unit::MemMib;

words!(
    /// Size of the pages of the host that back the guest's memory.
    Hugepages, "huge pages", "one of any, 2, 1024", {
        /// The largest that the host has and that divides the memory.
        Any = "any",
        /// 2 MiB.
        TwoMib = "2",
        /// 1 GiB.
        OneGib = "1024",
    }
);

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
    /// Huge pages of the host; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugepages: Option<Hugepages>,
    /// Huge pages stay allocated when the guest stops; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hugepages: Option<bool>,
    /// The host may share equal pages of guests; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_ksm: Option<bool>,
}

impl MemorySpec {
    /// `size` with a balloon device that nobody inflates.
    pub fn of(size: MemMib) -> Self {
        Self { size, ballooning: Ballooning::default(), shares: None, hugepages: None, keep_hugepages: None, allow_ksm: None }
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
