//! Where each device sits on the machine's buses: PVE's map, so that a guest moved from PVE finds its hardware where
//! it was.

use gpve_core::types::MachineKind;

use super::device::{Address, Device, PciBus};

/// Root ports that a Q35 board has from the start; those of further devices are added with them.
pub const ROOT_PORTS: u8 = 4;

/// What can have a fixed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Display adapter.
    Vga,
    /// Further display adapters of a Windows guest, 1 to 3.
    SecondVga(u8),
    /// Intel graphics of the host in their legacy mode, where their driver looks for them.
    LegacyIgd,
    /// The USB controller of an ARM board.
    Ehci,
    /// USB 3 controller.
    Xhci,
    /// Balloon.
    Balloon,
    /// Watchdog.
    Watchdog,
    /// SCSI controller by number.
    Scsi(u8),
    /// The one controller of one disk of `virtio-scsi-single`.
    ScsiSingle(u8),
    /// AHCI controller.
    Ahci,
    /// The guest agent's channel.
    Agent,
    /// The channel of SPICE's agent.
    Spice,
    /// virtio-blk disk.
    Virtio(u8),
    /// Network card.
    Net(u8),
    /// PCI device of the host.
    HostPci(u8),
    /// Memory shared between guests.
    SharedMemory,
    /// Sound card.
    Audio,
    /// Random number generator.
    Rng,
    /// NVMe disk.
    Nvme(u8),
    /// Bridge to `pci.N`.
    Bridge(u8),
    /// Bridge to `pci.2` where its own place is the graphics' ISA bridge.
    BridgeBesideIgd,
}

/// The address of a place; `None` on a board without PCI and for numbers past the last slot.
#[must_use]
pub fn address(machine: MachineKind, place: Place) -> Option<Address> {
    let (bus, slot) = match (machine, place) {
        (MachineKind::Microvm, _) => return None,
        // A PCI Express guest wants its display on the root bus.
        (MachineKind::Q35, Place::Vga) => return Some(Address { bus: PciBus::Pcie, slot: 1 }),
        (MachineKind::Q35, Place::SharedMemory) => return Some(Address { bus: PciBus::Pcie, slot: 20 }),
        _ => slot(place)?,
    };
    // The root bus of an ARM board is PCI Express, and everything sits on it.
    let bus = if machine == MachineKind::Virt && bus == 0 { PciBus::Pcie } else { PciBus::Pci(bus) };
    (1..=31).contains(&slot).then_some(Address { bus, slot })
}

/// Bus and slot of a place on a PCI board.
fn slot(place: Place) -> Option<(u8, u8)> {
    Some(match place {
        Place::Ehci => (0, 1),
        Place::Vga | Place::LegacyIgd => (0, 2),
        Place::Balloon => (0, 3),
        Place::Watchdog => (0, 4),
        Place::Scsi(number @ 0..=1) => (0, 5 + number),
        Place::Scsi(number) => (4, number.checked_sub(1)?),
        Place::ScsiSingle(number) => (3, number + 1),
        Place::Ahci => (0, 7),
        Place::Agent => (0, 8),
        Place::Spice => (0, 9),
        Place::Virtio(number @ 0..=5) => (0, 10 + number),
        Place::Virtio(number) => (2, number - 5),
        Place::HostPci(number @ 0..=1) => (0, 16 + number),
        Place::HostPci(number @ 2..=3) => (0, 25 + number),
        Place::HostPci(number) => (2, 9 + number),
        Place::Net(number @ 0..=5) => (0, 18 + number),
        Place::Net(number) => (1, number - 5),
        Place::SecondVga(number @ 1..=3) => (0, 23 + number),
        Place::SecondVga(_) => return None,
        Place::Xhci => (1, 27),
        Place::Rng => (1, 29),
        Place::SharedMemory => (2, 11),
        Place::Audio => (2, 12),
        // PVE has no NVMe: the half of pci.4 that it leaves free.
        Place::Nvme(number) => (4, 16 + number),
        Place::Bridge(1) => (0, 30),
        Place::Bridge(2) => (0, 31),
        Place::Bridge(3) => (0, 5),
        Place::Bridge(4) => (1, 28),
        Place::Bridge(_) => return None,
        Place::BridgeBesideIgd => (1, 30),
    })
}

/// The root port of the host's device `number` on a Q35 board.
#[must_use]
pub fn root_port(number: u8) -> String {
    format!("ich9-pcie-port-{}", number + 1)
}

/// The slot on the root bus for the host's device `number`: Windows 7 uses no PCI Express device behind a root port.
#[must_use]
pub fn root_slot(number: u8) -> u8 {
    match number {
        0..=3 => 16 + number,
        4..=10 => 5 + number,
        _ => 10 + number,
    }
}

/// A root port: the first four make one device at slot 0x1c, eight more one at 0x10, and so on.
#[must_use]
pub fn root_port_device(number: u8) -> Device {
    let address = match number {
        0..ROOT_PORTS => format!("1c.{number}"),
        _ => {
            let further = number - ROOT_PORTS;
            format!("{:x}.{}", 16 + further / 8, further % 8)
        }
    };
    let device = Device::new("pcie-root-port").set("id", root_port(number)).set("addr", address);
    let device = device.set("x-speed", 16u8).set("x-width", 32u8).set("multifunction", true).set("bus", "pcie.0");
    device.set("port", number + 1).set("chassis", number + 1)
}

