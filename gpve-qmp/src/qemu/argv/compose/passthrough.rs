//! PCI devices of the host: which functions a guest gets, and where it sees them.

use std::collections::{BTreeMap, BTreeSet};

use gpve_core::types::{BootDevice, HostPci, MachineKind, MappingId, PciAddress, PciSource, ResolvedVm, Vga};

use super::super::device::{Address, Device, PciBus};
use super::super::layout::{self, Place};
use super::super::refusal::Refusal;
use super::Assembly;
use super::situation::{Situation, mapping_name};

/// Where an administrator puts ROM files, as on PVE.
const ROM_DIRECTORY: &str = "/usr/share/kvm";

/// Where Intel graphics are on every host.
const IGD: &str = "0000:00:02.0";

/// One of the devices that a mapping names: the functions that make it up.
pub type MappedDevice = Vec<PciAddress>;

/// Chooses the functions for each PCI device of `vm`: those it names, and of a mapping the first device that is free.
///
/// `there` are the functions that the host has, `taken` those that other guests have.
///
/// # Errors
/// A device that the host lacks, that is asked for twice, or of which none is free.
pub fn reserve(
    vm: &ResolvedVm,
    there: &BTreeSet<PciAddress>,
    mappings: &BTreeMap<MappingId, Vec<MappedDevice>>,
    taken: &BTreeSet<PciAddress>,
) -> Result<BTreeMap<u8, Vec<PciAddress>>, Refusal> {
    let mut used = BTreeSet::new();
    let mut chosen = BTreeMap::new();
    // What is named comes first, so that no mapping takes it.
    for (number, device) in &vm.host_pci {
        let PciSource::Devices(asked) = &device.source else { continue };
        let functions = functions(*number, asked, there)?;
        // One device serves many mediated ones.
        if device.mdev.is_none() && functions.iter().any(|function| !used.insert(*function)) {
            return Err(Refusal::setting(format!("hostpci{number}"), "the guest has this device already"));
        }
        chosen.insert(*number, functions);
    }
    for (number, device) in &vm.host_pci {
        let PciSource::Mapping(mapping) = &device.source else { continue };
        let none = |why: &str| Refusal::host(format!("hostpci{number}"), format!("mapping '{mapping}': {why}"));
        let known = mappings.get(mapping).ok_or_else(|| none("has no device on this node"))?;
        if device.mdev.is_some() {
            // Which of them still has room for another is known only when it is made.
            chosen.insert(*number, known.concat());
            continue;
        }
        let is_free = |functions: &&MappedDevice| !functions.iter().any(|function| used.contains(function) || taken.contains(function));
        let functions = known.iter().find(is_free).ok_or_else(|| none("all of its devices are in use"))?;
        used.extend(functions.iter().copied());
        chosen.insert(*number, functions.clone());
    }
    Ok(chosen)
}

/// The functions that `asked` stands for: without a function, all of the device.
fn functions(number: u8, asked: &[PciAddress], there: &BTreeSet<PciAddress>) -> Result<Vec<PciAddress>, Refusal> {
    let mut functions = Vec::new();
    for address in asked {
        let same = |known: &&PciAddress| known.domain() == address.domain() && known.bus_device() == address.bus_device();
        let found: Vec<_> = match address.function() {
            Some(_) => there.get(address).into_iter().copied().collect(),
            None => there.iter().filter(same).copied().collect(),
        };
        if found.is_empty() {
            return Err(Refusal::host(format!("hostpci{number}"), format!("this host has no PCI device {}", address.sysfs())));
        }
        functions.extend(found);
    }
    Ok(functions)
}

pub(super) fn devices(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let legacy = at.vm.host_pci.values().filter(|device| device.legacy_igd == Some(true)).count();
    at.vm.host_pci.iter().try_for_each(|(number, asked)| one(at, out, *number, asked, legacy))
}

fn one(at: &Situation<'_>, out: &mut Assembly, number: u8, asked: &HostPci, legacy: usize) -> Result<(), Refusal> {
    let name = format!("hostpci{number}");
    let functions = at.host.pci.get(&number).filter(|functions| !functions.is_empty());
    let unchosen = || Refusal::host(&*name, format!("no device was chosen for '{}'", mapping_name(&asked.source)));
    let functions = functions.ok_or_else(unchosen)?;
    if asked.legacy_igd == Some(true) {
        check_legacy(at, &name, asked, functions, legacy)?;
    }
    let place = place(at, out, number, asked)?;
    if let Some(mdev) = &asked.mdev {
        if asked.legacy_igd == Some(true) {
            return Err(Refusal::setting(name, format!("legacy-igd is of the whole device, not of mediated device {mdev}")));
        }
        let device = Device::new("vfio-pci").set("sysfsdev", mediated(at, number)).set("id", &*name);
        out.device(&options(at, number, asked, located(device, &place, None), false));
        return Ok(());
    }
    let is_several = functions.len() > 1;
    for (function, address) in (0u8..).zip(functions) {
        let suffix = is_several.then(|| format!(".{function}"));
        let device = Device::new("vfio-pci").set("host", address.sysfs());
        let device = device.set("id", format!("{name}{}", suffix.as_deref().unwrap_or_default()));
        let device = located(device, &place, is_several.then_some(function));
        // The first function speaks for all.
        out.device(&if function == 0 { options(at, number, asked, device, is_several) } else { device });
    }
    Ok(())
}

