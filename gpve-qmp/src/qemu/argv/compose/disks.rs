//! Disks: their nodes, their devices, and the controllers that they hang on.

use gpve_core::types::{Aio, BootDevice, DiskBus, DiskSlot, MachineKind, ResolvedDisk, ResolvedVm, ScsiController};

use super::super::blockdev::{Blockdev, Image, has_write_cache, throttle_group, top_node};
use super::super::device::{Address, Device, Object};
use super::super::layout::Place;
use super::super::line::CommandLine;
use super::{Host, boot_index, taken};

/// Disks on one controller of the LSI family, which has seven targets of its own.
const LSI_TARGETS: u8 = 7;

/// All disks of a machine.
pub(super) struct Disks {
    pub(super) objects: Vec<Object>,
    pub(super) addresses: Vec<Address>,
    parts: Vec<DiskDevices>,
}

/// What one disk consists of.
#[derive(Debug, Clone)]
pub struct DiskDevices {
    /// I/O thread and throttle group.
    pub objects: Vec<Object>,
    /// The controller that it needs, unless another disk before it brought the same; its id and device.
    pub controller: Option<(String, Device)>,
    /// Its nodes; an empty drive has none.
    pub blockdev: Option<Blockdev>,
    /// The disk itself.
    pub device: Device,
    addresses: Vec<Address>,
}

impl Disks {
    pub(super) fn push(&self, line: &mut CommandLine) {
        let mut controllers = Vec::new();
        for part in &self.parts {
            if let Some((id, controller)) = &part.controller
                && !controllers.contains(&id)
            {
                line.push(controller);
                controllers.push(id);
            }
            line.extend(&part.blockdev);
            line.push(&part.device);
        }
    }
}

pub(super) fn of_machine(vm: &ResolvedVm, host: &Host) -> Disks {
    let part = |(slot, disk): (&DiskSlot, &ResolvedDisk)| disk_devices(vm, *slot, disk, host.images.get(slot), host.default_aio);
    let parts: Vec<_> = vm.disks.iter().map(part).collect();
    Disks {
        objects: parts.iter().flat_map(|part| part.objects.clone()).collect(),
        addresses: parts.iter().flat_map(|part| part.addresses.clone()).collect(),
        parts,
    }
}

/// What the disk in `slot` consists of; without an image it is an empty drive.
#[must_use]
pub fn disk_devices(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, image: Option<&Image>, default_aio: Aio) -> DiskDevices {
    let blockdev = image.map(|image| Blockdev::new(&slot.to_string(), image, &disk.options, default_aio));
    let iothread = disk.options.iothread == Some(true);
    let controller = controller(vm, slot, iothread);
    let single = controller.as_ref().is_some_and(|controller| controller.single);
    let mut objects = Vec::new();
    if iothread && (single || slot.bus() == DiskBus::Virtio) {
        objects.push(Object::IoThread { id: iothread_id(slot, single) });
    }
    if blockdev.is_some() {
        objects.push(Object::ThrottleGroup { id: throttle_group(&slot.to_string()) });
    }
    let place = own_place(slot).and_then(|place| taken(vm, place));
    let device = device(vm, slot, disk, place, blockdev.is_some());
    let addresses = controller.iter().filter_map(|controller| controller.address).chain(place).collect();
    DiskDevices { objects, controller: controller.map(|controller| (controller.id, controller.device)), blockdev, device, addresses }
}

struct Controller {
    id: String,
    device: Device,
    address: Option<Address>,
    /// One disk only, which names its I/O thread after the controller.
    single: bool,
}

/// Whether every SCSI disk has a controller of its own.
fn is_single(vm: &ResolvedVm) -> bool {
    vm.scsi_controller == ScsiController::VirtioScsiSingle
}

/// The number of the SCSI controller that a disk is on, and its target there.
fn scsi_position(vm: &ResolvedVm, slot: DiskSlot) -> (u8, u8) {
    match vm.scsi_controller {
        ScsiController::Lsi | ScsiController::Lsi53c810 => (slot.index() / LSI_TARGETS, slot.index() % LSI_TARGETS),
        _ => (0, slot.index()),
    }
}

fn controller(vm: &ResolvedVm, slot: DiskSlot, iothread: bool) -> Option<Controller> {
    match slot.bus() {
        DiskBus::Scsi if is_single(vm) => {
            let address = taken(vm, Place::ScsiSingle(slot.index()));
            let id = format!("virtioscsi{}", slot.index());
            let device = Device::new("virtio-scsi-pci").set("id", &*id).at(address);
            let device = device.maybe("iothread", iothread.then(|| iothread_id(slot, true)));
            Some(Controller { id, device, address, single: true })
        }
        DiskBus::Scsi => {
            let driver = match vm.scsi_controller {
                ScsiController::Lsi => "lsi",
                ScsiController::Lsi53c810 => "lsi53c810",
                ScsiController::VirtioScsiPci | ScsiController::VirtioScsiSingle => "virtio-scsi-pci",
                ScsiController::Megasas => "megasas",
                ScsiController::Pvscsi => "pvscsi",
            };
            let (number, _) = scsi_position(vm, slot);
            let address = taken(vm, Place::Scsi(number));
            let id = format!("scsihw{number}");
            let device = Device::new(driver).set("id", &*id).at(address);
            Some(Controller { id, device, address, single: false })
        }
        DiskBus::Sata => {
            let address = taken(vm, Place::Ahci);
            let device = Device::new("ahci").set("id", "ahci0").set("multifunction", true).at(address);
            Some(Controller { id: "ahci0".to_owned(), device, address, single: false })
        }
        DiskBus::Ide | DiskBus::Virtio | DiskBus::Nvme => None,
    }
}

