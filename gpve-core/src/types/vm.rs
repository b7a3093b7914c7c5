//! What a virtual machine is asked to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cpu::CpuSpec;
use super::disk::{DiskSlot, DiskSpec, words};
use super::id::{Tag, VolumeId};
use super::memory::MemorySpec;
use super::nic::{NicIndex, NicSpec};
use super::property::{PropertyKey, PropertyValue};
use super::text::{TextError, only, starts_alnum, text_type};
use super::unit::MemMib;

words!(
    /// Family of the virtual board.
    MachineKind, "machine type", "one of pc, q35, microvm", {
        /// Intel 440FX: PVE's default.
        Pc = "pc",
        /// Intel Q35, PCI Express.
        Q35 = "q35",
        /// QEMU's minimal board without PCI; an extension.
        Microvm = "microvm",
    }
);

text_type!(
    /// A machine version as QEMU names it (`9.2`), or PVE's with revision (`9.2+pve1`).
    MachineVersion, "machine version", "digits and dots with an optional +pveN, such as 9.2",
    |s| {
        let (version, revision) = s.split_once('+').map_or((s, "pve0"), |(v, r)| (v, r));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        s.len() <= 24 && version.split('.').all(digits) && revision.strip_prefix("pve").is_some_and(digits)
    }
);

/// The virtual board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineSpec {
    /// Family.
    pub kind: MachineKind,
    /// Pinned version; absent: the newest that QEMU has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<MachineVersion>,
    /// Further PVE options of the board (`viommu`, `enable-s3`), kept and shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<PropertyKey, PropertyValue>,
}

words!(
    /// Firmware.
    Firmware, "firmware", "one of seabios, ovmf", {
        /// Legacy BIOS.
        Seabios = "seabios",
        /// UEFI.
        Ovmf = "ovmf",
    }
);

words!(
    /// How the processor is driven.
    Accel, "accelerator", "one of auto, kvm, tcg", {
        /// KVM where it is proven to run a 64-bit kernel, else TCG.
        Auto = "auto",
        /// KVM or an error.
        Kvm = "kvm",
        /// QEMU's translator.
        Tcg = "tcg",
    }
);

words!(
    /// The guest's operating system, which sets defaults.
    OsType, "ostype", "one of other, wxp, w2k, w2k3, w2k8, wvista, win7, win8, win10, win11, l24, l26, solaris", {
        /// Unknown.
        Other = "other",
        /// Windows XP.
        Wxp = "wxp",
        /// Windows 2000.
        W2k = "w2k",
        /// Windows 2003.
        W2k3 = "w2k3",
        /// Windows 2008.
        W2k8 = "w2k8",
        /// Windows Vista.
        Wvista = "wvista",
        /// Windows 7.
        Win7 = "win7",
        /// Windows 8 and 2012.
        Win8 = "win8",
        /// Windows 10, 2016 and 2019.
        Win10 = "win10",
        /// Windows 11, 2022 and 2025.
        Win11 = "win11",
        /// Linux 2.4.
        L24 = "l24",
        /// Linux 2.6 and later.
        L26 = "l26",
        /// Solaris family.
        Solaris = "solaris",
    }
);

words!(
    /// Model of the SCSI controller.
    ScsiController, "scsi controller", "one of lsi, lsi53c810, virtio-scsi-pci, virtio-scsi-single, megasas, pvscsi", {
        /// LSI 53C895A: PVE's default.
        Lsi = "lsi",
        /// LSI 53C810.
        Lsi53c810 = "lsi53c810",
        /// virtio-scsi, one controller.
        VirtioScsiPci = "virtio-scsi-pci",
        /// virtio-scsi, one controller per disk.
        VirtioScsiSingle = "virtio-scsi-single",
        /// MegaRAID SAS.
        Megasas = "megasas",
        /// VMware.
        Pvscsi = "pvscsi",
    }
);

