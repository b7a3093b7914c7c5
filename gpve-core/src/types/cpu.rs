//! Processors of a virtual machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{TextError, only, serde_as_text, starts_alnum, text_type};
use super::unit::Millicores;

text_type!(
    /// A CPU model's name as QEMU knows it (`host`, `kvm64`, `x86-64-v2-AES`), or a custom model (`custom-NAME`).
    CpuModel, "CPU model", "letters, digits, '-', '_' and '.', at most 64 characters",
    |s| !s.is_empty() && s.len() <= 64 && starts_alnum(s) && only(s, "-_.") && !s.contains("..")
);

/// The most CPU time per second that a guest may use. Text form is cores as a decimal (`1.5`), up to three decimals;
/// `0` (no limit) is not a value of this type but its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CpuLimit(Millicores);

const ALLOWED_LIMIT: &str = "a number of cores above 0 and up to 128, with at most three decimals";

impl CpuLimit {
    /// The limit.
    pub fn get(self) -> Millicores {
        self.0
    }
}

impl TryFrom<Millicores> for CpuLimit {
    type Error = TextError;
    fn try_from(m: Millicores) -> Result<Self, TextError> {
        if (1..=128_000).contains(&m.get()) { Ok(Self(m)) } else { Err(TextError::new(&m.get().to_string(), "CPU limit", ALLOWED_LIMIT)) }
    }
}

impl FromStr for CpuLimit {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "CPU limit", ALLOWED_LIMIT);
        let (whole, frac) = s.split_once('.').unwrap_or((s, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || frac.len() > 3 || !digits(whole) || !digits(frac) {
            return Err(refused());
        }
        let milli: u32 = format!("{frac:0<3}").parse().map_err(|_| refused())?;
        let cores: u32 = whole.parse().map_err(|_| refused())?;
        Millicores::new(cores * 1000 + milli).try_into().map_err(|_| refused())
    }
}

impl fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cores, milli) = (self.0.get() / 1000, self.0.get() % 1000);
        if milli == 0 {
            return cores.fmt(f);
        }
        write!(f, "{cores}.{}", format!("{milli:03}").trim_end_matches('0'))
    }
}

serde_as_text!(CpuLimit);

/// Processors asked for. Limits: at most 4 sockets × 128 cores, as PVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CpuSpec {
    /// Sockets, 1 to 4.
    pub sockets: u8,
    /// Cores per socket, 1 to 128.
    pub cores: u16,
    /// Processors plugged at start, if fewer than sockets × cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u16>,
    /// Model; absent means the accelerator's default (`host` under KVM with one node, else a portable one).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub model: Option<CpuModel>,
    /// Features switched on (`+aes`) or off (`-pcid`), in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<CpuFlag>,
    /// Hide the hypervisor from the guest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// CPU time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<CpuLimit>,
    /// Relative weight among guests, 1 to 262144; absent means the cgroup's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// Show NUMA nodes to the guest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub numa: bool,
}

impl Default for CpuSpec {
    fn default() -> Self {
        Self { sockets: 1, cores: 1, vcpus: None, model: None, flags: Vec::new(), hidden: false, limit: None, units: None, numa: false }
    }
}

impl CpuSpec {
    /// All processors: sockets × cores.
    pub fn total(&self) -> u16 {
        u16::from(self.sockets) * self.cores
    }
}

/// One CPU feature switched on or off. Text form `+aes`, `-pcid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CpuFlag {
    /// Switched on.
    pub on: bool,
    name: String,
}

impl CpuFlag {
    /// QEMU's name of the feature.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for CpuFlag {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "CPU flag", "'+' or '-' and a feature name of letters, digits, '-', '_' and '.'");
        let name = s.strip_prefix(['+', '-']).ok_or_else(refused)?;
        if name.is_empty() || name.len() > 64 || !starts_alnum(name) || !only(name, "-_.") || name.contains("..") {
            return Err(refused());
        }
        Ok(Self { on: s.starts_with('+'), name: name.to_owned() })
    }
}

impl fmt::Display for CpuFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.on { '+' } else { '-' }, self.name)
    }
}

serde_as_text!(CpuFlag);
