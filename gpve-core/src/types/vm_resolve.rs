//! From what was asked to what can be launched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cpu::CpuSpec;
use super::disk::{DiskFormat, DiskOptions, DiskSlot, DiskSource};
use super::id::{GuestName, Vmid, VolumeId};
use super::net::MacAddr;
use super::nic::{NicIndex, NicSpec};
use super::unit::ByteSize;
use super::vm::{
    Accel, AgentSpec, BootDevice, DirectKernel, Firmware, Keyboard, MachineKind, MachineSpec, OsType, RawArg, RngSpec, ScsiController,
    SerialPort, Vga, VmSpec,
};
use super::{MemMib, PropertyKey};
use crate::error::{Error, FieldError};

/// A machine with every default filled in, every id allocated and every invariant proven: what a driver launches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedVm {
    /// The guest's number.
    pub vmid: Vmid,
    /// Its name; `vm-VMID` when none was given.
    pub name: GuestName,
    /// SMBIOS system UUID.
    pub uuid: Uuid,
    /// Generation id, if asked for.
    pub generation_id: Option<Uuid>,
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
    /// Disks and drives in slot order.
    pub disks: BTreeMap<DiskSlot, ResolvedDisk>,
    /// Cards in order.
    pub networks: BTreeMap<NicIndex, ResolvedNic>,
    /// Serial ports.
    pub serials: BTreeMap<u8, SerialPort>,
    /// SCSI controller.
    pub scsi_controller: ScsiController,
    /// Display.
    pub vga: Vga,
    /// Agent channel.
    pub agent: Option<AgentSpec>,
    /// Random numbers.
    pub rng: Option<RngSpec>,
    /// What is booted, first first.
    pub boot: Vec<BootDevice>,
    /// Kernel without boot loader.
    pub kernel: Option<DirectKernel>,
    /// Extra arguments.
    pub args: Vec<RawArg>,
    /// USB tablet.
    pub tablet: bool,
    /// ACPI.
    pub acpi: bool,
    /// Keyboard layout.
    pub keyboard: Option<Keyboard>,
    /// A reset ends the guest.
    pub no_reboot: bool,
    /// Settings that have no effect yet; the driver names them in the task log.
    pub without_effect: Vec<PropertyKey>,
}

