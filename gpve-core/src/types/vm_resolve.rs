//! From what was asked to what can be launched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::boot::{BootDevice, DirectKernel, LegacyBoot};
use super::clock::ClockSpec;
use super::cloud_init::CloudInitSpec;
use super::confidential::{SevSpec, TdxSpec};
use super::cpu::CpuSpec;
use super::device::{AgentSpec, Hotplug, ParallelPort, RngSpec, SerialPort, SharedMemory, WatchdogSpec};
use super::disk::{DiskFormat, DiskSlot, DiskSource, DiskSpec};
use super::disk_options::DiskOptions;
use super::display::{AudioSpec, Clipboard, SpiceSpec, Vga};
use super::id::{GuestName, Vmid, VolumeId};
use super::machine::{Arch, MachineKind, MachineSpec};
use super::memory::Hugepages;
use super::net::MacAddr;
use super::nic::{NicIndex, NicSpec};
use super::passthrough::{HostPci, SharedFolder};
use super::smbios::SmbiosSpec;
use super::unit::{ByteSize, MemMib};
use super::upkeep::{MigrationSpec, Origin};
use super::usb::UsbDevice;
use super::vm::{Accel, Firmware, Keyboard, OsType, RawArg, ScsiController, VmSpec};
use crate::error::{Error, FieldError};

/// A machine with every default filled in, every id allocated and every invariant proven: what a driver launches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedVm {
    /// The guest's number.
    pub vmid: Vmid,
    /// Its name; `vm-VMID` when none was given.
    pub name: GuestName,
    /// SMBIOS system UUID; a machine without one reads zeros.
    pub uuid: Option<Uuid>,
    /// Further SMBIOS system information.
    #[serde(default)]
    pub smbios: SmbiosSpec,
    /// Generation id, if asked for.
    pub generation_id: Option<Uuid>,
    /// Architecture; none is the host's.
    #[serde(default)]
    pub arch: Option<Arch>,
    /// Board.
    pub machine: MachineSpec,
    /// Firmware.
    pub bios: Firmware,
    /// Accelerator; `Auto` is decided by the driver.
    pub accel: Accel,
    /// Operating system.
    pub os_type: OsType,
    /// Processors.
    pub cpu: CpuSpec,
    /// Memory.
    pub memory: MemMib,
    /// A balloon device is there.
    pub balloon: bool,
    /// Huge pages of the host.
    #[serde(default)]
    pub hugepages: Option<Hugepages>,
    /// Huge pages stay allocated when the guest stops.
    #[serde(default)]
    pub keep_hugepages: bool,
    /// The host shall not share equal pages.
    #[serde(default)]
    pub no_ksm: bool,
    /// Memory shared between guests.
    #[serde(default)]
    pub shared_memory: Option<SharedMemory>,
    /// AMD's memory encryption.
    #[serde(default)]
    pub sev: Option<SevSpec>,
    /// Intel's trust domains.
    #[serde(default)]
    pub tdx: Option<TdxSpec>,
    /// Disks and drives in slot order; with them the volumes of UEFI variables and TPM state, which are no drives
    /// ([`DiskBus::is_drive`](super::DiskBus::is_drive)).
    pub disks: BTreeMap<DiskSlot, ResolvedDisk>,
    /// Cards in order.
    pub networks: BTreeMap<NicIndex, ResolvedNic>,
    /// Serial ports.
    pub serials: BTreeMap<u8, SerialPort>,
    /// Parallel ports of the host.
    #[serde(default)]
    pub parallels: BTreeMap<u8, ParallelPort>,
    /// USB devices.
    #[serde(default)]
    pub usb: BTreeMap<u8, UsbDevice>,
    /// PCI devices of the host.
    #[serde(default)]
    pub host_pci: BTreeMap<u8, HostPci>,
    /// Folders of the host.
    #[serde(default)]
    pub shared_folders: BTreeMap<u8, SharedFolder>,
    /// SCSI controller.
    pub scsi_controller: ScsiController,
    /// Display; none is the board's own default, or no adapter beside a graphics card of the host.
    pub vga: Option<Vga>,
    /// Memory of the display in MiB.
    #[serde(default)]
    pub vga_memory_mib: Option<u16>,
    /// Clipboard.
    #[serde(default)]
    pub clipboard: Option<Clipboard>,
    /// Extras of the SPICE console.
    #[serde(default)]
    pub spice: SpiceSpec,
    /// Sound card.
    #[serde(default)]
    pub audio: Option<AudioSpec>,
    /// Watchdog.
    #[serde(default)]
    pub watchdog: Option<WatchdogSpec>,
    /// Agent channel.
    pub agent: Option<AgentSpec>,
    /// Random numbers.
    pub rng: Option<RngSpec>,
    /// What is booted, first first.
    pub boot: Vec<BootDevice>,
    /// The place in the boot order of each device that is booted: PVE's numbers, from 100.
    #[serde(default)]
    pub boot_index: BTreeMap<BootDevice, u32>,
    /// Kernel without boot loader.
    pub kernel: Option<DirectKernel>,
    /// Extra arguments.
    pub args: Vec<RawArg>,
    /// USB tablet; none is the display's default.
    pub tablet: Option<bool>,
    /// ACPI.
    pub acpi: bool,
    /// Real-time clock.
    #[serde(default)]
    pub clock: ClockSpec,
    /// Started with its processors halted.
    #[serde(default)]
    pub freeze: bool,
    /// What may be plugged while it runs.
    #[serde(default)]
    pub hotplug: Hotplug,
    /// What cloud-init sets up.
    #[serde(default)]
    pub cloud_init: CloudInitSpec,
    /// Script run at steps of the guest's life.
    #[serde(default)]
    pub hook_script: Option<VolumeId>,
    /// Limits of live migration.
    #[serde(default)]
    pub migration: MigrationSpec,
    /// Where the guest comes from.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// Never started; what it shows is for migration and backup.
    #[serde(default)]
    pub template: bool,
    /// Keyboard layout.
    pub keyboard: Option<Keyboard>,
    /// A reset ends the guest.
    pub no_reboot: bool,
    /// Settings that have no effect yet, by Proxmox VE's names (`watchdog`, `scsi0.queues`); the start's task log names
    /// them.
    pub without_effect: Vec<String>,
}