/// Bus and slot, both as QEMU writes them.
struct Slot {
    bus: String,
    slot: String,
}

impl From<Address> for Slot {
    fn from(address: Address) -> Self {
        Self { bus: address.bus.name(), slot: format!("{:#x}", address.slot) }
    }
}

fn place(at: &Situation<'_>, out: &mut Assembly, number: u8, asked: &HostPci) -> Result<Slot, Refusal> {
    if asked.pcie == Some(true) {
        if at.board.kind != MachineKind::Q35 {
            return Err(Refusal::setting(format!("hostpci{number}"), "pcie=1 needs machine: q35"));
        }
        if at.windows == Some(7) {
            return Ok(Address { bus: PciBus::Pcie, slot: layout::root_slot(number) }.into());
        }
        if number >= layout::ROOT_PORTS {
            out.device(&layout::root_port_device(number));
        }
        return Ok(Slot { bus: layout::root_port(number), slot: "0x0".to_owned() });
    }
    let place = if asked.legacy_igd == Some(true) { Place::LegacyIgd } else { Place::HostPci(number) };
    let address = at.address(place);
    out.use_bus(address);
    address.map(Slot::from).ok_or_else(|| Refusal::setting(format!("hostpci{number}"), "this machine has no PCI"))
}

fn located(device: Device, place: &Slot, function: Option<u8>) -> Device {
    let suffix = function.map(|function| format!(".{function}")).unwrap_or_default();
    device.set("bus", &*place.bus).set("addr", format!("{}{suffix}", place.slot))
}

fn options(at: &Situation<'_>, number: u8, asked: &HostPci, device: Device, is_several: bool) -> Device {
    // UEFI starts the card's own firmware; a BIOS needs its VGA registers.
    let vga = asked.x_vga == Some(true) && at.vm.bios == gpve_core::types::Firmware::Seabios;
    let device = device.maybe("rombar", (asked.rombar == Some(false)).then_some(0u8)).maybe("x-vga", vga.then_some(true));
    let device = device.maybe("multifunction", is_several.then_some(true));
    let device = device.maybe("romfile", asked.romfile.as_ref().map(|file| format!("{ROM_DIRECTORY}/{file}")));
    let device = device.maybe("bootindex", at.boot_index(BootDevice::HostPci(number)));
    let id = |number: Option<gpve_core::types::PciNumber>| number.map(|number| number.to_string());
    let device = device.maybe("x-pci-vendor-id", id(asked.vendor_id)).maybe("x-pci-device-id", id(asked.device_id));
    device.maybe("x-pci-sub-vendor-id", id(asked.sub_vendor_id)).maybe("x-pci-sub-device-id", id(asked.sub_device_id))
}

/// Where the kernel shows the guest's mediated device `number`; guest and number make its id.
fn mediated(at: &Situation<'_>, number: u8) -> String {
    format!("/sys/bus/mdev/devices/{number:08}-0000-0000-0000-{:012}", at.vm.vmid.get())
}

/// The driver of Intel graphics in legacy mode takes the machine for the host itself, and finds everything by its place.
fn check_legacy(at: &Situation<'_>, name: &str, asked: &HostPci, functions: &[PciAddress], legacy: usize) -> Result<(), Refusal> {
    let reason = if legacy > 1 {
        "only one device can be in legacy-igd mode"
    } else if at.vm.vga != Some(Vga::None) {
        "legacy-igd needs vga: none"
    } else if asked.rombar == Some(false) {
        "legacy-igd needs the device's ROM"
    } else if asked.x_vga == Some(true) {
        "legacy-igd excludes x-vga"
    } else if at.board.kind != MachineKind::Pc {
        "legacy-igd needs machine: pc"
    } else if functions.len() > 1 {
        "legacy-igd is of one function"
    } else if functions.iter().any(|function| function.sysfs() != IGD) {
        "legacy-igd is of the host's 00:02.0 only"
    } else {
        return Ok(());
    };
    Err(Refusal::setting(name, reason))
}
