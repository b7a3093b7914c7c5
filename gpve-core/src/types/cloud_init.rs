//! What cloud-init sets up in the guest.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha_crypt::{PasswordHasher as _, ShaCrypt};
use sha2::{Digest as _, Sha256};

use super::disk::words;
use super::id::VolumeId;
use super::text::{TextError, serde_as_text, text_type};

words!(
    /// Form of the drive that cloud-init reads.
    CloudInitKind, "cloud-init type", "one of configdrive2, nocloud, opennebula", {
        /// OpenStack's; PVE's default for Windows.
        Configdrive2 = "configdrive2",
        /// NoCloud; PVE's default for everything else.
        Nocloud = "nocloud",
        /// OpenNebula's.
        Opennebula = "opennebula",
    }
);

text_type!(
    /// A user's name, a search domain or another one-line text for cloud-init.
    CloudInitText, "cloud-init text", "text without control characters, 1 to 1024 bytes",
    |s| !s.is_empty() && s.len() <= 1024 && !s.contains(char::is_control)
);

/// The hash of the password of the user that cloud-init makes. A password given in clear is hashed on the way in, with a
/// salt: nothing that holds this type can store, show or pass on a password. `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CloudInitPassword(String);

impl CloudInitPassword {
    /// The hash, in crypt's form (`$5$…`); the name says that it is a secret still.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CloudInitPassword {
    type Error = TextError;
    fn try_from(s: String) -> Result<Self, TextError> {
        let taken = !s.is_empty() && s.len() <= 1024 && !s.contains(['\0', '\n', '\r']);
        let refused = || TextError::new("***", "password", "one line of at most 1024 bytes");
        if !taken {
            return Err(refused());
        }
        if is_hash(&s) { Ok(Self(s)) } else { hash(&s).map(Self).ok_or_else(refused) }
    }
}

/// True for what crypt(3) of a guest takes as a hash: MD5, bcrypt, SHA-256, SHA-512 or yescrypt with salt and sum.
fn is_hash(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let [before, scheme, rest @ ..] = parts.as_slice() else { return false };
    let is_scheme = matches!(*scheme, "1" | "2a" | "2b" | "2y" | "5" | "6" | "7" | "y" | "gy");
    before.is_empty() && is_scheme && rest.len() >= 2 && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// A hash that every guest's crypt(3) knows: SHA-256, as Proxmox VE's. The salt is a keyed digest of the password, and the
/// key is this process's alone: as good as a random one for who has the hash, and a request that is repeated is the same.
fn hash(clear: &str) -> Option<String> {
    static KEY: LazyLock<uuid::Uuid> = LazyLock::new(uuid::Uuid::new_v4);
    let digest = Sha256::new().chain_update(KEY.as_bytes()).chain_update(clear).finalize();
    // 12 bytes are the 16 characters that the form has room for.
    Some(ShaCrypt::SHA256.hash_password_with_salt(clear.as_bytes(), &digest[..12]).ok()?.as_str().to_owned())
}

impl From<CloudInitPassword> for String {
    fn from(password: CloudInitPassword) -> String {
        password.0
    }
}

impl fmt::Debug for CloudInitPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

text_type!(
    /// A DNS server: an address or a name.
    DnsServer, "DNS server", "an IP address or a DNS name",
    |s| s.parse::<std::net::IpAddr>().is_ok() || s.parse::<super::id::GuestName>().is_ok()
);

text_type!(
    /// Public SSH keys, one per line.
    SshKeys, "SSH keys", "lines of text without NUL, at most 16384 bytes",
    |s| !s.trim().is_empty() && s.len() <= 16 * 1024 && !s.contains('\0')
);

/// Declares how a card gets its address of one family: words, or an address with prefix length.
macro_rules! address_setting {
    ($(#[$doc:meta])* $name:ident, $address:ty, $longest:literal, $what:literal, $allowed:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// An address and the length of its network's prefix.
            Fixed($address, u8),
        }

        impl FromStr for $name {
            type Err = TextError;
            fn from_str(s: &str) -> Result<Self, TextError> {
                let refused = || TextError::new(s, $what, $allowed);
                match s {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let (address, length) = s.split_once('/').ok_or_else(refused)?;
                        let plain = length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
                        let length: u8 = length.parse().ok().filter(|n| plain && *n <= $longest).ok_or_else(refused)?;
                        Ok(Self::Fixed(address.parse().map_err(|_| refused())?, length))
                    }
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($word),)+
                    Self::Fixed(address, length) => write!(f, "{address}/{length}"),
                }
            }
        }

        serde_as_text!($name);
    };
}

address_setting!(
    /// How a card gets its IPv4 address.
    Ip4Setting, Ipv4Addr, 32, "IPv4 setting", "dhcp, or an address with prefix length such as 10.0.0.5/24", {
        /// By DHCP.
        Dhcp = "dhcp",
    }
);

address_setting!(
    /// How a card gets its IPv6 address.
    Ip6Setting, Ipv6Addr, 128, "IPv6 setting", "auto, dhcp, or an address with prefix length such as 2001:db8::5/64", {
        /// By router advertisements.
        Auto = "auto",
        /// By DHCP.
        Dhcp = "dhcp",
    }
);

/// Addresses of a card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IpConfig {
    /// IPv4 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ip4Setting>,
    /// IPv4 gateway; needs a fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ip6Setting>,
    /// IPv6 gateway; needs a fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<Ipv6Addr>,
}

/// Files that stand in for generated ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CloudInitFiles {
    /// Metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<VolumeId>,
    /// Network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<VolumeId>,
    /// User data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<VolumeId>,
    /// Vendor data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VolumeId>,
}

impl CloudInitFiles {
    /// True if every file is generated.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What cloud-init sets up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CloudInitSpec {
    /// Form of the drive; absent: ConfigDrive2 for Windows, NoCloud for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<CloudInitKind>,
    /// The user that is made; absent: the image's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<CloudInitText>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<CloudInitPassword>,
    /// Packages are upgraded at the first boot; absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<bool>,
    /// The user's SSH keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<SshKeys>,
    /// DNS servers; empty: the host's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<DnsServer>,
    /// DNS search domains; absent: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_domain: Option<CloudInitText>,
    /// Files that stand in for generated ones.
    #[serde(skip_serializing_if = "CloudInitFiles::is_default")]
    pub files: CloudInitFiles,
    /// Addresses by card number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<u8, IpConfig>,
}

impl CloudInitSpec {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