/// A disk or drive that can be launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedDisk {
    /// The volume; `None` is an empty CD-ROM drive, or what [`host`](Self::host) says.
    pub volume: Option<VolumeId>,
    /// The block device or image file of the host.
    #[serde(default)]
    pub host: Option<PathBuf>,
    /// Shown as CD-ROM.
    pub cdrom: bool,
    /// Options.
    pub options: DiskOptions,
}

impl ResolvedDisk {
    /// The disk that was asked for, which has its volume if it shall have one.
    pub fn of(disk: &DiskSpec) -> Self {
        Self {
            volume: disk.volume().cloned(),
            host: disk.host_path().map(Path::to_owned),
            cdrom: disk.is_cdrom(),
            options: disk.options.clone(),
        }
    }
}

/// A card that can be launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedNic {
    /// Its address.
    pub mac: MacAddr,
    /// The card as asked.
    pub spec: NicSpec,
}

/// What a node knows of a volume when it resolves a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFacts {
    /// Layout of its bytes.
    pub format: DiskFormat,
    /// Virtual size.
    pub size: ByteSize,
}

impl VmSpec {
    /// Fills in defaults and proves the rules. Every disk must have its volume by now and every card its address.
    pub fn resolve(&self, vmid: Vmid, name: Option<&GuestName>) -> Result<ResolvedVm, Error> {
        let mut bad = self.check();
        let (disks, networks) = self.attached(&mut bad);
        if !bad.is_empty() {
            return Err(Error::invalid("vm.resolve", bad).on(format!("vm {vmid}")));
        }
        let boot = self.boot_order();
        let default_name = || format!("vm-{vmid}").parse().map_err(|e: super::TextError| Error::internal("vm.resolve", e.to_string()));
        Ok(ResolvedVm {
            vmid,
            name: name.cloned().map_or_else(default_name, Ok)?,
            uuid: self.uuid,
            smbios: self.smbios.clone(),
            generation_id: self.generation_id.filter(|id| !id.is_nil()),
            arch: self.arch,
            machine: self.machine.clone().unwrap_or_else(|| MachineSpec::of(self.default_machine())),
            bios: self.bios.unwrap_or(Firmware::Seabios),
            accel: self.accel.unwrap_or(Accel::Auto),
            os_type: self.os_type.unwrap_or(OsType::Other),
            cpu: self.cpu.clone(),
            memory: self.memory.size,
            balloon: self.memory.ballooning != super::memory::Ballooning::Off,
            hugepages: self.memory.hugepages,
            keep_hugepages: self.memory.keep_hugepages == Some(true),
            no_ksm: self.memory.allow_ksm == Some(false),
            shared_memory: self.shared_memory.clone(),
            sev: self.sev,
            tdx: self.tdx,
            boot: boot.iter().map(|(_, device)| *device).collect(),
            boot_index: boot.into_iter().map(|(index, device)| (device, index)).collect(),
            disks,
            networks,
            serials: self.serials.clone(),
            parallels: self.parallels.clone(),
            usb: self.usb.clone(),
            host_pci: self.host_pci.clone(),
            shared_folders: self.shared_folders.clone(),
            scsi_controller: self.scsi_controller.unwrap_or(ScsiController::Lsi),
            vga: self.vga,
            vga_memory_mib: self.vga_memory_mib,
            clipboard: self.clipboard,
            spice: self.spice.unwrap_or_default(),
            audio: self.audio,
            watchdog: self.watchdog,
            agent: self.agent.filter(|a| a.enabled),
            rng: self.rng.clone(),
            kernel: self.kernel.clone(),
            args: self.args.clone(),
            tablet: self.tablet,
            acpi: self.acpi.unwrap_or(true),
            clock: self.clock.clone(),
            freeze: self.freeze == Some(true),
            hotplug: self.hotplug.clone().unwrap_or_default(),
            cloud_init: self.cloud_init.clone(),
            hook_script: self.hook_script.clone(),
            migration: self.migration,
            origin: self.origin.clone(),
            template: self.template,
            keyboard: self.keyboard.clone(),
            no_reboot: self.reboot == Some(false),
            without_effect: self.without_effect(),
        })
    }

