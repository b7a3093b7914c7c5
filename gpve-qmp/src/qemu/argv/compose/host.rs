//! The host's side of a machine: what it is, and what was decided and opened for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gpve_core::types::{Aio, Arch, DiskSlot, NicIndex, PciAddress, UsbSource};
use serde::{Deserialize, Serialize};

use super::super::blockdev::{FileSource, Image};
use super::super::board::Level;
use super::super::switches::{Accelerator, AddFd, ListeningSocket, PeerSocket, TapSource};
use super::cpu::CustomCpu;

/// What a host and its QEMU can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Architecture of its processors.
    pub arch: Arch,
    /// Who made them.
    pub vendor: CpuVendor,
    /// Bits of their physical addresses.
    pub address_bits: u8,
    /// QEMU's version.
    pub qemu: Level,
    /// Where pages of each size in MiB are to be had.
    pub hugepages: BTreeMap<u32, PathBuf>,
    /// NUMA nodes; none where nobody looked.
    pub numa_nodes: Option<BTreeSet<u16>>,
    /// AMD's memory encryption.
    pub sev: SevFacts,
    /// The kernel moves packets of virtio cards.
    pub vhost_net: bool,
    /// It has a GPU that renders for guests.
    pub has_render_node: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            arch: Arch::X86_64,
            vendor: CpuVendor::Other,
            address_bits: 40,
            // The oldest that is supported.
            qemu: Level::new(7, 2, 0),
            hugepages: BTreeMap::new(),
            numa_nodes: None,
            sev: SevFacts::default(),
            vhost_net: false,
            has_render_node: false,
        }
    }
}

/// Who made the host's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CpuVendor {
    /// Intel.
    Intel,
    /// AMD.
    Amd,
    /// Somebody else.
    Other,
}

/// AMD's memory encryption on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SevFacts {
    /// SEV is there.
    pub std: bool,
    /// SEV-ES is there.
    pub es: bool,
    /// SEV-SNP is there.
    pub snp: bool,
    /// The bit of a page's address that says it is encrypted.
    pub cbitpos: u8,
    /// Address bits that encryption takes.
    pub reduced_phys_bits: u8,
}

/// The host's side of one machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// What it can do.
    pub facts: Facts,
    /// How the guest's processors are driven.
    pub accelerator: Accelerator,
    /// I/O mode of disks that ask for none.
    pub default_aio: Aio,
    /// The image in each slot that has one; in that of UEFI variables also where the guest has no volume for them.
    pub images: BTreeMap<DiskSlot, Image>,
    /// The code of the UEFI firmware.
    pub firmware: Option<FileSource>,
    /// How each card reaches the network.
    pub nics: BTreeMap<NicIndex, NicBackend>,
    /// The monitor.
    pub qmp: ListeningSocket,
    /// The agent's channel, for a machine that has one.
    pub agent: Option<ListeningSocket>,
    /// Serial ports that are sockets.
    pub serials: BTreeMap<u8, ListeningSocket>,
    /// The VNC server's socket.
    pub vnc: PathBuf,
    /// The SPICE server, where this host has one.
    pub spice: Option<SpiceServer>,
    /// The program that emulates the TPM.
    pub tpm: Option<PeerSocket>,
    /// The socket of the program that serves each shared folder.
    pub folders: BTreeMap<u8, PathBuf>,
    /// The file of the memory that guests share.
    pub shared_memory: Option<PathBuf>,
    /// The functions that were chosen for each PCI device.
    pub pci: BTreeMap<u8, Vec<PciAddress>>,
    /// What the mapping of each mapped USB device names.
    pub usb: BTreeMap<u8, UsbSource>,
    /// The custom processor model that the guest asks for.
    pub cpu_model: Option<CustomCpu>,
    /// The name under which iSCSI targets know this host, where a disk is on one.
    pub iscsi_initiator: Option<String>,
    /// The kernel's and the RAM disk's file, as QEMU can open them, for a machine that starts one.
    pub kernel: Option<KernelFiles>,
    /// Where QEMU writes its number.
    pub pidfile: PathBuf,
    /// Inherited descriptors that images refer to.
    pub descriptors: Vec<AddFd>,
}

impl Host {
    /// A host with nothing opened yet but the monitor.
    #[must_use]
    pub fn new(facts: Facts, accelerator: Accelerator, qmp: ListeningSocket, vnc: PathBuf, pidfile: PathBuf) -> Self {
        Self {
            facts,
            accelerator,
            default_aio: Aio::IoUring,
            images: BTreeMap::new(),
            firmware: None,
            nics: BTreeMap::new(),
            qmp,
            agent: None,
            serials: BTreeMap::new(),
            vnc,
            spice: None,
            tpm: None,
            folders: BTreeMap::new(),
            shared_memory: None,
            pci: BTreeMap::new(),
            usb: BTreeMap::new(),
            cpu_model: None,
            iscsi_initiator: None,
            kernel: None,
            pidfile,
            descriptors: Vec::new(),
        }
    }
}

/// Where a guest's SPICE server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiceServer {
    /// Address.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

/// The host's side of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicBackend {
    /// A tap interface.
    Tap {
        /// How QEMU reaches it.
        source: TapSource,
        /// MTU of what it is plugged into.
        mtu: Option<u16>,
    },
    /// QEMU's user-mode stack.
    User,
}

/// Files of a kernel to start directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// The kernel.
    pub kernel: String,
    /// The RAM disk.
    pub initrd: Option<String>,
}
