//! What every part of a machine looks at: the machine, its host, and what follows from both.

use gpve_core::types::{Arch, BootDevice, PciSource, ResolvedVm, UsbSource, Vga};

use super::super::board::{Board, windows_version};
use super::super::device::Address;
use super::super::layout::{self, Place};
use super::super::refusal::Refusal;
use super::super::switches::Accelerator;
use super::host::Host;

/// A machine on its host.
pub(super) struct Situation<'a> {
    pub(super) vm: &'a ResolvedVm,
    pub(super) host: &'a Host,
    pub(super) board: Board,
    /// Windows' own version.
    pub(super) windows: Option<u8>,
    /// Display adapter.
    pub(super) vga: Vga,
    /// A graphics card of the host is the guest's display: its driver shall not notice the hypervisor.
    pub(super) has_host_gpu: bool,
    /// Intel graphics in their legacy mode need the place of the second bridge.
    pub(super) beside_igd: bool,
}

impl<'a> Situation<'a> {
    pub(super) fn new(vm: &'a ResolvedVm, host: &'a Host) -> Result<Self, Refusal> {
        let board = Board::of(vm, &host.facts)?;
        let has_host_gpu = vm.host_pci.values().any(|device| device.x_vga == Some(true));
        let vga = vm.vga.unwrap_or(match board.arch {
            _ if has_host_gpu => Vga::None,
            // The standard adapter's memory is not coherent there.
            Arch::Aarch64 => Vga::Virtio,
            Arch::X86_64 => Vga::Std,
        });
        Ok(Self {
            vm,
            host,
            board,
            windows: windows_version(vm.os_type),
            vga,
            has_host_gpu,
            beside_igd: vm.host_pci.values().any(|device| device.legacy_igd == Some(true)),
        })
    }

    pub(super) fn address(&self, place: Place) -> Option<Address> {
        layout::address(self.board.kind, place)
    }

    pub(super) fn is_kvm(&self) -> bool {
        self.host.accelerator == Accelerator::Kvm
    }

    /// The rank of a device among those that are booted, as `bootindex`.
    pub(super) fn boot_index(&self, device: BootDevice) -> Option<u32> {
        self.vm.boot_index.get(&device).copied()
    }

    /// Whether the guest is shown through SPICE: by its adapter.
    pub(super) fn has_spice(&self) -> bool {
        self.vga.qxl_screens().is_some() || matches!(self.vga, Vga::Virtio | Vga::VirtioGl)
    }
}

/// A mapping that nobody resolved for this host.
pub(super) fn unmapped(field: &str, mapping: &dyn std::fmt::Display) -> Refusal {
    Refusal::host(field, format!("the mapping '{mapping}' has no device on this node"))
}

/// What a USB device is, its mapping resolved.
pub(super) fn usb_source<'a>(host: &'a Host, number: u8, asked: &'a UsbSource) -> Result<&'a UsbSource, Refusal> {
    match asked {
        UsbSource::Mapping(mapping) => host.usb.get(&number).ok_or_else(|| unmapped(&format!("usb{number}"), mapping)),
        known => Ok(known),
    }
}

/// The name that a PCI source is reported by.
pub(super) fn mapping_name(source: &PciSource) -> String {
    match source {
        PciSource::Mapping(mapping) => mapping.to_string(),
        PciSource::Devices(devices) => devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(";"),
    }
}
