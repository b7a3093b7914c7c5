//! Processors of a virtual machine.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::numa::NumaNode;
use super::ranges::CpuSet;
use super::text::{TextError, only, serde_as_text, starts_alnum, text_type};
use super::unit::Millicores;

text_type!(
    /// A CPU model's name as QEMU knows it (`host`, `kvm64`, `x86-64-v2-AES`), or a custom model (`custom-NAME`).
    CpuModel, "CPU model", "letters, digits, '-', '_' and '.', at most 64 characters",
    |s| !s.is_empty() && s.len() <= 64 && starts_alnum(s) && only(s, "-_.") && !s.contains("..")
);

text_type!(
    /// What the guest reads as the hypervisor's vendor, for drivers that look for it.
    HvVendorId, "hypervisor vendor id", "1 to 12 letters and digits",
    |s| (1..=12).contains(&s.len()) && only(s, "")
);

/// Bits of physical addresses that the guest is told of. Text form `host` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhysBits {
    /// As many as the host has.
    Host,
    /// This many, 8 to 64.
    Bits(u8),
}

impl FromStr for PhysBits {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "number of address bits", "'host' or an integer from 8 to 64");
        if s == "host" {
            return Ok(Self::Host);
        }
        let plain = s.bytes().all(|b| b.is_ascii_digit()) && !s.starts_with('0');
        let bits = s.parse::<u8>().ok().filter(|n| plain && (8..=64).contains(n));
        bits.map(Self::Bits).ok_or_else(refused)
    }
}

impl fmt::Display for PhysBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Bits(n) => n.fmt(f),
        }
    }
}

serde_as_text!(PhysBits);

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
    /// What the guest reads as the hypervisor's vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hv_vendor_id: Option<HvVendorId>,
    /// Bits of physical addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phys_bits: Option<PhysBits>,
    /// Bits of physical addresses that the guest's page tables may use, 32 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_phys_bits: Option<u8>,
    /// Model that the guest reads, where a custom model is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_model: Option<CpuModel>,
    /// Largest CPUID leaf that the guest may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    /// Processors of the host that the guest runs on; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<CpuSet>,
    /// CPU time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<CpuLimit>,
    /// Relative weight among guests, 1 to 262144; absent means the cgroup's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// Show NUMA nodes to the guest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub numa: bool,
    /// The NUMA nodes by number, 0 to 7; empty: one per socket.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub numa_nodes: BTreeMap<u8, NumaNode>,
}

impl Default for CpuSpec {
    fn default() -> Self {
        Self {
            sockets: 1,
            cores: 1,
            vcpus: None,
            model: None,
            flags: Vec::new(),
            hidden: false,
            hv_vendor_id: None,
            phys_bits: None,
            guest_phys_bits: None,
            reported_model: None,
            level: None,
            affinity: None,
            limit: None,
            units: None,
            numa: false,
            numa_nodes: BTreeMap::new(),
        }
    }
}

impl CpuSpec {
    /// Most NUMA nodes of a guest: PVE's number.
    pub const NUMA_NODES: u8 = 8;

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
