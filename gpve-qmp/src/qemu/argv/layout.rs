//! Where each device sits on the machine's buses: PVE's map, so that a guest moved from PVE finds its hardware where
//! it was.

use gpve_core::types::MachineKind;

use super::device::{Address, Device, PciBus};

/// What can have a fixed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Display adapter.
    Vga,
    /// Balloon.
    Balloon,
    /// SCSI controller by number.
    Scsi(u8),
    /// The one controller of one disk of `virtio-scsi-single`.
    ScsiSingle(u8),
    /// AHCI controller.
    Ahci,
    /// The guest agent's channel.
    Agent,
    /// virtio-blk disk.
    Virtio(u8),
    /// Network card.
    Net(u8),
    /// Random number generator.
    Rng,
    /// NVMe disk.
    Nvme(u8),
    /// Bridge to `pci.N`.
    Bridge(u8),
}

/// The address of a place; `None` on a board without PCI and for numbers past the last slot.
#[must_use]
pub fn address(machine: MachineKind, place: Place) -> Option<Address> {
    let (bus, slot) = match place {
        // A PCI Express guest wants its display on the root bus.
        Place::Vga if machine == MachineKind::Q35 => return Some(Address { bus: PciBus::Pcie, slot: 1 }),
        Place::Vga => (0, 2),
        Place::Balloon => (0, 3),
        Place::Scsi(number @ 0..=1) => (0, 5 + number),
        Place::Scsi(number) => (4, number.checked_sub(1)?),
        Place::ScsiSingle(number) => (3, number + 1),
        Place::Ahci => (0, 7),
        Place::Agent => (0, 8),
        Place::Virtio(number @ 0..=5) => (0, 10 + number),
        Place::Virtio(number) => (2, number - 5),
        Place::Net(number @ 0..=5) => (0, 18 + number),
        Place::Net(number) => (1, number - 5),
        Place::Rng => (1, 29),
        // PVE has no NVMe: the half of pci.4 that it leaves free.
        Place::Nvme(number) => (4, 16 + number),
        Place::Bridge(1) => (0, 30),
        Place::Bridge(2) => (0, 31),
        Place::Bridge(3) => (0, 5),
        Place::Bridge(4) => (1, 28),
        Place::Bridge(_) => return None,
    };
    let fits = machine != MachineKind::Microvm && (1..=31).contains(&slot);
    fits.then_some(Address { bus: PciBus::Pci(bus), slot })
}

/// The buses that hold the addresses above: two bridges always, so that cards and disks can be added to a running
/// guest, the others where `used`.
#[must_use]
pub fn bridges(machine: MachineKind, used: &[Address]) -> Vec<Device> {
    let bridge = |number: u8| Device::new("pci-bridge").set("id", PciBus::Pci(number).name()).set("chassis_nr", number);
    let is_used = |number: u8| used.iter().any(|address| address.bus == PciBus::Pci(number));
    let numbers = (1..=4).filter(|number| *number <= 2 || is_used(*number));
    match machine {
        MachineKind::Microvm => Vec::new(),
        MachineKind::Pc => numbers.map(|number| bridge(number).at(address(machine, Place::Bridge(number)))).collect(),
        MachineKind::Q35 => {
            let root = Device::new("i82801b11-bridge").set("id", "pcidmi").set("bus", "pcie.0").set("addr", "0x1e");
            // Chassis 1 to 4 are taken by the bridges that the map has; pci.0 is the fifth.
            let pci0 = Device::new("pci-bridge").set("id", "pci.0").set("chassis_nr", 5u8).set("bus", "pcidmi").set("addr", "0x1");
            let below = numbers.map(|number| match number {
                1 | 2 => bridge(number).set("bus", "pcidmi").set("addr", format!("{:#x}", number + 1)),
                _ => bridge(number).at(address(machine, Place::Bridge(number))),
            });
            [root, pci0].into_iter().chain(below).collect()
        }
    }
}

/// The USB controller that the tablet is plugged into, and the tablet.
#[must_use]
pub fn tablet(machine: MachineKind) -> Vec<Device> {
    let tablet = |bus: &str| Device::new("usb-tablet").set("id", "tablet").set("bus", bus).set("port", 1u8);
    match machine {
        MachineKind::Microvm => Vec::new(),
        MachineKind::Pc => {
            vec![Device::new("piix3-usb-uhci").set("id", "uhci").set("bus", "pci.0").set("addr", "0x1.0x2"), tablet("uhci.0")]
        }
        MachineKind::Q35 => {
            let ehci = |driver, id, function| {
                let device = Device::new(driver).set("id", id).set("multifunction", true);
                device.set("bus", "pcie.0").set("addr", format!("0x1d.{function:#x}"))
            };
            let companion = |driver, id, function: u8| ehci(driver, id, function).set("masterbus", "ehci.0").set("firstport", function * 2);
            vec![
                ehci("ich9-usb-ehci1", "ehci", 7),
                companion("ich9-usb-uhci1", "uhci-1", 0),
                companion("ich9-usb-uhci2", "uhci-2", 1),
                companion("ich9-usb-uhci3", "uhci-3", 2),
                tablet("ehci.0"),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_places_share_an_address() {
        let singles = (0..31).map(Place::ScsiSingle);
        let places =
            [Place::Vga, Place::Balloon, Place::Ahci, Place::Agent, Place::Rng, Place::Bridge(1), Place::Bridge(2), Place::Bridge(4)];
        let places = places.into_iter().chain((0..5).map(Place::Scsi)).chain(singles);
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
        assert!(bridges(MachineKind::Microvm, &[]).is_empty());
    }
}
