//! Disks: their nodes, their devices, and the controllers that they hang on.

use gpve_core::types::{Aio, BootDevice, DiskBus, DiskOptions, DiskSlot, MachineKind, Rates, ResolvedDisk, ResolvedVm, ScsiController};
use serde_json::{Map, Value, json};

use super::super::blockdev::{Blockdev, Image, has_write_cache, throttle_group, top_node};
use super::super::device::{Address, Device, Object, PciBus};
use super::super::layout::{self, Place};
use super::super::refusal::Refusal;
use super::Assembly;
use super::situation::Situation;

/// Disks on one controller of the LSI family, which has seven targets of its own.
const LSI_TARGETS: u8 = 7;

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
    buses: Vec<PciBus>,
}

pub(super) fn disks(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let mut controllers = Vec::new();
    let drives = at.vm.disks.iter().filter(|(slot, _)| slot.bus().is_drive());
    for (slot, disk) in drives {
        check(at, *slot, &disk.options, out)?;
        let parts = disk_devices(at.vm, *slot, disk, at.host.images.get(slot), at.host.default_aio);
        parts.objects.iter().for_each(|object| out.object(object));
        out.buses.extend(parts.buses);
        if let Some((id, controller)) = parts.controller
            && !controllers.contains(&id)
        {
            out.device(&controller);
            controllers.push(id);
        }
        parts.blockdev.iter().for_each(|nodes| out.late(nodes));
        out.device(&parts.device);
    }
    Ok(())
}

/// What the slot and the options of a disk demand of each other.
fn check(at: &Situation<'_>, slot: DiskSlot, options: &DiskOptions, out: &mut Assembly) -> Result<(), Refusal> {
    if options.iothread == Some(true) && !has_io_thread(at.vm, slot, options) {
        out.warn(slot.to_string(), "an I/O thread is for virtio disks and for the controller virtio-scsi-single only: not used");
    }
    if options.snapshot == Some(true) {
        return Err(Refusal::setting(slot.to_string(), "snapshot=1 is not possible: changes are always kept"));
    }
    if options.scsiblock == Some(true) && !at.host.images.get(&slot).is_some_and(|image| image.is_device) {
        return Err(Refusal::setting(slot.to_string(), "scsiblock=1 needs a block device"));
    }
    Ok(())
}

/// What the disk in `slot` consists of; without an image it is an empty drive.
#[must_use]
pub fn disk_devices(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, image: Option<&Image>, default_aio: Aio) -> DiskDevices {
    let label = slot.to_string();
    let blockdev = image.map(|image| Blockdev::new(&label, image, &disk.options, default_aio));
    let has_io_thread = has_io_thread(vm, slot, &disk.options);
    let controller = controller(vm, slot, disk);
    let mut objects = Vec::new();
    if has_io_thread {
        objects.push(Object::io_thread(io_thread_id(slot)));
    }
    if blockdev.is_some() {
        objects.push(Object::throttle_group(throttle_group(&label), limits(&disk.options)));
    }
    let place = own_place(slot).and_then(|place| layout::address(vm.machine.kind, place));
    let device = device(vm, slot, disk, place, blockdev.is_some());
    let address = controller.as_ref().and_then(|controller| controller.address);
    DiskDevices {
        objects,
        controller: controller.map(|controller| (controller.id, controller.device)),
        blockdev,
        device,
        buses: address.into_iter().chain(place).map(|address| address.bus).collect(),
    }
}

/// Limits of a disk's speed, as QEMU's throttle groups name them.
pub(super) fn limits(options: &DiskOptions) -> Map<String, Value> {
    let mut limits = Map::new();
    let mut add = |unit: &str, rates: &Rates| {
        for (direction, rate) in [("total", rates.total), ("read", rates.read), ("write", rates.write)] {
            let values = [("", rate.limit), ("-max", rate.burst), ("-max-length", rate.burst_seconds.map(u64::from))];
            for (suffix, value) in values {
                if let Some(value) = value.filter(|value| *value > 0) {
                    limits.insert(format!("{unit}-{direction}{suffix}"), json!(value));
                }
            }
        }
    };
    add("bps", &options.throttle.bytes);
    add("iops", &options.throttle.operations);
    limits
}

