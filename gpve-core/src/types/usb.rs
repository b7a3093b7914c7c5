//! USB devices of a virtual machine.

use serde::{Deserialize, Serialize};

use super::passthrough::MappingId;
use super::text::text_type;

text_type!(
    /// Vendor and product of a USB device in hex (`046d:c52b`).
    UsbId, "USB device id", "VENDOR:PRODUCT, four hex digits each",
    |s| s.split_once(':').is_some_and(|(v, p)| [v, p].iter().all(|h| h.len() == 4 && h.bytes().all(|b| b.is_ascii_hexdigit())))
);

text_type!(
    /// A USB port of the host: bus, and the way through hubs (`1-2.3`).
    UsbPort, "USB port", "BUS-PORT, with '.PORT' for every hub",
    |s| {
        let digits = |t: &str| (1..=3).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        s.split_once('-').is_some_and(|(bus, ports)| s.len() <= 32 && digits(bus) && ports.split('.').all(digits))
    }
);

impl UsbId {
    /// Vendor and product, four hex digits each.
    pub fn parts(&self) -> (&str, &str) {
        self.as_str().split_once(':').unwrap_or_default()
    }
}

impl UsbPort {
    /// Bus, and the ports joined by dots.
    pub fn parts(&self) -> (&str, &str) {
        self.as_str().split_once('-').unwrap_or_default()
    }
}

/// Which USB device the guest gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UsbSource {
    /// A device of the host, wherever it is plugged in; for the administrator only.
    Device(UsbId),
    /// Whatever is in a port of the host; for the administrator only.
    Port(UsbPort),
    /// The device that a mapping of the cluster names.
    Mapping(MappingId),
    /// A device of the SPICE viewer.
    Spice,
}

/// One USB device of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsbDevice {
    /// Which device.
    pub source: UsbSource,
    /// It is, or its port is, USB 3; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usb3: Option<bool>,
}

impl UsbDevice {
    /// How many a guest may have: `usb0` to `usb13`.
    pub const COUNT: u8 = 14;
}