/// A root port of boards before 4.0: Intel's, and as slow as QEMU made links then.
fn old_root_port(number: u8) -> Device {
    let device = Device::new("ioh3420").set("id", root_port(number)).set("addr", format!("1c.{number}")).set("multifunction", true);
    device.set("bus", "pcie.0").set("port", number + 1).set("chassis", number + 1)
}

/// What every Q35 board of PVE has: two USB 2 controllers with their companions, a sound controller without codec, four
/// root ports, and the bridges to the PCI buses that cards and disks sit on. `is_old` is a board before 4.0.
#[must_use]
pub fn q35_board(is_old: bool) -> Vec<Device> {
    let mut devices = [usb2("", 0x1d), usb2("-2", 0x1a)].concat();
    devices.push(Device::new("ich9-intel-hda").set("id", "audio0").set("bus", "pcie.0").set("addr", "1b.0"));
    devices.extend((0..ROOT_PORTS).map(if is_old { old_root_port } else { root_port_device }));
    devices.push(Device::new("i82801b11-bridge").set("id", "pcidmi").set("bus", "pcie.0").set("addr", "1e.0"));
    let bridge = |number: u8| {
        let device = Device::new("pci-bridge").set("id", PciBus::Pci(number).name()).set("bus", "pcidmi");
        device.set("addr", format!("{}.0", number + 1)).set("chassis_nr", number + 1)
    };
    devices.extend((0..4).map(bridge));
    devices
}

/// What PVE adds to a PC for USB 2 devices before it had xHCI.
#[must_use]
pub fn pc_usb2() -> Vec<Device> {
    ehci("", 0x1d, "pci.0")
}

fn usb2(suffix: &str, slot: u8) -> Vec<Device> {
    ehci(suffix, slot, "pcie.0")
}

/// An EHCI controller and its three companions for slow devices.
fn ehci(suffix: &str, slot: u8, bus: &'static str) -> Vec<Device> {
    let second = !suffix.is_empty();
    let function = |driver: &'static str, id: String, function: u8| {
        let device = Device::new(driver).set("id", id).set("multifunction", true).set("bus", bus);
        device.set("addr", format!("{slot:x}.{function}"))
    };
    let id = format!("ehci{suffix}");
    let names = if second {
        ["ich9-usb-uhci4", "ich9-usb-uhci5", "ich9-usb-uhci6"]
    } else {
        ["ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3"]
    };
    let controller = function(if second { "ich9-usb-ehci2" } else { "ich9-usb-ehci1" }, id.clone(), 7);
    let companions = (0u8..).zip(names).map(|(number, driver)| {
        let named = function(driver, format!("uhci-{}", number + if second { 4 } else { 1 }), number);
        named.set("masterbus", format!("{id}.0")).set("firstport", number * 2)
    });
    std::iter::once(controller).chain(companions).collect()
}

/// The buses that hold the addresses above: two bridges always, so that cards and disks can be added to a running
/// guest, the others where `used`. Those of a Q35 board are part of it, but for the fourth.
#[must_use]
pub fn bridges(machine: MachineKind, used: &[PciBus], beside_igd: bool) -> Vec<Device> {
    let is_used = |number: u8| used.contains(&PciBus::Pci(number));
    let is_there = |number: &u8| match machine {
        MachineKind::Microvm => false,
        MachineKind::Q35 => *number == 4 && is_used(4),
        MachineKind::Pc | MachineKind::Virt => *number <= 2 || is_used(*number),
    };
    let place = |number| if number == 2 && beside_igd { Place::BridgeBesideIgd } else { Place::Bridge(number) };
    let bridge = |number: u8| {
        let device = Device::new("pci-bridge").set("id", PciBus::Pci(number).name()).set("chassis_nr", number);
        device.at(address(machine, place(number)))
    };
    (1..=4).filter(is_there).map(bridge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_places_share_an_address() {
        let places = [
            Place::Vga,
            Place::Balloon,
            Place::Watchdog,
            Place::Ahci,
            Place::Agent,
            Place::Spice,
            Place::Ehci,
            Place::Xhci,
            Place::Rng,
            Place::SharedMemory,
            Place::Audio,
            Place::Bridge(1),
            Place::Bridge(2),
            Place::Bridge(4),
            Place::BridgeBesideIgd,
        ];
        let places = places.into_iter().chain((0..5).map(Place::Scsi)).chain((0..31).map(Place::ScsiSingle));
        let places = places.chain((1..4).map(Place::SecondVga)).chain((0..16).map(Place::HostPci));
        let places = places.chain((0..16).map(Place::Virtio)).chain((0..32).map(Place::Net)).chain((0..8).map(Place::Nvme));
        let mut addresses: Vec<_> = places.map(|place| address(MachineKind::Pc, place)).collect();
        assert!(addresses.iter().all(Option::is_some));
        let all = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), all);
    }

    #[test]
    fn a_board_without_pci_has_no_addresses() {
        assert_eq!(address(MachineKind::Microvm, Place::Net(0)), None);
        assert!(bridges(MachineKind::Microvm, &[], false).is_empty());
    }

    #[test]
    fn windows_7_finds_each_device_of_the_host_in_a_slot_of_its_own() {
        let mut slots: Vec<_> = (0..16).map(root_slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 16);
        // Display and shared memory.
        assert!(!slots.contains(&1) && !slots.contains(&20) && slots.iter().all(|slot| *slot < 0x1a));
    }
}