    /// The disks that have their volume and the cards that have their address; what has none goes to `bad`.
    fn attached(&self, bad: &mut Vec<FieldError>) -> (BTreeMap<DiskSlot, ResolvedDisk>, BTreeMap<NicIndex, ResolvedNic>) {
        let mut disks = BTreeMap::new();
        for (slot, disk) in &self.disks {
            match &disk.source {
                DiskSource::New { .. } | DiskSource::Import { .. } | DiskSource::CloudInit { .. } => {
                    bad.push(FieldError { field: slot.to_string(), reason: "its volume is not made yet".to_owned() });
                }
                DiskSource::Empty | DiskSource::Host(_) | DiskSource::Volume { .. } => {
                    disks.insert(*slot, ResolvedDisk::of(disk));
                }
            }
        }
        let mut networks = BTreeMap::new();
        for (index, nic) in &self.networks {
            match nic.mac_address {
                Some(mac) => drop(networks.insert(*index, ResolvedNic { mac, spec: nic.clone() })),
                None => bad.push(FieldError { field: index.to_string(), reason: "has no address yet".to_owned() }),
            }
        }
        (disks, networks)
    }

    fn default_machine(&self) -> MachineKind {
        if self.arch == Some(Arch::Aarch64) { MachineKind::Virt } else { MachineKind::Pc }
    }

    /// What is booted with its place in the order, first first: as asked, without absent devices; by classes, as asked
    /// in the old form; without either the first disk, the first CD-ROM and the first card.
    fn boot_order(&self) -> Vec<(u32, BootDevice)> {
        let there = |d: &BootDevice| match d {
            BootDevice::Disk(slot) => self.disks.contains_key(slot),
            BootDevice::Net(nic) => self.networks.contains_key(nic),
            BootDevice::Usb(n) => self.usb.contains_key(n),
            BootDevice::HostPci(n) => self.host_pci.contains_key(n),
        };
        let drives = || self.disks.iter().filter(|(slot, _)| slot.bus().is_drive());
        let of_kind = |cdrom: bool| drives().filter(move |(_, d)| d.is_cdrom() == cdrom).map(|(slot, _)| *slot);
        let first = |cdrom: bool| of_kind(cdrom).min_by_key(|slot| slot.bus().boot_rank()).map(BootDevice::Disk);
        match (&self.boot, &self.legacy_boot) {
            (Some(order), _) => (100..).zip(order.devices().iter().copied()).filter(|(_, d)| there(d)).collect(),
            (None, Some(legacy)) => self.boot_by_class(legacy),
            (None, None) => {
                let net = self.networks.keys().next().map(|n| BootDevice::Net(*n));
                (100..).zip(first(false).into_iter().chain(first(true)).chain(net)).collect()
            }
        }
    }

    /// Classes get the hundreds in their order; devices count up within theirs, disks that are not booted included.
    fn boot_by_class(&self, legacy: &LegacyBoot) -> Vec<(u32, BootDevice)> {
        let classes = legacy.classes.as_ref().map_or("cdn", |c| c.as_str());
        let hundreds = |class: char| (100..).step_by(100).zip(classes.chars()).filter(|(_, c)| *c == class).last().map(|(n, _)| n);
        let drives = |cdrom: bool| {
            let of_kind = self.disks.iter().filter(|(s, d)| s.bus().is_drive() && d.is_cdrom() == cdrom);
            let mut slots: Vec<DiskSlot> = of_kind.map(|(slot, _)| *slot).collect();
            slots.sort_by_key(|slot| slot.bus().boot_rank());
            slots
        };
        let disks = hundreds('c').into_iter().flat_map(|n: u32| (n..).zip(drives(false)));
        let disks = disks.filter(|(_, slot)| legacy.disk == Some(*slot));
        let cdroms = hundreds('d').into_iter().flat_map(|n| (n..).zip(drives(true)));
        let cards = hundreds('n').into_iter().flat_map(|n| (n..).zip(self.networks.keys().map(|c| BootDevice::Net(*c))));
        let mut order: Vec<_> = disks.chain(cdroms).map(|(n, slot)| (n, BootDevice::Disk(slot))).chain(cards).collect();
        order.sort_unstable();
        order
    }
}
