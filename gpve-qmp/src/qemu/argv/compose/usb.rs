//! USB: controllers, the pointer of the console, devices of the host and of the SPICE viewer.

use gpve_core::types::{BootDevice, MachineKind, OsType, UsbDevice, UsbSource};

use super::super::device::Device;
use super::super::layout::{self, Place};
use super::super::refusal::Refusal;
use super::super::switches::Chardev;
use super::Assembly;
use super::display::has_display;
use super::situation::{Situation, usb_source};

/// Devices that a guest could have before boards had QEMU's own xHCI.
const LEGACY_DEVICES: u8 = 5;

/// Ports of the xHCI controller, for each speed.
const XHCI_PORTS: u8 = 15;

/// The controllers that the board lacks, and the pointer.
pub(super) fn controllers(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    match at.board.kind {
        MachineKind::Microvm => return Ok(()),
        MachineKind::Pc => out.device(&Device::new("piix3-usb-uhci").set("id", "uhci").set("bus", "pci.0").set("addr", "0x1.0x2")),
        MachineKind::Virt => drop(out.place(at, Device::new("usb-ehci").set("id", "ehci"), Place::Ehci)),
        MachineKind::Q35 => {}
    }
    let modern = has_xhci(at);
    let any_of = |usb3: bool| at.vm.usb.values().any(|device| (device.usb3 == Some(true)) == usb3);
    if let Some(number) = at.vm.usb.keys().find(|number| !modern && **number >= LEGACY_DEVICES) {
        let reason = "there are usb0 to usb4 only: more need a machine version of 7.1 or later, and Linux or a Windows after 7";
        return Err(Refusal::setting(format!("usb{number}"), reason));
    }
    if !modern && any_of(false) && at.board.kind == MachineKind::Pc {
        layout::pc_usb2().iter().for_each(|device| out.device(device));
    }
    let xhci = Device::new(if modern { "qemu-xhci" } else { "nec-usb-xhci" });
    if modern && !at.vm.usb.is_empty() {
        out.place(at, xhci.set("p2", XHCI_PORTS).set("p3", XHCI_PORTS).set("id", "xhci"), Place::Xhci);
    } else if any_of(true) {
        out.place(at, xhci.set("id", "xhci"), Place::Xhci);
    }
    pointer(at, out);
    Ok(())
}

/// Whether all devices hang on QEMU's own xHCI controller: since 7.1, for systems that know it.
fn has_xhci(at: &Situation<'_>) -> bool {
    at.board.is_at_least(7, 1, 0) && (at.vm.os_type == OsType::L26 || at.windows.is_some_and(|version| version > 7))
}

/// The console's pointer, and ARM's keyboard. SPICE has a pointer of its own; a serial console needs none.
fn pointer(at: &Situation<'_>, out: &mut Assembly) {
    let by_default = at.vga.qxl_screens().is_none() && at.vga.serial_port().is_none();
    if !at.vm.tablet.unwrap_or(by_default) {
        return;
    }
    let bus = if at.board.kind == MachineKind::Pc { "uhci.0" } else { "ehci.0" };
    out.device(&Device::new("usb-tablet").set("id", "tablet").set("bus", bus).set("port", 1u8));
    if at.board.kind == MachineKind::Virt && has_display(at.vm) {
        out.device(&Device::new("usb-kbd").set("id", "keyboard").set("bus", bus).set("port", 2u8));
    }
}

/// The devices.
pub(super) fn devices(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    at.vm.usb.iter().try_for_each(|(number, device)| one(at, out, *number, device))
}

fn one(at: &Situation<'_>, out: &mut Assembly, number: u8, asked: &UsbDevice) -> Result<(), Refusal> {
    let name = format!("usb{number}");
    let modern = has_xhci(at);
    let on_xhci = modern || asked.usb3 == Some(true);
    // With a port of its own a device stays where it is when others come and go.
    let port = modern.then_some(number + 1);
    let boot_index = at.boot_index(BootDevice::Usb(number));
    let host = Device::new("usb-host");
    let host = host.maybe("bus", on_xhci.then_some("xhci.0")).maybe("port", port);
    let host = match usb_source(at.host, number, &asked.source)? {
        UsbSource::Spice => {
            if at.host.spice.is_none() || !at.has_spice() {
                return Err(Refusal::setting(
                    name,
                    "a device of the SPICE viewer needs SPICE: vga: qxl or virtio, on a node that serves it",
                ));
            }
            if boot_index.is_some() {
                out.warn(name, "a device of the SPICE viewer is not booted from");
            }
            let chardev = format!("usbredirchardev{number}");
            out.late(&Chardev::Spice { id: chardev.clone(), backend: "spicevmc", name: "usbredir" });
            let device = Device::new("usb-redir").set("chardev", chardev).set("id", format!("usbredirdev{number}"));
            out.device(&device.set("bus", if on_xhci { "xhci.0" } else { "ehci.0" }).maybe("port", port));
            return Ok(());
        }
        UsbSource::Device(id) => {
            let (vendor, product) = id.parts();
            host.set("vendorid", format!("0x{vendor}")).set("productid", format!("0x{product}"))
        }
        UsbSource::Port(port) => {
            let (bus, ports) = port.parts();
            host.set("hostbus", bus).set("hostport", ports)
        }
        UsbSource::Mapping(mapping) => return Err(super::situation::unmapped(&name, mapping)),
    };
    out.device(&host.set("id", name).maybe("bootindex", boot_index));
    Ok(())
}
