//! Where the volumes of the suite's storages are.

use std::collections::BTreeMap;
use std::path::Path;

use gpve_core::types::{DiskBus, DiskFormat, DiskSlot, ResolvedDisk, ResolvedVm, VolumeId};
use gpve_qmp::qemu::argv::blockdev::{FileSource, Image};
use gpve_qmp::qemu::argv::refusal::Refusal;
use gpve_storage::location::{Definition, ImagePlace};
use serde_json::Value;

pub(super) fn of_machine(environment: &Value, vm: &ResolvedVm) -> Result<BTreeMap<DiskSlot, Image>, Refusal> {
    let mut images = BTreeMap::new();
    for (slot, disk) in vm.disks.iter().filter(|(slot, _)| slot.bus() != DiskBus::Tpm) {
        if let Some(volume) = &disk.volume {
            images.insert(*slot, image(environment, vm, *slot, disk, volume)?);
        } else if let Some(path) = &disk.host {
            images.insert(*slot, of_host(environment, vm, disk, path));
        }
    }
    Ok(images)
}

/// A file or device of the host: everything below `/dev` is a block device.
fn of_host(environment: &Value, vm: &ResolvedVm, disk: &ResolvedDisk, path: &Path) -> Image {
    let mut image = Image::file(disk.options.format.unwrap_or(DiskFormat::Raw), path);
    image.is_device = path.starts_with("/dev");
    image.read_only = disk.cdrom || disk.options.ro == Some(true) || vm.template;
    image.storage.is_cdrom_drive = environment["cdrom_path"].as_str() == path.to_str();
    image
}

fn image(environment: &Value, vm: &ResolvedVm, slot: DiskSlot, disk: &ResolvedDisk, volume: &VolumeId) -> Result<Image, Refusal> {
    let id = volume.storage().to_string();
    let storage = environment["storage"].get(&id).ok_or_else(|| Refusal::host(slot.to_string(), format!("there is no storage '{id}'")))?;
    let mut image = top(storage, volume);
    image.read_only = disk.cdrom || disk.options.ro == Some(true) || vm.template;
    // Each snapshot of these is an image below.
    let chain = environment["volume_snapshot_chain"].get(&id).filter(|_| image.format == DiskFormat::Qcow2);
    if let Some(chain) = chain.and_then(Value::as_array) {
        let below = chain.iter().filter_map(|entry| entry.as_str()?.split_once(": ")).filter(|(snapshot, _)| *snapshot != "current");
        let below: Vec<_> = below.map(|(_, rest)| Path::new(rest.split(" (").next().unwrap()).to_owned()).collect();
        image.backing = below.iter().rev().fold(None, |backing, path| {
            let base = Image { file: FileSource::Path(path.clone()), backing: None, ..image.clone() };
            Some(Box::new(Image { backing, ..base }))
        });
    }
    Ok(image)
}

/// Where Proxmox VE has it.
fn top(storage: &Value, volume: &VolumeId) -> Image {
    let lines: Vec<(&String, String)> = storage.as_object().unwrap().iter().map(|(key, value)| (key, text(value))).collect();
    let property = |key: &str| lines.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
    let location = Definition::parse(storage["type"].as_str().unwrap(), property).unwrap().locate(volume.name(), None, 0).unwrap();
    let is_device = matches!(location.place, ImagePlace::Device(_));
    let file = match location.place {
        ImagePlace::File(path) | ImagePlace::Device(path) => FileSource::Path(path),
        ImagePlace::Rbd(image) => FileSource::Rbd(image),
        ImagePlace::Iscsi(unit) => FileSource::Iscsi(unit),
    };
    Image { is_device, storage: location.traits, ..Image::at(location.format, file) }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