/// A disk or drive that can be launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedDisk {
    /// The volume; `None` is an empty CD-ROM drive.
    pub volume: Option<VolumeId>,
    /// Shown as CD-ROM.
    pub cdrom: bool,
    /// Options.
    pub options: DiskOptions,
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
    /// What is wrong with the asked machine as a whole, field by field; empty if nothing is.
    ///
    /// Single values are proven by their types; here stand the rules between them.
    pub fn check(&self) -> Vec<FieldError> {
        let mut bad = Vec::new();
        let mut refuse = |field: String, reason: &str| bad.push(FieldError { field, reason: reason.to_owned() });
        if !(1..=4).contains(&self.cpu.sockets) {
            refuse("sockets".into(), "must be 1 to 4");
        }
        if !(1..=128).contains(&self.cpu.cores) {
            refuse("cores".into(), "must be 1 to 128");
        }
        if self.cpu.vcpus.is_some_and(|v| v == 0 || v > self.cpu.total()) {
            refuse("vcpus".into(), "must be 1 to sockets × cores");
        }
        if self.cpu.units.is_some_and(|u| !(1..=262_144).contains(&u)) {
            refuse("cpuunits".into(), "must be 1 to 262144");
        }
        if let super::memory::Ballooning::Min(min) = self.memory.ballooning
            && min > self.memory.size
        {
            refuse("balloon".into(), "must not exceed memory");
        }
        for (slot, disk) in &self.disks {
            if !disk.is_cdrom() && disk.source == DiskSource::Empty {
                refuse(slot.to_string(), "an empty drive must be a CD-ROM (media=cdrom)");
            }
            if disk.name != *slot {
                refuse(slot.to_string(), "is stored under another slot's name");
            }
        }
        for index in self.serials.keys().filter(|i| **i > 3) {
            refuse(format!("serial{index}"), "there are serial0 to serial3");
        }
        let sources = ["/dev/urandom", "/dev/random", "/dev/hwrng"];
        if self.rng.as_ref().is_some_and(|r| !sources.contains(&r.source.as_str())) {
            refuse("rng0".into(), "source must be /dev/urandom, /dev/random or /dev/hwrng");
        }
        if let Some(kernel) = &self.kernel
            && (!kernel.kernel.is_absolute() || kernel.initrd.as_ref().is_some_and(|p| !p.is_absolute()))
        {
            refuse("kernel".into(), "paths must be absolute");
        }
        if self.machine.as_ref().is_some_and(|m| m.kind == MachineKind::Microvm) {
            self.check_microvm(&mut refuse);
        }
        bad
    }

    fn check_microvm(&self, refuse: &mut impl FnMut(String, &str)) {
        for slot in self.disks.keys().filter(|s| s.bus() != super::DiskBus::Virtio) {
            refuse(slot.to_string(), "machine microvm has no PCI: only virtio disks");
        }
        for (index, nic) in &self.networks {
            if nic.model != super::NicModel::Virtio {
                refuse(index.to_string(), "machine microvm has no PCI: only virtio cards");
            }
        }
        if self.bios == Some(Firmware::Ovmf) {
            refuse("bios".into(), "machine microvm has no OVMF");
        }
    }

    /// Fills in defaults and proves the rules. Every disk must have its volume by now and every card its address.
    pub fn resolve(&self, vmid: Vmid, name: Option<&GuestName>) -> Result<ResolvedVm, Error> {
        let mut bad = self.check();
        let mut disks = BTreeMap::new();
        for (slot, disk) in &self.disks {
            match &disk.source {
                DiskSource::New { .. } | DiskSource::Import { .. } => {
                    bad.push(FieldError { field: slot.to_string(), reason: "its volume is not made yet".to_owned() });
                }
                DiskSource::Empty | DiskSource::Volume { .. } => {
                    let volume = disk.volume().cloned();
                    disks.insert(*slot, ResolvedDisk { volume, cdrom: disk.is_cdrom(), options: disk.options.clone() });
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
        if !bad.is_empty() {
            return Err(Error::invalid("vm.resolve", bad).on(format!("vm {vmid}")));
        }
        let default_name = || format!("vm-{vmid}").parse().map_err(|e: super::TextError| Error::internal("vm.resolve", e.to_string()));
        Ok(ResolvedVm {
            vmid,
            name: name.cloned().map_or_else(default_name, Ok)?,
            uuid: self.uuid.unwrap_or_else(|| uuid_of(vmid)),
            generation_id: self.generation_id,
            machine: self.machine.clone().unwrap_or(MachineSpec { kind: MachineKind::Pc, version: None, other: BTreeMap::new() }),
            bios: self.bios.unwrap_or(Firmware::Seabios),
            accel: self.accel.unwrap_or(Accel::Auto),
            os_type: self.os_type.unwrap_or(OsType::Other),
            cpu: self.cpu.clone(),
            memory: self.memory.size,
            balloon: self.memory.ballooning != super::memory::Ballooning::Off,
            boot: self.boot_order(),
            disks,
            networks,
            serials: self.serials.clone(),
            scsi_controller: self.scsi_controller.unwrap_or(ScsiController::Lsi),
            vga: self.vga.unwrap_or(Vga::Std),
            agent: self.agent.filter(|a| a.enabled),
            rng: self.rng.clone(),
            kernel: self.kernel.clone(),
            args: self.args.clone(),
            tablet: self.tablet.unwrap_or(true),
            acpi: self.acpi.unwrap_or(true),
            keyboard: self.keyboard.clone(),
            no_reboot: self.reboot == Some(false),
            without_effect: self.other.keys().filter(|k| !k.is_note()).cloned().collect(),
        })
    }

    /// The boot order: as asked, without absent devices; without one, PVE's: first disk, first CD-ROM, first card.
    fn boot_order(&self) -> Vec<BootDevice> {
        let there = |d: &BootDevice| match d {
            BootDevice::Disk(slot) => self.disks.contains_key(slot),
            BootDevice::Net(nic) => self.networks.contains_key(nic),
        };
        if let Some(order) = &self.boot {
            return order.devices().iter().copied().filter(there).collect();
        }
        let disk = self.disks.iter().find(|(_, d)| !d.is_cdrom()).map(|(s, _)| BootDevice::Disk(*s));
        let cdrom = self.disks.iter().find(|(_, d)| d.is_cdrom()).map(|(s, _)| BootDevice::Disk(*s));
        let net = self.networks.keys().next().map(|n| BootDevice::Net(*n));
        disk.into_iter().chain(cdrom).chain(net).collect()
    }
}

/// A stable UUID for a machine that was stored without one.
fn uuid_of(vmid: Vmid) -> Uuid {
    Uuid::from_u128(0x6770_7665_0000_4000_8000_0000_0000_0000 | u128::from(vmid.get()))
}
