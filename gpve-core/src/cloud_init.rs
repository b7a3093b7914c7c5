//! What cloud-init reads in a guest: from its spec to files, and from files to the image on its drive. Pure.
//!
//! The files are what Proxmox VE writes for the same settings: a `#cloud-config`, metadata whose instance id is a digest of
//! what is asked (a changed setting is a new instance, so cloud-init applies it at the next boot), and the network. Every
//! value of a client goes through `quote`, so that none can say more than a value.

mod context;
mod image;
mod network;
mod quote;
mod user;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::ports::HostDns;
use crate::types::{CloudInitKind, CloudInitPassword, CloudInitSpec, DiskSource, GuestName, IpConfig, MacAddr, OsType, VmSpec, Vmid};

/// Digits of an instance id.
const INSTANCE_DIGITS: usize = 40;
/// What stands for a password where it is not told.
const MASK: &str = "**********";
/// Largest file that may stand in for a generated one, in bytes.
pub const CUSTOM_FILE_MAX: usize = 1 << 20;

/// A guest as cloud-init shall see it.
#[derive(Debug, Clone)]
pub struct Instance<'a> {
    host_name: String,
    os_type: OsType,
    settings: &'a CloudInitSpec,
    cards: Vec<Card>,
    dns: Dns<'a>,
}

/// A network card with its addresses.
#[derive(Debug, Clone)]
struct Card {
    number: u8,
    mac: MacAddr,
    addresses: IpConfig,
}

/// How names are resolved: as asked, else as on the host.
#[derive(Debug, Clone)]
struct Dns<'a> {
    servers: Vec<&'a str>,
    search: Vec<&'a str>,
}

/// One of the generated files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Host name, user, keys, upgrades.
    User,
    /// Addresses and name servers.
    Network,
    /// The instance id.
    Meta,
}

/// Files that stand in for generated ones, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomFiles {
    /// Metadata.
    pub meta: Option<Vec<u8>>,
    /// Network.
    pub network: Option<Vec<u8>>,
    /// User data.
    pub user: Option<Vec<u8>>,
    /// Vendor data.
    pub vendor: Option<Vec<u8>>,
}

