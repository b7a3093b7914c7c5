//! The rules between the fields of a machine.

use std::path::{Component, Path};

use super::disk::{DiskBus, DiskSource};
use super::machine::{Arch, MachineKind};
use super::memory::Ballooning;
use super::nic::NicModel;
use super::passthrough::{HostPci, PciSource, SharedFolder};
use super::usb::UsbDevice;
use super::vm::{Firmware, VmSpec};
use super::{CpuSpec, DiskSpec, ParallelPort};
use crate::error::FieldError;

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
        if let Ballooning::Min(min) = self.memory.ballooning
            && min > self.memory.size
        {
            refuse("balloon".into(), "must not exceed memory");
        }
        self.check_disks(&mut refuse);
        self.check_cloud_init(&mut refuse);
        self.check_processors(&mut refuse);
        self.check_devices(&mut refuse);
        let sources = ["/dev/urandom", "/dev/random", "/dev/hwrng"];
        if self.rng.as_ref().is_some_and(|r| !sources.contains(&r.source.as_str())) {
            refuse("rng0".into(), "source must be /dev/urandom, /dev/random or /dev/hwrng");
        }
        if self.hook_script.as_ref().is_some_and(|script| !script.name().as_str().starts_with("snippets/")) {
            refuse("hookscript".into(), "must be a snippet: STORAGE:snippets/NAME");
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
        for slot in self.disks.keys().filter(|s| s.bus() != DiskBus::Virtio) {
            refuse(slot.to_string(), "machine microvm has no PCI: only virtio disks");
        }
        for (index, nic) in &self.networks {
            if nic.model != NicModel::Virtio {
                refuse(index.to_string(), "machine microvm has no PCI: only virtio cards");
            }
        }
        if self.bios == Some(Firmware::Ovmf) {
            refuse("bios".into(), "machine microvm has no OVMF");
        }
    }

    fn check_disks(&self, refuse: &mut impl FnMut(String, &str)) {
        for (slot, disk) in &self.disks {
            if slot.bus().is_drive() && !disk.is_cdrom() && disk.source == DiskSource::Empty {
                refuse(slot.to_string(), "an empty drive must be a CD-ROM (media=cdrom)");
            }
            let is_plain = |path: &Path| path.is_absolute() && !path.components().any(|c| c == Component::ParentDir);
            if disk.host_path().is_some_and(|path| !is_plain(path)) {
                refuse(slot.to_string(), "the path must be absolute and without '..'");
            }
            if !slot.bus().is_drive() && (disk.is_cdrom() || matches!(disk.source, DiskSource::Empty | DiskSource::Host(_))) {
                refuse(slot.to_string(), "needs a volume");
            }
            if matches!(disk.source, DiskSource::CloudInit { .. }) && !disk.is_cdrom() {
                refuse(slot.to_string(), "a cloud-init drive must be a CD-ROM (media=cdrom)");
            }
            if disk.name != *slot {
                refuse(slot.to_string(), "is stored under another slot's name");
            }
            if let Some(problem) = misplaced(disk) {
                refuse(slot.to_string(), problem);
            }
            if let Some(problem) = disk.options.throttle.problem() {
                refuse(slot.to_string(), problem);
            }
        }
    }

    /// A volume of a fixed name can be made once.
    fn check_cloud_init(&self, refuse: &mut impl FnMut(String, &str)) {
        let drives = self.disks.iter().filter(|(_, disk)| disk.is_cloud_init());
        for (slot, _) in drives.skip(1) {
            refuse(slot.to_string(), "there is a cloud-init drive already, and a machine has one");
        }
    }

    fn check_processors(&self, refuse: &mut impl FnMut(String, &str)) {
        for index in self.cpu.numa_nodes.keys().filter(|i| **i >= CpuSpec::NUMA_NODES) {
            refuse(format!("numa{index}"), "there are numa0 to numa7");
        }
        if self.cpu.guest_phys_bits.is_some_and(|bits| !(32..=64).contains(&bits)) {
            refuse("cpu".into(), "guest-phys-bits must be 32 to 64");
        }
        let Some(machine) = &self.machine else { return };
        if machine.aw_bits.is_some_and(|bits| !(32..=64).contains(&bits)) {
            refuse("machine".into(), "aw-bits must be 32 to 64");
        }
        match (self.arch, machine.kind) {
            (Some(Arch::Aarch64), MachineKind::Pc | MachineKind::Q35 | MachineKind::Microvm) => {
                refuse("machine".into(), "architecture aarch64 has machine virt");
            }
            (Some(Arch::X86_64), MachineKind::Virt) => refuse("machine".into(), "machine virt is of architecture aarch64"),
            _ => {}
        }
    }

    fn check_devices(&self, refuse: &mut impl FnMut(String, &str)) {
        fn beyond<'a>(keys: impl Iterator<Item = &'a u8>, count: u8, stem: &str) -> Vec<(String, String)> {
            let reason = format!("there are {stem}0 to {stem}{}", count - 1);
            keys.filter(|i| **i >= count).map(|i| (format!("{stem}{i}"), reason.clone())).collect()
        }
        let numbered = [
            beyond(self.serials.keys(), 4, "serial"),
            beyond(self.parallels.keys(), ParallelPort::COUNT, "parallel"),
            beyond(self.usb.keys(), UsbDevice::COUNT, "usb"),
            beyond(self.host_pci.keys(), HostPci::COUNT, "hostpci"),
            beyond(self.shared_folders.keys(), SharedFolder::COUNT, "virtiofs"),
            beyond(self.cloud_init.addresses.keys(), 32, "ipconfig"),
        ];
        for (field, reason) in numbered.into_iter().flatten() {
            refuse(field, &reason);
        }
        let none = |pci: &HostPci| matches!(&pci.source, PciSource::Devices(devices) if devices.is_empty());
        for (index, _) in self.host_pci.iter().filter(|(_, pci)| none(pci)) {
            refuse(format!("hostpci{index}"), "names no device");
        }
        if self.vga_memory_mib.is_some_and(|mib| !(4..=512).contains(&mib)) {
            refuse("vga".into(), "memory must be 4 to 512");
        }
        if self.shared_memory.as_ref().is_some_and(|m| m.size_mib == 0) {
            refuse("ivshmem".into(), "size must be 1 or more");
        }
    }
}

/// What is wrong with an option that only other slots have.
fn misplaced(disk: &DiskSpec) -> Option<&'static str> {
    let o = &disk.options;
    let bus = disk.name.bus();
    let of_efi = o.efi_type.is_some() || o.pre_enrolled_keys.is_some() || o.ms_cert.is_some();
    let of_scsi = o.queues.is_some() || o.scsiblock.is_some() || o.vendor.is_some() || o.product.is_some();
    if of_efi && bus != DiskBus::Efi {
        return Some("efitype, pre-enrolled-keys and ms-cert are options of efidisk0");
    }
    if o.tpm_version.is_some() && bus != DiskBus::Tpm {
        return Some("version is an option of tpmstate0");
    }
    if of_scsi && bus != DiskBus::Scsi {
        return Some("queues, scsiblock, vendor and product are options of SCSI disks");
    }
    if o.model.is_some() && bus != DiskBus::Ide {
        return Some("model is an option of IDE disks");
    }
    o.queues.is_some_and(|n| n < 2).then_some("queues must be 2 or more")
}
