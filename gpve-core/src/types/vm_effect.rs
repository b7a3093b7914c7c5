//! Settings that are kept and shown and that no part of this version carries out yet.

use super::display::Vga;
use super::machine::{Arch, MachineSpec};
use super::vm::VmSpec;
use super::{DiskOptions, DiskSlot};

impl VmSpec {
    /// The settings that have no effect yet, by Proxmox VE's names (`watchdog`, `scsi0.queues`). A start names them in
    /// its log, so that nobody takes them for done.
    pub fn without_effect(&self) -> Vec<String> {
        let other = self.other.keys().filter(|k| !k.is_note()).map(ToString::to_string);
        let named = |(asked, name): (bool, &str)| asked.then(|| name.to_owned());
        let single = self.processors().into_iter().chain(self.board()).chain(self.console()).chain(self.upkeep());
        let board = self.machine.iter().flat_map(|m| machine(m).into_iter().filter_map(named));
        let disks = self.disks.iter().flat_map(|(slot, disk)| disk_options(*slot, &disk.options));
        other.chain(single.filter_map(named)).chain(board).chain(disks).chain(self.devices()).collect()
    }

    fn processors(&self) -> Vec<(bool, &'static str)> {
        let (cpu, memory) = (&self.cpu, &self.memory);
        vec![
            (cpu.hv_vendor_id.is_some(), "cpu.hv-vendor-id"),
            (cpu.phys_bits.is_some(), "cpu.phys-bits"),
            (cpu.guest_phys_bits.is_some(), "cpu.guest-phys-bits"),
            (cpu.reported_model.is_some(), "cpu.reported-model"),
            (cpu.level.is_some(), "cpu.level"),
            (cpu.affinity.is_some(), "affinity"),
            (memory.hugepages.is_some(), "hugepages"),
            (memory.keep_hugepages == Some(true), "keephugepages"),
            (memory.allow_ksm == Some(false), "allow-ksm"),
            (self.shared_memory.is_some(), "ivshmem"),
            (self.sev.is_some(), "amd-sev"),
            (self.tdx.is_some(), "intel-tdx"),
        ]
    }

    fn board(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.arch == Some(Arch::Aarch64), "arch"),
            (!self.smbios.is_default(), "smbios1"),
            (self.clock.local_time.is_some(), "localtime"),
            (self.clock.start.as_ref().is_some_and(|s| s.as_str() != "now"), "startdate"),
            (self.clock.drift_fix.is_some(), "tdf"),
            (self.freeze == Some(true), "freeze"),
            (self.hotplug.is_some(), "hotplug"),
        ]
    }

    fn console(&self) -> Vec<(bool, &'static str)> {
        let screens = self.vga.and_then(Vga::qxl_screens).is_some_and(|n| n > 1);
        vec![
            (screens, "vga"),
            (self.vga_memory_mib.is_some(), "vga.memory"),
            (self.clipboard.is_some(), "vga.clipboard"),
            (self.spice.is_some(), "spice_enhancements"),
            (self.audio.is_some(), "audio0"),
            (self.watchdog.is_some(), "watchdog"),
        ]
    }

    fn upkeep(&self) -> Vec<(bool, &'static str)> {
        let ci = &self.cloud_init;
        vec![
            (ci.kind.is_some(), "citype"),
            (ci.user.is_some(), "ciuser"),
            (ci.password.is_some(), "cipassword"),
            (ci.upgrade.is_some(), "ciupgrade"),
            (ci.ssh_keys.is_some(), "sshkeys"),
            (!ci.nameservers.is_empty(), "nameserver"),
            (ci.search_domain.is_some(), "searchdomain"),
            (!ci.files.is_default(), "cicustom"),
            (self.hook_script.is_some(), "hookscript"),
            (self.migration.downtime_ms.is_some(), "migrate_downtime"),
            (self.migration.speed_mb.is_some(), "migrate_speed"),
            (self.state_storage.is_some(), "vmstatestorage"),
            (self.lock.is_some(), "lock"),
        ]
    }

    fn devices(&self) -> Vec<String> {
        fn names<'a>(stem: &'a str, keys: impl Iterator<Item = &'a u8> + 'a) -> impl Iterator<Item = String> + 'a {
            keys.map(move |n| format!("{stem}{n}"))
        }
        names("numa", self.cpu.numa_nodes.keys())
            .chain(names("ipconfig", self.cloud_init.addresses.keys()))
            .chain(names("parallel", self.parallels.keys()))
            .chain(names("usb", self.usb.keys()))
            .chain(names("hostpci", self.host_pci.keys()))
            .chain(names("virtiofs", self.shared_folders.keys()))
            .collect()
    }
}

fn machine(m: &MachineSpec) -> [(bool, &'static str); 4] {
    [
        (m.viommu.is_some(), "machine.viommu"),
        (m.aw_bits.is_some(), "machine.aw-bits"),
        (m.enable_s3.is_some(), "machine.enable-s3"),
        (m.enable_s4.is_some(), "machine.enable-s4"),
    ]
}

/// Options of a disk; of UEFI variables and TPM state the disk as a whole.
fn disk_options(slot: DiskSlot, o: &DiskOptions) -> Vec<String> {
    if !slot.bus().is_drive() {
        return vec![slot.to_string()];
    }
    let known = [
        (o.detect_zeroes.is_some(), "detect_zeroes"),
        (o.queues.is_some(), "queues"),
        (o.scsiblock == Some(true), "scsiblock"),
        (o.snapshot == Some(true), "snapshot"),
        (o.rerror.is_some(), "rerror"),
        (o.werror.is_some(), "werror"),
        (!o.throttle.is_default(), "throttle"),
        (o.wwn.is_some(), "wwn"),
        (o.model.is_some(), "model"),
        (o.vendor.is_some(), "vendor"),
        (o.product.is_some(), "product"),
    ];
    let known = known.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name.to_owned());
    known.chain(o.other.keys().map(ToString::to_string)).map(|name| format!("{slot}.{name}")).collect()
}