fn own_place(slot: DiskSlot) -> Option<Place> {
    match slot.bus() {
        DiskBus::Virtio => Some(Place::Virtio(slot.index())),
        DiskBus::Nvme => Some(Place::Nvme(slot.index())),
        DiskBus::Scsi | DiskBus::Ide | DiskBus::Sata => None,
    }
}

fn iothread_id(slot: DiskSlot, single: bool) -> String {
    if single { format!("iothread-virtioscsi{}", slot.index()) } else { format!("iothread-{slot}") }
}

fn device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, place: Option<Address>, has_nodes: bool) -> Device {
    let drive = has_nodes.then(|| top_node(&slot.to_string()));
    let id = slot.to_string();
    let positioned = match slot.bus() {
        DiskBus::Scsi => scsi_device(vm, slot, disk).maybe("drive", drive.clone()).set("id", id).maybe("device_id", drive),
        DiskBus::Ide | DiskBus::Sata => ata_device(vm, slot, disk).maybe("drive", drive).set("id", id),
        DiskBus::Virtio => {
            let driver = if vm.machine.kind == MachineKind::Microvm { "virtio-blk-device" } else { "virtio-blk-pci" };
            let iothread = (disk.options.iothread == Some(true)).then(|| iothread_id(slot, false));
            Device::new(driver).maybe("drive", drive).set("id", id).at(place).maybe("iothread", iothread)
        }
        DiskBus::Nvme => {
            // The controller has no default serial number and does not start without one.
            let serial = disk.options.serial.as_ref().map_or_else(|| id.clone(), ToString::to_string);
            return Device::new("nvme")
                .maybe("drive", drive)
                .set("id", id)
                .set("serial", serial)
                .at(place)
                .maybe("bootindex", boot_index(vm, BootDevice::Disk(slot)));
        }
    };
    finish(vm, slot, disk, positioned, has_nodes)
}

fn finish(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, device: Device, has_nodes: bool) -> Device {
    let ssd = disk.options.ssd == Some(true) && !disk.cdrom && slot.bus() != DiskBus::Virtio;
    let write_cache = (has_nodes && !disk.cdrom).then(|| if has_write_cache(&disk.options) { "on" } else { "off" });
    device
        .maybe("rotation_rate", ssd.then_some(1u8))
        .maybe("serial", disk.options.serial.as_ref().map(ToString::to_string))
        .maybe("bootindex", boot_index(vm, BootDevice::Disk(slot)))
        .maybe("write-cache", write_cache)
}

fn scsi_device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk) -> Device {
    let device = Device::new(if disk.cdrom { "scsi-cd" } else { "scsi-hd" });
    let (number, target) = scsi_position(vm, slot);
    match vm.scsi_controller {
        ScsiController::VirtioScsiSingle => {
            device.set("bus", format!("virtioscsi{}.0", slot.index())).set("channel", 0u8).set("scsi-id", 0u8).set("lun", slot.index())
        }
        ScsiController::VirtioScsiPci => {
            device.set("bus", format!("scsihw{number}.0")).set("channel", 0u8).set("scsi-id", 0u8).set("lun", target)
        }
        ScsiController::Lsi | ScsiController::Lsi53c810 | ScsiController::Megasas | ScsiController::Pvscsi => {
            device.set("bus", format!("scsihw{number}.0")).set("scsi-id", target)
        }
    }
}

fn ata_device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk) -> Device {
    let device = Device::new(if disk.cdrom { "ide-cd" } else { "ide-hd" });
    match (slot.bus(), vm.machine.kind) {
        (DiskBus::Sata, _) => device.set("bus", format!("ahci0.{}", slot.index())),
        // Two channels of two drives.
        (_, MachineKind::Pc | MachineKind::Microvm) => device.set("bus", format!("ide.{}", slot.index() / 2)).set("unit", slot.index() % 2),
        // The board's AHCI has six ports of one drive; ide0 and ide2 stay where PVE has them.
        (_, MachineKind::Q35) => {
            let port = [0, 2, 1, 3][usize::from(slot.index() % 4)];
            device.set("bus", format!("ide.{port}")).set("unit", 0u8)
        }
    }
}