words!(
    /// Model of the display adapter.
    Vga, "display", "one of std, cirrus, vmware, qxl, virtio, virtio-gl, serial0, serial1, serial2, serial3, none", {
        /// Standard VGA.
        Std = "std",
        /// Cirrus.
        Cirrus = "cirrus",
        /// VMware SVGA.
        Vmware = "vmware",
        /// QXL.
        Qxl = "qxl",
        /// virtio-gpu.
        Virtio = "virtio",
        /// virtio-gpu with OpenGL.
        VirtioGl = "virtio-gl",
        /// No adapter; the console is serial port 0.
        Serial0 = "serial0",
        /// No adapter; the console is serial port 1.
        Serial1 = "serial1",
        /// No adapter; the console is serial port 2.
        Serial2 = "serial2",
        /// No adapter; the console is serial port 3.
        Serial3 = "serial3",
        /// No adapter.
        None = "none",
    }
);

/// A serial port of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SerialPort {
    /// A UNIX socket of the host; what consoles use.
    Socket,
    /// A device of the host (`/dev/ttyS0`); for the administrator only.
    Device(PathBuf),
}

/// The guest agent's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentSpec {
    /// The channel exists.
    pub enabled: bool,
    /// Trim after cloning or moving a disk.
    pub fstrim_cloned_disks: bool,
    /// Freeze file systems at backup and snapshot.
    pub freeze_fs: bool,
    /// The channel is an ISA serial port instead of virtio.
    pub isa: bool,
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self { enabled: true, fstrim_cloned_disks: false, freeze_fs: true, isa: false }
    }
}

/// A virtual random number generator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RngSpec {
    /// `/dev/urandom`, `/dev/random` or `/dev/hwrng`.
    pub source: String,
    /// Bytes per period; absent 1024; 0 means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
    /// Period in milliseconds; absent 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u32>,
}

/// Boot order: slots of disks and cards, first first (`scsi0`, `net0`), each once.
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
}

impl std::str::FromStr for BootDevice {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "boot device", "a disk slot such as scsi0 or a card such as net0");
        s.parse().map(Self::Disk).or_else(|_| s.parse().map(Self::Net)).map_err(|_| refused())
    }
}

impl std::fmt::Display for BootDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(slot) => slot.fmt(f),
            Self::Net(nic) => nic.fmt(f),
        }
    }
}

super::text::serde_as_text!(BootDevice);

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

/// When the guest starts relative to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StartupOrder {
    /// Smaller starts first and stops last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Seconds to wait after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<u32>,
    /// Seconds to wait for its shutdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<u32>,
}

text_type!(
    /// One extra argument for QEMU (PVE's `args`); for the administrator only.
    RawArg, "QEMU argument", "text without NUL or newline, at most 4096 characters",
    |s| !s.is_empty() && s.len() <= 4096 && !s.contains(['\0', '\n'])
);

text_type!(
    /// A keyboard layout (`en-us`, `de`).
    Keyboard, "keyboard", "letters and '-', at most 8 characters",
    |s| !s.is_empty() && s.len() <= 8 && starts_alnum(s) && only(s, "-")
);

