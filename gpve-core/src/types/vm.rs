//! What a virtual machine is asked to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::boot::{BootOrder, DirectKernel, LegacyBoot};
use super::clock::ClockSpec;
use super::cloud_init::CloudInitSpec;
use super::confidential::{SevSpec, TdxSpec};
use super::cpu::CpuSpec;
use super::device::{AgentSpec, Hotplug, ParallelPort, RngSpec, SerialPort, SharedMemory, WatchdogSpec};
use super::disk::{DiskSlot, DiskSpec, words};
use super::display::{AudioSpec, Clipboard, SpiceSpec, Vga};
use super::id::{StorageId, Tag, Vmid, VolumeId};
use super::machine::{Arch, MachineSpec};
use super::memory::MemorySpec;
use super::nic::{NicIndex, NicSpec};
use super::passthrough::{HostPci, SharedFolder};
use super::property::{PropertyKey, PropertyValue};
use super::smbios::SmbiosSpec;
use super::text::{only, starts_alnum, text_type};
use super::unit::MemMib;
use super::upkeep::{GuestLock, MigrationSpec, Origin, StartupOrder};
use super::usb::UsbDevice;

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

impl OsType {
    /// True for the Windows family.
    pub const fn is_windows(self) -> bool {
        use OsType::*;
        matches!(self, Wxp | W2k | W2k3 | W2k8 | Wvista | Win7 | Win8 | Win10 | Win11)
    }
}

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
    /// Parallel ports of the host, 0 to 2.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parallels: BTreeMap<u8, ParallelPort>,
    /// USB devices, 0 to 13.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub usb: BTreeMap<u8, UsbDevice>,
    /// PCI devices of the host, 0 to 15.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_pci: BTreeMap<u8, HostPci>,
    /// Folders of the host, 0 to 9.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_folders: BTreeMap<u8, SharedFolder>,
    /// Architecture; absent: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
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
    /// Memory of the display in MiB, 4 to 512; absent: the model's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vga_memory_mib: Option<u16>,
    /// Clipboard; absent: SPICE's, where the display has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipboard: Option<Clipboard>,
    /// Extras of the SPICE console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spice: Option<SpiceSpec>,
    /// Sound card; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioSpec>,
    /// Guest agent; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSpec>,
    /// Random numbers; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rng: Option<RngSpec>,
    /// Watchdog; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<WatchdogSpec>,
    /// Memory shared between guests; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<SharedMemory>,
    /// AMD's memory encryption; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sev: Option<SevSpec>,
    /// Intel's trust domains; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxSpec>,
    /// Boot order; absent: the first disk, CD-ROM and card there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootOrder>,
    /// Boot order of an old guest, where there is no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_boot: Option<LegacyBoot>,
    /// SMBIOS system UUID; allocated at create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Further SMBIOS system information.
    #[serde(default, skip_serializing_if = "SmbiosSpec::is_default")]
    pub smbios: SmbiosSpec,
    /// VM generation id; allocated at create. The nil UUID is none.
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
    /// Real-time clock.
    #[serde(default, skip_serializing_if = "ClockSpec::is_default")]
    pub clock: ClockSpec,
    /// Started with its processors halted; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<bool>,
    /// What may be plugged while it runs; absent: network, disk, USB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotplug: Option<Hotplug>,
    /// What cloud-init sets up.
    #[serde(default, skip_serializing_if = "CloudInitSpec::is_default")]
    pub cloud_init: CloudInitSpec,
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
    /// PVE's `autostart`; it has no effect there either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// Script run at steps of the guest's life; for the administrator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_script: Option<VolumeId>,
    /// Limits of live migration.
    #[serde(default, skip_serializing_if = "MigrationSpec::is_default")]
    pub migration: MigrationSpec,
    /// Storage of saved states; absent: that of the first disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_storage: Option<StorageId>,
    /// Why it was locked when it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<GuestLock>,
    /// Where it comes from; absent: made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
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
            parallels: BTreeMap::new(),
            usb: BTreeMap::new(),
            host_pci: BTreeMap::new(),
            shared_folders: BTreeMap::new(),
            arch: None,
            machine: None,
            bios: None,
            accel: None,
            os_type: None,
            scsi_controller: None,
            vga: None,
            vga_memory_mib: None,
            clipboard: None,
            spice: None,
            audio: None,
            agent: None,
            rng: None,
            watchdog: None,
            shared_memory: None,
            sev: None,
            tdx: None,
            boot: None,
            legacy_boot: None,
            uuid: None,
            smbios: SmbiosSpec::default(),
            generation_id: None,
            kernel: None,
            args: Vec::new(),
            tablet: None,
            acpi: None,
            clock: ClockSpec::default(),
            freeze: None,
            hotplug: None,
            cloud_init: CloudInitSpec::default(),
            keyboard: None,
            reboot: None,
            description: None,
            tags: std::collections::BTreeSet::new(),
            on_boot: None,
            startup: None,
            autostart: None,
            hook_script: None,
            migration: MigrationSpec::default(),
            state_storage: None,
            lock: None,
            origin: None,
            protection: None,
            template: false,
            other: BTreeMap::new(),
        }
    }

    /// The first disk, CD-ROM drives aside, that is of the host and in no storage.
    pub fn disk_of_host(&self) -> Option<DiskSlot> {
        self.disks.iter().find(|(_, d)| !d.is_cdrom() && d.host_path().is_some()).map(|(slot, _)| *slot)
    }

    /// Every existing volume that belongs to the machine: disks and unused ones, no CD-ROM images. A cloud-init drive is
    /// not among them either: whose it is, and that it can be made anew, is told by its name ([`Self::cloud_init_drive`]).
    pub fn owned_volumes(&self) -> impl Iterator<Item = &VolumeId> {
        self.disks.values().filter(|d| !d.is_cdrom()).filter_map(DiskSpec::volume).chain(self.unused.values())
    }

    /// The cloud-init drive of guest `vmid`, if it has one.
    pub fn cloud_init_drive(&self, vmid: Vmid) -> Option<(DiskSlot, &VolumeId)> {
        self.disks.iter().find(|(_, disk)| disk.cloud_init_of() == Some(vmid)).and_then(|(slot, disk)| Some((*slot, disk.volume()?)))
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
