//! PCI devices and folders of the host that a virtual machine gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::text::{TextError, only, serde_as_text, text_type};

text_type!(
    /// The name of a device or folder mapping of the cluster.
    MappingId, "mapping id", "a letter, then letters, digits, '-' and '_', 2 to 128 characters",
    |s| (2..=128).contains(&s.len()) && s.starts_with(|c: char| c.is_ascii_alphabetic()) && only(s, "-_")
);

/// A PCI device of the host, or one function of it. Text form `[DOMAIN:]BUS:DEVICE[.FUNCTION]` in hex; domain 0 is not
/// printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: Option<u8>,
}

impl PciAddress {
    /// The PCI domain; 0 on most hosts.
    pub fn domain(self) -> u32 {
        self.domain
    }

    /// Bus and device number.
    pub fn bus_device(self) -> (u8, u8) {
        (self.bus, self.device)
    }

    /// The function; none means every function of the device.
    pub fn function(self) -> Option<u8> {
        self.function
    }

    /// As in sysfs: `0000:01:00.0`; without function, `0000:01:00`.
    pub fn sysfs(self) -> String {
        let function = self.function.map(|f| format!(".{f:x}")).unwrap_or_default();
        format!("{:04x}:{:02x}:{:02x}{function}", self.domain, self.bus, self.device)
    }
}

impl FromStr for PciAddress {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "PCI address", "[DOMAIN:]BUS:DEVICE[.FUNCTION] in hex, such as 01:00.0");
        let hex = |t: &str, min: usize, max: usize| {
            let digits = (min..=max).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u32::from_str_radix(t, 16).ok()).flatten()
        };
        let (address, function) = s.split_once('.').map_or((s, None), |(a, f)| (a, Some(f)));
        let function = function.map(|f| hex(f, 1, 1).ok_or_else(refused)).transpose()?;
        let (rest, device) = address.rsplit_once(':').ok_or_else(refused)?;
        let (domain, bus) = rest.rsplit_once(':').map_or((None, rest), |(d, b)| (Some(d), b));
        let domain = domain.map_or(Ok(0), |d| hex(d, 4, 8).ok_or_else(refused))?;
        let byte = |n: u32| u8::try_from(n).map_err(|_| refused());
        Ok(Self {
            domain,
            bus: byte(hex(bus, 2, 2).ok_or_else(refused)?)?,
            device: byte(hex(device, 2, 2).ok_or_else(refused)?)?,
            function: function.map(byte).transpose()?,
        })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.domain != 0 {
            write!(f, "{:04x}:", self.domain)?;
        }
        write!(f, "{:02x}:{:02x}", self.bus, self.device)?;
        self.function.map_or(Ok(()), |function| write!(f, ".{function:x}"))
    }
}

serde_as_text!(PciAddress);

text_type!(
    /// A type of mediated device (`nvidia-63`), or the profile of a virtual function.
    MdevType, "mediated device type", "letters, digits and '-_.+', at most 128 characters",
    |s| !s.is_empty() && s.len() <= 128 && !s.starts_with(['-', '.']) && only(s, "-_.+") && !s.contains("..")
);

text_type!(
    /// A ROM file in the host's folder of QEMU ROMs.
    RomFile, "ROM file", "a file name of letters, digits and '-_.', not starting with '-' or '.', at most 255 characters",
    |s| !s.is_empty() && s.len() <= 255 && !s.starts_with(['-', '.']) && only(s, "-_.") && !s.contains("..")
);

/// A PCI vendor or device number. Text form `0x10de`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciNumber(u16);

impl PciNumber {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for PciNumber {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let digits = s.strip_prefix("0x").filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|d| u16::from_str_radix(d, 16).ok());
        number.map(Self).ok_or_else(|| TextError::new(s, "PCI number", "0x and four hex digits"))
    }
}

impl fmt::Display for PciNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

serde_as_text!(PciNumber);

words!(
    /// What the host does with its own driver of the device.
    PciDriver, "PCI driver", "one of vfio, keep", {
        /// It is replaced by vfio-pci.
        Vfio = "vfio",
        /// It stays; for devices that have a variant driver of VFIO.
        Keep = "keep",
    }
);

/// Which PCI device the guest gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PciSource {
    /// Devices of the host that become one of the guest; for the administrator only.
    Devices(Vec<PciAddress>),
    /// A free device of those that a mapping of the cluster names.
    Mapping(MappingId),
}

/// A PCI device of the host in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPci {
    /// Which device.
    pub source: PciSource,
    /// Only a mediated device of this type is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdev: Option<MdevType>,
    /// Shown as PCI Express device (q35 only); absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie: Option<bool>,
    /// Its ROM is shown to the guest; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rombar: Option<bool>,
    /// ROM shown instead of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub romfile: Option<RomFile>,
    /// It is the guest's display adapter; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_vga: Option<bool>,
    /// Legacy mode of Intel graphics (pc only); absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_igd: Option<bool>,
    /// Driver on the host; absent: vfio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<PciDriver>,
    /// Vendor shown to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_id: Option<PciNumber>,
    /// Device number shown to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<PciNumber>,
    /// Subsystem vendor shown to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_vendor_id: Option<PciNumber>,
    /// Subsystem device number shown to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_device_id: Option<PciNumber>,
}

impl HostPci {
    /// How many a guest may have: `hostpci0` to `hostpci15`.
    pub const COUNT: u8 = 16;

    /// `source` with every default.
    pub fn of(source: PciSource) -> Self {
        Self {
            source,
            mdev: None,
            pcie: None,
            rombar: None,
            romfile: None,
            x_vga: None,
            legacy_igd: None,
            driver: None,
            vendor_id: None,
            device_id: None,
            sub_vendor_id: None,
            sub_device_id: None,
        }
    }
}

words!(
    /// What of a shared folder the guest may cache.
    ShareCache, "share cache", "one of auto, always, metadata, never", {
        /// Short-lived.
        Auto = "auto",
        /// Everything.
        Always = "always",
        /// Names and attributes.
        Metadata = "metadata",
        /// Nothing.
        Never = "never",
    }
);

/// A folder of the host shown to the guest by virtio-fs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedFolder {
    /// The folder mapping of the cluster; also the tag it is mounted by.
    pub mapping: MappingId,
    /// Caching; absent: auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ShareCache>,
    /// The guest's O_DIRECT is honoured; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_io: Option<bool>,
    /// POSIX ACLs; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_acl: Option<bool>,
    /// Extended attributes; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_xattr: Option<bool>,
}

impl SharedFolder {
    /// How many a guest may have: `virtiofs0` to `virtiofs9`.
    pub const COUNT: u8 = 10;
}
