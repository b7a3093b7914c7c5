//! Where the volumes of the suite's storages are.

use std::collections::BTreeMap;
use std::path::Path;

use gpve_core::types::{DiskBus, DiskFormat, DiskSlot, ResolvedDisk, ResolvedVm, VolumeId};
use gpve_qmp::qemu::argv::blockdev::{FileSource, Image, IoUring, IscsiUnit, RbdImage, StorageTraits};
use gpve_qmp::qemu::argv::refusal::Refusal;
use serde_json::Value;

/// Port of Ceph's monitors.
const MONITOR_PORT: u16 = 3300;

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
    let (id, name) = (volume.storage().to_string(), volume.name().to_string());
    let storage = environment["storage"].get(&id).ok_or_else(|| Refusal::host(slot.to_string(), format!("there is no storage '{id}'")))?;
    let mut image = top(storage, &name);
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

fn top(storage: &Value, name: &str) -> Image {
    let text = |key: &str| storage[key].as_str().unwrap_or_default().to_owned();
    let file_name = name.rsplit('/').next().unwrap();
    let format = match file_name.rsplit('.').next() {
        Some("qcow2") => DiskFormat::Qcow2,
        Some("vmdk") => DiskFormat::Vmdk,
        _ => DiskFormat::Raw,
    };
    let device = |path: String, io_uring| Image {
        is_device: true,
        storage: StorageTraits { io_uring, ..StorageTraits::default() },
        ..Image::file(format, Path::new(&path))
    };
    match storage["type"].as_str().unwrap() {
        "lvm" => device(format!("/dev/{}/{name}", text("vgname")), IoUring::Never),
        "lvmthin" => device(format!("/dev/{}/{name}", text("vgname")), IoUring::Always),
        "zfspool" => device(format!("/dev/zvol/{}/{name}", text("pool")), IoUring::Always),
        "rbd" if storage["krbd"] == 1 => device(format!("/dev/rbd-pve/{}/{}/{name}", text("fsid"), text("pool")), IoUring::Direct),
        "rbd" => {
            let monitors = text("monhost").split([',', ' ', ';']).map(|host| (host.to_owned(), MONITOR_PORT)).collect();
            let image = name.rsplit('/').next().unwrap().to_owned();
            let image = RbdImage { pool: text("pool"), namespace: None, image, monitors, configuration: None, user: None };
            Image::at(format, FileSource::Rbd(image))
        }
        "zfs" => Image::at(format, FileSource::Iscsi(IscsiUnit { portal: text("portal"), target: text("target"), lun: 0 })),
        kind => in_folder(storage, kind, name, format),
    }
}

fn in_folder(storage: &Value, kind: &str, name: &str, format: DiskFormat) -> Image {
    let root = storage["path"].as_str().unwrap();
    let path = match name.split_once('/') {
        Some(("iso", file)) => format!("{root}/template/iso/{file}"),
        Some(("import", file)) => format!("{root}/import/{file}"),
        // A raw image of btrfs is alone in a subvolume of its own.
        _ if kind == "btrfs" && format == DiskFormat::Raw => format!("{root}/images/{}/disk.raw", name.trim_end_matches(".raw")),
        // What a linked clone is based on stands before it.
        _ => format!("{root}/images/{}", name.rsplitn(3, '/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")),
    };
    let traits = StorageTraits {
        io_uring: if kind == "cifs" { IoUring::Never } else { IoUring::Always },
        is_cached: kind == "btrfs",
        keeps_clusters: storage["snapshot-as-volume-chain"] == 1,
        ..StorageTraits::default()
    };
    Image { storage: traits, ..Image::file(format, Path::new(&path)) }
}
