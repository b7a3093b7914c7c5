//! Network cards of a virtual machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::id::BridgeName;
use super::net::{MacAddr, Mtu, VlanTag};
use super::text::{TextError, serde_as_text};

words!(
    /// The card that the guest sees.
    NicModel, "network card model",
    "one of virtio, e1000, e1000e, rtl8139, vmxnet3, e1000-82540em, e1000-82544gc, e1000-82545em, i82551, i82557b, i82559er, ne2k_isa, ne2k_pci, pcnet", {
        /// virtio-net.
        Virtio = "virtio",
        /// Intel 82540EM.
        E1000 = "e1000",
        /// Intel 82574L.
        E1000e = "e1000e",
        /// Realtek 8139.
        Rtl8139 = "rtl8139",
        /// VMware's paravirtual card.
        Vmxnet3 = "vmxnet3",
        /// Intel 82540EM, by its full name.
        E1000With82540em = "e1000-82540em",
        /// Intel 82544GC.
        E1000With82544gc = "e1000-82544gc",
        /// Intel 82545EM.
        E1000With82545em = "e1000-82545em",
        /// Intel 82551.
        I82551 = "i82551",
        /// Intel 82557B.
        I82557b = "i82557b",
        /// Intel 82559ER.
        I82559er = "i82559er",
        /// NE2000, ISA.
        Ne2kIsa = "ne2k_isa",
        /// NE2000, PCI.
        Ne2kPci = "ne2k_pci",
        /// AMD PCnet.
        Pcnet = "pcnet",
    }
);

/// A card's number, 0 to 31. Text form `net0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NicIndex(u8);

impl NicIndex {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for NicIndex {
    type Error = TextError;
    fn try_from(n: u8) -> Result<Self, TextError> {
        if n < 32 { Ok(Self(n)) } else { Err(TextError::new(&format!("net{n}"), "network card", "net0 to net31")) }
    }
}

impl FromStr for NicIndex {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "network card", "net0 to net31");
        let digits = s.strip_prefix("net").ok_or_else(refused)?;
        if digits.len() > 1 && digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        digits.parse::<u8>().map_err(|_| refused())?.try_into()
    }
}

impl fmt::Display for NicIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net{}", self.0)
    }
}

serde_as_text!(NicIndex);

/// One network card asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NicSpec {
    /// Which card.
    pub name: NicIndex,
    /// What the guest sees.
    #[serde(default = "default_model")]
    pub model: NicModel,
    /// Its address; allocated at create when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddr>,
    /// The bridge it is plugged into; absent: user-mode networking behind NAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<BridgeName>,
    /// VLAN of the guest's untagged frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanTag>,
    /// VLANs that pass tagged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<VlanTag>,
    /// Guarded by the firewall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<bool>,
    /// Cable unplugged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_down: Option<bool>,
    /// MTU shown to the guest (virtio only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<Mtu>,
    /// Packet queues (virtio only), 0 to 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<u8>,
    /// Rate limit in kB/s; PVE writes MB/s with decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_kb: Option<u64>,
}

fn default_model() -> NicModel {
    NicModel::Virtio
}
