//! Quantities with their unit in the type.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use super::text::{TextError, serde_as_text};

/// A size in bytes. Text form is Kubernetes' (`8Gi`, `512Mi`, `1000`); PVE's single letters (`8G`) are read as the same
/// binary units. Decimal units (`8GB`) are refused rather than guessed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(u64);

const ALLOWED_SIZE: &str = "a whole number with an optional unit Ki, Mi, Gi, Ti or Pi (or K, M, G, T, P), below 8 EiB";
const UNITS: [(char, u32); 5] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50)];

impl ByteSize {
    /// No bytes.
    pub const ZERO: ByteSize = ByteSize(0);

    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From KiB; saturates.
    pub const fn from_kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// From MiB; saturates.
    pub const fn from_mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// From GiB; saturates.
    pub const fn from_gib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 30))
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Rounded up to a multiple of `unit` bytes.
    #[must_use]
    pub fn round_up(self, unit: u64) -> Self {
        Self(self.0.div_ceil(unit.max(1)).saturating_mul(unit.max(1)))
    }

    /// The largest unit that divides the size, as PVE prints it: `1G`, `512M`, `64K`, or plain bytes.
    pub fn pve(self) -> String {
        let (n, unit) = self.largest_unit();
        match unit {
            Some(u) => format!("{n}{u}"),
            None => n.to_string(),
        }
    }

    fn largest_unit(self) -> (u64, Option<char>) {
        let fits = UNITS.iter().rev().find(|(_, shift)| self.0 != 0 && self.0.is_multiple_of(1 << shift));
        match fits {
            Some((unit, shift)) => (self.0 >> shift, Some(*unit)),
            None => (self.0, None),
        }
    }
}

impl Add for ByteSize {
    type Output = ByteSize;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for ByteSize {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for ByteSize {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "size", ALLOWED_SIZE);
        let digits = s.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        let n: u64 = digits.parse().map_err(|_| refused())?;
        let unit = &s[digits.len()..];
        let shift = match unit.strip_suffix('i').unwrap_or(unit) {
            "" if unit.is_empty() => 0,
            u => UNITS.iter().find(|(name, _)| u.len() == 1 && u.starts_with(*name)).ok_or_else(refused)?.1,
        };
        let bytes = n.checked_mul(1 << shift).filter(|b| *b < 1 << 63).ok_or_else(refused)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.largest_unit() {
            (n, Some(u)) => write!(f, "{n}{u}i"),
            (n, None) => n.fmt(f),
        }
    }
}

serde_as_text!(ByteSize);

/// Guest memory in MiB, `16..=16_777_216` (16 TiB). Text form is that of [`ByteSize`] and must be whole MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemMib(u32);

const ALLOWED_MEM: &str = "whole MiB from 16Mi to 16Ti";

impl MemMib {
    /// 512 MiB: what a guest of Proxmox VE gets that says nothing about it.
    pub const DEFAULT: MemMib = MemMib(512);

    /// The number of MiB.
    pub fn get(self) -> u32 {
        self.0
    }

    /// In bytes.
    pub fn bytes(self) -> ByteSize {
        ByteSize::from_mib(u64::from(self.0))
    }
}

impl TryFrom<u64> for MemMib {
    type Error = TextError;
    fn try_from(mib: u64) -> Result<Self, TextError> {
        match u32::try_from(mib) {
            Ok(n) if (16..=16 << 20).contains(&n) => Ok(Self(n)),
            _ => Err(TextError::new(&format!("{mib}Mi"), "memory size", ALLOWED_MEM)),
        }
    }
}

impl FromStr for MemMib {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let bytes = s.parse::<ByteSize>()?.bytes();
        if bytes % (1 << 20) != 0 {
            return Err(TextError::new(s, "memory size", ALLOWED_MEM));
        }
        (bytes >> 20).try_into()
    }
}

impl fmt::Display for MemMib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

serde_as_text!(MemMib);

/// CPU time per second in thousandths of a core: `1500` is one and a half cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Millicores(u32);

impl Millicores {
    /// From thousandths of a core.
    pub const fn new(n: u32) -> Self {
        Self(n)
    }

    /// From whole cores; saturates.
    pub const fn from_cores(n: u32) -> Self {
        Self(n.saturating_mul(1000))
    }

    /// Thousandths of a core.
    pub const fn get(self) -> u32 {
        self.0
    }
}
