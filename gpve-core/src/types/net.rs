//! Names and numbers of the network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{TextError, only, serde_as_text, starts_alnum, text_type};

text_type!(
    /// A host interface's name, at most 15 bytes (the kernel's limit).
    IfName, "interface name", "letters, digits, '-', '_' and '.', starting with a letter or digit, at most 15 characters",
    |s| !s.is_empty() && s.len() <= 15 && starts_alnum(s) && only(s, "-_.") && !s.contains("..")
);

/// A unicast Ethernet address. Prints as `BC:24:11:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// The six bytes.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// A locally administered unicast address from random bytes. gpve marks its own with the prefix `02:67:70` ("gp").
    pub fn local(random: [u8; 3]) -> Self {
        Self([0x02, 0x67, 0x70, random[0], random[1], random[2]])
    }
}

impl TryFrom<[u8; 6]> for MacAddr {
    type Error = TextError;
    fn try_from(b: [u8; 6]) -> Result<Self, TextError> {
        let mac = Self(b);
        if b[0] & 1 == 1 || b == [0; 6] {
            return Err(TextError::new(&mac.to_string(), "MAC address", "a unicast address such as BC:24:11:00:00:01"));
        }
        Ok(mac)
    }
}

impl FromStr for MacAddr {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "MAC address", "a unicast address such as BC:24:11:00:00:01");
        let mut bytes = [0; 6];
        let mut parts = s.split(':');
        for b in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_hexdigit()));
            *b = u8::from_str_radix(part.ok_or_else(refused)?, 16).map_err(|_| refused())?;
        }
        if parts.next().is_some() {
            return Err(refused());
        }
        bytes.try_into().map_err(|_| refused())
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

serde_as_text!(MacAddr);

macro_rules! bounded_u16 {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:literal..=$max:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "u16", into = "u16")]
        pub struct $name(u16);

        impl $name {
            /// The number.
            pub fn get(self) -> u16 {
                self.0
            }
        }

        impl TryFrom<u16> for $name {
            type Error = TextError;
            fn try_from(n: u16) -> Result<Self, TextError> {
                if ($min..=$max).contains(&n) { Ok(Self(n)) } else { Err(TextError::new(&n.to_string(), $what, $allowed)) }
            }
        }

        impl From<$name> for u16 {
            fn from(v: $name) -> u16 {
                v.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;
            fn from_str(s: &str) -> Result<Self, TextError> {
                s.parse::<u16>().map_err(|_| TextError::new(s, $what, $allowed))?.try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded_u16!(
    /// A VLAN tag, 1 to 4094.
    VlanTag, "VLAN tag", 1..=4094, "an integer from 1 to 4094"
);
bounded_u16!(
    /// A link's maximum transmission unit in bytes; 1 means "that of the bridge", as in PVE.
    Mtu, "MTU", 1..=65520, "1 (the bridge's) or an integer up to 65520"
);