struct Controller {
    id: String,
    device: Device,
    address: Option<Address>,
}

/// Whether every SCSI disk has a controller of its own.
fn is_single(vm: &ResolvedVm) -> bool {
    vm.scsi_controller == ScsiController::VirtioScsiSingle
}

fn has_io_thread(vm: &ResolvedVm, slot: DiskSlot, options: &DiskOptions) -> bool {
    let can = slot.bus() == DiskBus::Virtio || slot.bus() == DiskBus::Scsi && is_single(vm);
    can && options.iothread == Some(true)
}

/// The number of the SCSI controller that a disk is on, and its target there.
fn scsi_position(vm: &ResolvedVm, slot: DiskSlot) -> (u8, u8) {
    match vm.scsi_controller {
        ScsiController::Lsi | ScsiController::Lsi53c810 => (slot.index() / LSI_TARGETS, slot.index() % LSI_TARGETS),
        _ => (0, slot.index()),
    }
}

fn controller(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk) -> Option<Controller> {
    let made = |id: String, device: Device, place: Place| {
        let address = layout::address(vm.machine.kind, place);
        Some(Controller { device: device.set("id", &*id).at(address), id, address })
    };
    match slot.bus() {
        DiskBus::Scsi if is_single(vm) => {
            let io_thread = has_io_thread(vm, slot, &disk.options).then(|| io_thread_id(slot));
            let device = Device::new("virtio-scsi-pci").maybe("iothread", io_thread).maybe("num_queues", disk.options.queues);
            made(format!("virtioscsi{}", slot.index()), device, Place::ScsiSingle(slot.index()))
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
            made(format!("scsihw{number}"), Device::new(driver), Place::Scsi(number))
        }
        DiskBus::Sata => made("ahci0".to_owned(), Device::new("ahci").set("multifunction", true), Place::Ahci),
        DiskBus::Ide | DiskBus::Virtio | DiskBus::Nvme | DiskBus::Efi | DiskBus::Tpm => None,
    }
}

fn own_place(slot: DiskSlot) -> Option<Place> {
    match slot.bus() {
        DiskBus::Virtio => Some(Place::Virtio(slot.index())),
        DiskBus::Nvme => Some(Place::Nvme(slot.index())),
        DiskBus::Scsi | DiskBus::Ide | DiskBus::Sata | DiskBus::Efi | DiskBus::Tpm => None,
    }
}

fn io_thread_id(slot: DiskSlot) -> String {
    match slot.bus() {
        DiskBus::Scsi => format!("iothread-virtioscsi{}", slot.index()),
        _ => format!("iothread-{slot}"),
    }
}

fn device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, place: Option<Address>, has_nodes: bool) -> Device {
    let drive = has_nodes.then(|| top_node(&slot.to_string()));
    let id = slot.to_string();
    let positioned = match slot.bus() {
        DiskBus::Scsi => {
            let device = scsi_device(vm, slot, disk).maybe("drive", drive.clone()).set("id", id);
            // Without it the disk's identification would be empty: QEMU takes it from old drives only.
            device.maybe("device_id", drive.filter(|_| disk.options.scsiblock != Some(true)))
        }
        DiskBus::Ide | DiskBus::Sata => ata_device(vm, slot, disk).maybe("drive", drive).set("id", id),
        DiskBus::Nvme => {
            // The controller has no default serial number and does not start without one.
            let serial = disk.options.serial.as_ref().map_or_else(|| id.clone(), |serial| serial.decoded());
            let device = Device::new("nvme").maybe("drive", drive).set("id", id).set("serial", serial).at(place);
            return device.maybe("bootindex", boot_index(vm, slot));
        }
        DiskBus::Virtio | DiskBus::Efi | DiskBus::Tpm => {
            let driver = if vm.machine.kind == MachineKind::Microvm { "virtio-blk-device" } else { "virtio-blk-pci" };
            let io_thread = has_io_thread(vm, slot, &disk.options).then(|| io_thread_id(slot));
            Device::new(driver).maybe("drive", drive).set("id", id).at(place).maybe("iothread", io_thread)
        }
    };
    finish(vm, slot, disk, positioned, has_nodes)
}