/// The Spec of a `VirtualMachine` (`gpve.io/v1`): what was asked for, nothing observed. Unknown fields are refused.
///
/// Disks and cards are lists on the wire, ordered by slot, each slot once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VmSpec {
    /// Processors.
    #[serde(default)]
    pub cpu: CpuSpec,
    /// Memory.
    pub memory: MemorySpec,
    /// Disks and CD-ROMs.
    #[serde(default, with = "by_slot", skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<DiskSlot, DiskSpec>,
    /// Volumes that were taken out of their slot and not deleted, by number (PVE's `unused0`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unused: BTreeMap<u8, VolumeId>,
    /// Network cards.
    #[serde(default, with = "by_nic", skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<NicIndex, NicSpec>,
    /// Serial ports, 0 to 3.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<u8, SerialPort>,
    /// The board; absent: `pc` without pin, as PVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSpec>,
    /// Firmware; absent: SeaBIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<Firmware>,
    /// Accelerator; absent: `auto`. PVE's `kvm: 0` is `tcg`, `kvm: 1` is `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accel: Option<Accel>,
    /// Operating system; absent: other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<OsType>,
    /// SCSI controller; absent: lsi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scsi_controller: Option<ScsiController>,
    /// Display; absent: std.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vga: Option<Vga>,
    /// Guest agent; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSpec>,
    /// Random numbers; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rng: Option<RngSpec>,
    /// Boot order; absent: the first disk, CD-ROM and card there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootOrder>,
    /// SMBIOS system UUID; allocated at create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// VM generation id; allocated at create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Uuid>,
    /// Kernel without boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<DirectKernel>,
    /// Extra arguments for QEMU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<RawArg>,
    /// USB tablet as pointer; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablet: Option<bool>,
    /// ACPI; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acpi: Option<bool>,
    /// Keyboard layout of the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<Keyboard>,
    /// A reset ends the guest instead; PVE's `reboot: 0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<bool>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<PropertyValue>,
    /// Tags, sorted.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub tags: std::collections::BTreeSet<Tag>,
    /// Started with the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_boot: Option<bool>,
    /// Order of start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupOrder>,
    /// Refuses deletion of the guest and its disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<bool>,
    /// Never started, cloned from; its disks are read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub template: bool,
    /// Settings that are kept and shown and have no effect yet. A start names those that would change the hardware in
    /// the task log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<PropertyKey, PropertyValue>,
}

impl VmSpec {
    /// The smallest machine: one core, `size` of memory, nothing else.
    pub fn of(size: MemMib) -> Self {
        Self {
            cpu: CpuSpec::default(),
            memory: MemorySpec::of(size),
            disks: BTreeMap::new(),
            unused: BTreeMap::new(),
            networks: BTreeMap::new(),
            serials: BTreeMap::new(),
            machine: None,
            bios: None,
            accel: None,
            os_type: None,
            scsi_controller: None,
            vga: None,
            agent: None,
            rng: None,
            boot: None,
            uuid: None,
            generation_id: None,
            kernel: None,
            args: Vec::new(),
            tablet: None,
            acpi: None,
            keyboard: None,
            reboot: None,
            description: None,
            tags: std::collections::BTreeSet::new(),
            on_boot: None,
            startup: None,
            protection: None,
            template: false,
            other: BTreeMap::new(),
        }
    }

    /// Every existing volume that belongs to the machine: disks and unused ones, no CD-ROM images.
    pub fn owned_volumes(&self) -> impl Iterator<Item = &VolumeId> {
        self.disks.values().filter(|d| !d.is_cdrom()).filter_map(DiskSpec::volume).chain(self.unused.values())
    }
}

/// A map on the inside, a list of named entries on the wire; an entry named twice is refused.
macro_rules! list_of_named {
    ($module:ident, $key:ty, $item:ty) => {
        mod $module {
            use std::collections::BTreeMap;

            use serde::{Deserialize, Deserializer, Serializer};

            pub(super) fn serialize<S: Serializer>(map: &BTreeMap<$key, $item>, s: S) -> Result<S::Ok, S::Error> {
                s.collect_seq(map.values())
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<$key, $item>, D::Error> {
                let mut map = BTreeMap::new();
                for item in <Vec<$item>>::deserialize(d)? {
                    let key = item.name;
                    if map.insert(key, item).is_some() {
                        return Err(serde::de::Error::custom(format!("{key} is named twice")));
                    }
                }
                Ok(map)
            }
        }
    };
}

list_of_named!(by_slot, crate::types::DiskSlot, crate::types::DiskSpec);
list_of_named!(by_nic, crate::types::NicIndex, crate::types::NicSpec);
