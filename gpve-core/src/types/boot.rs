//! What a virtual machine boots from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::DiskSlot;
use super::nic::NicIndex;
use super::text::{TextError, text_type};

/// Boot order: slots of disks, cards and host devices, first first (`scsi0`, `net0`), each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<BootDevice>", into = "Vec<BootDevice>")]
pub struct BootOrder(Vec<BootDevice>);

impl BootOrder {
    /// Most devices in an order: every slot of every bus and card.
    pub const MAX: usize = 128;

    /// The devices.
    pub fn devices(&self) -> &[BootDevice] {
        &self.0
    }

    /// From devices; each may occur once.
    pub fn new(devices: Vec<BootDevice>) -> Result<Self, TextError> {
        let mut seen = std::collections::BTreeSet::new();
        match devices.iter().find(|d| !seen.insert(**d)) {
            Some(twice) => Err(TextError::new(&twice.to_string(), "boot order", "each device once")),
            None => Ok(Self(devices)),
        }
    }
}

impl TryFrom<Vec<BootDevice>> for BootOrder {
    type Error = TextError;
    fn try_from(devices: Vec<BootDevice>) -> Result<Self, TextError> {
        Self::new(devices)
    }
}

impl From<BootOrder> for Vec<BootDevice> {
    fn from(order: BootOrder) -> Self {
        order.0
    }
}

/// One device of the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BootDevice {
    /// A disk or CD-ROM.
    Disk(DiskSlot),
    /// A network card.
    Net(NicIndex),
    /// A USB device, by its number.
    Usb(u8),
    /// A PCI device of the host, by its number.
    HostPci(u8),
}

impl std::str::FromStr for BootDevice {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused =
            || TextError::new(s, "boot device", "a disk slot such as scsi0, a card such as net0, usb0 to usb13 or hostpci0 to hostpci15");
        let numbered = |stem: &str, count: u8| {
            let digits = s.strip_prefix(stem).filter(|d| *d == "0" || !d.starts_with('0') && d.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<u8>().ok().filter(|n| *n < count)
        };
        let host_device = || numbered("usb", super::usb::UsbDevice::COUNT).map(Self::Usb);
        let pci_device = || numbered("hostpci", super::passthrough::HostPci::COUNT).map(Self::HostPci);
        if let Ok(slot) = s.parse::<DiskSlot>() {
            return if slot.bus().is_drive() { Ok(Self::Disk(slot)) } else { Err(refused()) };
        }
        s.parse().map(Self::Net).ok().or_else(host_device).or_else(pci_device).ok_or_else(refused)
    }
}

impl std::fmt::Display for BootDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(slot) => slot.fmt(f),
            Self::Net(nic) => nic.fmt(f),
            Self::Usb(n) => write!(f, "usb{n}"),
            Self::HostPci(n) => write!(f, "hostpci{n}"),
        }
    }
}

super::text::serde_as_text!(BootDevice);

text_type!(
    /// Classes of devices in the order they are booted, as PVE wrote it before 6.3: `c` the disk of `bootdisk`, `d` the
    /// CD-ROM drives, `n` the cards; `a`, a floppy drive, is none.
    BootLetters, "legacy boot order", "one to four of the letters a, c, d and n",
    |s| (1..=4).contains(&s.len()) && s.bytes().all(|b| b"acdn".contains(&b))
);

/// The boot order of guests from before boot orders named devices. It has no effect beside a [`BootOrder`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LegacyBoot {
    /// Classes; absent: `cdn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<BootLetters>,
    /// The disk of class `c`; absent: none is booted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSlot>,
}

/// Starting a kernel without boot loader. An extension, for the administrator only (as PVE's `args`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectKernel {
    /// The kernel, an absolute path on the host.
    pub kernel: PathBuf,
    /// The initial RAM disk, an absolute path on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cmdline: String,
}