fn boot_index(vm: &ResolvedVm, slot: DiskSlot) -> Option<u32> {
    vm.boot_index.get(&BootDevice::Disk(slot)).copied()
}

fn finish(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, device: Device, has_nodes: bool) -> Device {
    let options = &disk.options;
    let rotates = matches!(slot.bus(), DiskBus::Scsi | DiskBus::Ide | DiskBus::Sata);
    let is_drive = disk.cdrom || vm.template && slot.bus() != DiskBus::Scsi;
    let ssd = options.ssd == Some(true) && !is_drive && rotates;
    // A word to QEMU's monitor, not a switch: it also knows `auto`.
    let write_cache =
        (has_nodes && !disk.cdrom && options.scsiblock != Some(true)).then(|| if has_write_cache(options) { "on" } else { "off" });
    device
        .maybe("rotation_rate", ssd.then_some(1u8))
        .maybe("wwn", options.wwn.as_ref().filter(|_| rotates).map(ToString::to_string))
        .maybe("serial", options.serial.as_ref().map(gpve_core::types::DiskSerial::decoded))
        .maybe("bootindex", boot_index(vm, slot))
        .maybe("rerror", options.rerror.map(|action| action.as_str()))
        .maybe("werror", options.werror.map(|action| action.as_str()))
        .maybe("write-cache", write_cache)
}

fn scsi_device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk) -> Device {
    let driver = match (disk.cdrom, disk.options.scsiblock == Some(true)) {
        (true, _) => "scsi-cd",
        (false, true) => "scsi-block",
        (false, false) => "scsi-hd",
    };
    let device = Device::new(driver);
    let (number, target) = scsi_position(vm, slot);
    let device = match vm.scsi_controller {
        ScsiController::VirtioScsiSingle => {
            device.set("bus", format!("virtioscsi{}.0", slot.index())).set("channel", 0u8).set("scsi-id", 0u8).set("lun", slot.index())
        }
        ScsiController::VirtioScsiPci | ScsiController::Megasas => {
            device.set("bus", format!("scsihw{number}.0")).set("channel", 0u8).set("scsi-id", 0u8).set("lun", target)
        }
        ScsiController::Lsi | ScsiController::Lsi53c810 | ScsiController::Pvscsi => {
            device.set("bus", format!("scsihw{number}.0")).set("scsi-id", target)
        }
    };
    let emulated = driver != "scsi-block";
    let vendor = disk.options.vendor.as_ref().filter(|_| emulated).map(ToString::to_string);
    device.maybe("vendor", vendor).maybe("product", disk.options.product.as_ref().filter(|_| emulated).map(ToString::to_string))
}

fn ata_device(vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk) -> Device {
    // An ATA disk cannot be read-only, as those of a template are; a CD-ROM drive can, and nobody looks at it.
    let device = Device::new(if disk.cdrom || vm.template { "ide-cd" } else { "ide-hd" });
    let device = match (slot.bus(), vm.machine.kind) {
        (DiskBus::Sata, _) => device.set("bus", format!("ahci0.{}", slot.index())),
        // The board's AHCI has six ports of one drive; ide0 and ide2 stay where PVE has them.
        (_, MachineKind::Q35) => {
            let port = [0, 2, 1, 3][usize::from(slot.index() % 4)];
            device.set("bus", format!("ide.{port}")).set("unit", 0u8)
        }
        // Two channels of two drives.
        _ => device.set("bus", format!("ide.{}", slot.index() / 2)).set("unit", slot.index() % 2),
    };
    let model = disk.options.model.as_ref().filter(|_| !disk.cdrom && !vm.template);
    device.maybe("model", model.map(gpve_core::types::DiskModelName::decoded))
}
