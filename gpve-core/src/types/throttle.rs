//! Limits of a disk's speed.

use serde::{Deserialize, Serialize};

/// One limit. A disk may exceed it up to the burst, for the length of a burst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rate {
    /// Per second; absent or 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Per second in a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// How long a burst may last, in seconds, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_seconds: Option<u32>,
}

impl Rate {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of one kind: of reads and writes together, or of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rates {
    /// Reads and writes together; excludes the others.
    #[serde(skip_serializing_if = "Rate::is_default")]
    pub total: Rate,
    /// Reads.
    #[serde(skip_serializing_if = "Rate::is_default")]
    pub read: Rate,
    /// Writes.
    #[serde(skip_serializing_if = "Rate::is_default")]
    pub write: Rate,
}

impl Rates {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a limit of both together stands beside one of either.
    fn is_ambiguous(&self) -> bool {
        let limited = |n: Option<u64>| n.unwrap_or(0) > 0;
        limited(self.total.limit) && (limited(self.read.limit) || limited(self.write.limit))
            || limited(self.total.burst) && (limited(self.read.burst) || limited(self.write.burst))
    }
}

/// Limits of a disk's speed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// In bytes per second.
    #[serde(skip_serializing_if = "Rates::is_default")]
    pub bytes: Rates,
    /// In operations per second.
    #[serde(skip_serializing_if = "Rates::is_default")]
    pub operations: Rates,
}

impl Throttle {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it, if something is.
    pub fn problem(&self) -> Option<&'static str> {
        let rates = [&self.bytes, &self.operations];
        if rates.iter().any(|r| r.is_ambiguous()) {
            return Some("a limit of reads and writes together excludes limits of either");
        }
        let too_short = rates.iter().flat_map(|r| [r.total, r.read, r.write]).any(|r| r.burst_seconds == Some(0));
        too_short.then_some("a burst lasts 1 second or more")
    }
}
