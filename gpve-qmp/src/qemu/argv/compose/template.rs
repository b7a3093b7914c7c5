//! A template is started only to be read: for a backup, with its disks and nothing that a guest would need.

use std::collections::BTreeMap;

use gpve_core::types::{Accel, CpuSpec, MachineKind, MachineSpec, MemMib, OsType, ResolvedVm, Vga};

/// Memory of a machine that runs nothing, in MiB.
const MEMORY: u64 = 512;

/// `vm` with its disks, their controllers and its firmware only.
pub(super) fn reduced(vm: &ResolvedVm) -> ResolvedVm {
    let mut reduced = ResolvedVm {
        accel: Accel::Tcg,
        machine: MachineSpec::of(MachineKind::Pc),
        os_type: OsType::Other,
        cpu: CpuSpec::default(),
        memory: MemMib::try_from(MEMORY).unwrap_or(vm.memory),
        balloon: true,
        vga: Some(Vga::None),
        boot: Vec::new(),
        boot_index: BTreeMap::new(),
        generation_id: None,
        uuid: None,
        tablet: None,
        acpi: true,
        networks: BTreeMap::new(),
        serials: BTreeMap::new(),
        parallels: BTreeMap::new(),
        usb: BTreeMap::new(),
        host_pci: BTreeMap::new(),
        shared_folders: BTreeMap::new(),
        args: Vec::new(),
        keyboard: None,
        no_reboot: false,
        ..vm.clone()
    };
    (reduced.hugepages, reduced.shared_memory, reduced.sev, reduced.tdx) = (None, None, None, None);
    (reduced.audio, reduced.watchdog, reduced.agent, reduced.rng, reduced.kernel) = (None, None, None, None, None);
    (reduced.smbios, reduced.clock, reduced.hotplug) = Default::default();
    (reduced.clipboard, reduced.vga_memory_mib, reduced.no_ksm) = (None, None, false);
    reduced
}