/// What is on a drive: a label and files by their path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file system's label, by which cloud-init finds it.
    pub label: &'static str,
    /// Paths with `/`, and bytes.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Instance<'a> {
    /// Guest `vmid` as `spec` asks; `host` is what the host knows of names.
    pub fn of(vmid: Vmid, name: Option<&GuestName>, spec: &'a VmSpec, host: &'a HostDns) -> Self {
        let settings = &spec.cloud_init;
        let card = |(index, mac): (u8, MacAddr)| {
            let addresses = settings.addresses.get(&index).copied().unwrap_or_default();
            Card { number: index, mac, addresses }
        };
        let servers = if settings.nameservers.is_empty() { &host.servers } else { &settings.nameservers };
        let search = settings.search_domain.as_ref().or(host.search_domain.as_ref()).map_or("", |s| s.as_str());
        Self {
            host_name: name.map_or_else(|| format!("vm-{vmid}"), |n| n.as_str().to_owned()),
            os_type: spec.os_type.unwrap_or(OsType::Other),
            settings,
            cards: spec.networks.iter().filter_map(|(index, nic)| Some((index.get(), nic.mac_address?))).map(card).collect(),
            dns: Dns {
                servers: servers.iter().map(|s| s.as_str()).collect(),
                search: search.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|d| !d.is_empty()).collect(),
            },
        }
    }

    /// The form of the drive: as asked, else by the operating system.
    pub fn kind(&self) -> CloudInitKind {
        let usual = if self.os_type.is_windows() { CloudInitKind::Configdrive2 } else { CloudInitKind::Nocloud };
        self.settings.kind.unwrap_or(usual)
    }

    /// One generated file as text, for people: without the password's hash. A part for which a file of one's own stands in is
    /// only named, because such a file may hold secrets.
    pub fn dump(&self, part: Part) -> String {
        let files = &self.settings.files;
        let custom = match part {
            Part::User => &files.user,
            Part::Network => &files.network,
            Part::Meta => &files.meta,
        };
        if let Some(volume) = custom {
            return format!("# the file '{volume}' stands here\n");
        }
        let masked = self.settings.password.as_ref().map(|_| MASK);
        match part {
            Part::User => user::data(self, masked),
            Part::Network => self.network(),
            Part::Meta => self.meta(&CustomFiles::default()),
        }
    }

    /// What is on the drive.
    pub fn drive(&self, custom: &CustomFiles) -> Drive {
        let user = self.user_bytes(custom);
        let network = self.network_bytes(custom);
        let meta = custom.meta.clone().unwrap_or_else(|| self.meta(custom).into_bytes());
        let (label, mut files) = match self.kind() {
            CloudInitKind::Nocloud => ("cidata", vec![("meta-data", meta), ("network-config", network), ("user-data", user)]),
            CloudInitKind::Configdrive2 => {
                let files = vec![
                    ("openstack/content/0000", network),
                    ("openstack/latest/meta_data.json", meta),
                    ("openstack/latest/user_data", user),
                ];
                ("config-2", files)
            }
            // One file has all; the user data is in it.
            CloudInitKind::Opennebula => ("CONTEXT", vec![("context.sh", context::script(self, &user).into_bytes())]),
        };
        let vendor_data = match self.kind() {
            CloudInitKind::Nocloud => Some("vendor-data"),
            CloudInitKind::Configdrive2 => Some("openstack/latest/vendor_data.json"),
            CloudInitKind::Opennebula => None,
        };
        files.extend(vendor_data.zip(custom.vendor.clone()));
        Drive { label, files }
    }

    fn user_bytes(&self, custom: &CustomFiles) -> Vec<u8> {
        let hash = self.settings.password.as_ref().map(CloudInitPassword::expose);
        custom.user.clone().unwrap_or_else(|| user::data(self, hash).into_bytes())
    }

    fn network_bytes(&self, custom: &CustomFiles) -> Vec<u8> {
        custom.network.clone().unwrap_or_else(|| self.network().into_bytes())
    }

    fn network(&self) -> String {
        match self.kind() {
            CloudInitKind::Nocloud => network::version_1(&self.cards, &self.dns),
            CloudInitKind::Configdrive2 | CloudInitKind::Opennebula => network::interfaces(&self.cards, &self.dns),
        }
    }

    fn meta(&self, custom: &CustomFiles) -> String {
        let mut digest = Sha256::new();
        for bytes in [Some(&self.user_bytes(custom)), Some(&self.network_bytes(custom)), custom.vendor.as_ref()].into_iter().flatten() {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        let mut id = hex::encode(digest.finalize());
        id.truncate(INSTANCE_DIGITS);
        match self.kind() {
            CloudInitKind::Nocloud | CloudInitKind::Opennebula => format!("instance-id: {id}\n"),
            CloudInitKind::Configdrive2 => user::openstack(self, &id),
        }
    }

    /// The first label of the host name.
    fn short_name(&self) -> &str {
        self.host_name.split('.').next().unwrap_or(&self.host_name)
    }

    /// The host name with its domain: its own, else the first search domain.
    fn full_name(&self) -> Option<String> {
        if self.host_name.contains('.') {
            return Some(self.host_name.clone());
        }
        let is_domain = |domain: &&&str| domain.parse::<GuestName>().is_ok();
        self.dns.search.first().filter(is_domain).map(|domain| format!("{}.{domain}", self.host_name))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let text = self.settings.ssh_keys.as_ref().map_or("", |keys| keys.as_str());
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

impl Drive {
    /// The image of the drive: ISO 9660 with Rock Ridge's names for Linux and Joliet's for Windows. The same files give the
    /// same bytes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::error::ErrorKind::InvalidInput): they do not fit on a cloud-init drive.
    pub fn image(&self) -> Result<Vec<u8>> {
        let bytes = image::of(self.label, &self.files);
        let max = DiskSource::CLOUD_INIT_SIZE;
        if bytes.len() as u64 <= max.bytes() {
            return Ok(bytes);
        }
        let text = format!("the files for cloud-init need {} bytes, and its drive has {}", bytes.len(), max.bytes());
        Err(Error::field("cloud-init", "cloudInit", text))
    }
}

#[cfg(test)]
mod tests;
