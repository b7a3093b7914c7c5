//! What of the node a guest refers to, and from where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Guest;
use crate::types::{DiskBus, DiskSlot, DiskSource, DiskSpec, HostPci, PciSource, SerialPort, SnapName, UsbSource, VmSpec, VolumeId};

/// Something that a guest refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Volume(VolumeId),
    /// A file or device beside all storages.
    Host(PathBuf),
}

/// Where a guest refers to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    /// The slot that it is in now.
    pub(super) slot: Option<DiskSlot>,
    /// It is in one next time.
    pub(super) is_pending: bool,
    pub(super) is_unused: bool,
    /// Snapshots that have it in a slot.
    pub(super) snapshots: Vec<SnapName>,
    /// It is the memory of a snapshot.
    pub(super) is_memory: bool,
    /// It is in a drive for something else than CD-ROMs.
    is_disk: bool,
    /// Whoever configured it says that it is everywhere.
    pub(super) is_shared: bool,
}

impl Uses {
    pub(super) fn is_cdrom(&self) -> bool {
        !self.is_disk && !self.is_unused && !self.is_memory
    }

    /// State that a running QEMU does not have open as a disk: copied as it is.
    pub(super) fn is_tpm(&self) -> bool {
        self.slot.is_some_and(|slot| slot.bus() == DiskBus::Tpm)
    }

    fn note(&mut self, disk: &DiskSpec) {
        self.is_disk |= !disk.is_cdrom();
        self.is_shared |= disk.options.shared == Some(true);
    }
}

pub(super) fn references(guest: &Guest<'_>) -> BTreeMap<Target, Uses> {
    let mut all: BTreeMap<Target, Uses> = BTreeMap::new();
    for (slot, target, disk) in drives(guest.current) {
        let uses = all.entry(target).or_default();
        uses.note(disk);
        uses.slot.get_or_insert(slot);
    }
    for spec in [Some(guest.current), guest.asked].into_iter().flatten() {
        for volume in spec.unused.values() {
            all.entry(Target::Volume(volume.clone())).or_default().is_unused = true;
        }
    }
    for (_, target, disk) in guest.asked.into_iter().flat_map(drives) {
        let uses = all.entry(target).or_default();
        uses.note(disk);
        uses.is_pending = true;
    }
    for snapshot in &guest.snapshots {
        for (_, target, disk) in drives(snapshot.spec) {
            let uses = all.entry(target).or_default();
            uses.note(disk);
            uses.snapshots.push(snapshot.name.clone());
        }
        if let Some(memory) = &snapshot.memory {
            all.entry(Target::Volume(memory.clone())).or_default().is_memory = true;
        }
    }
    all
}

fn drives(spec: &VmSpec) -> impl Iterator<Item = (DiskSlot, Target, &DiskSpec)> {
    spec.disks.iter().filter_map(|(slot, disk)| {
        let target = match &disk.source {
            DiskSource::Volume { volume, .. } => Target::Volume(volume.clone()),
            DiskSource::Host(path) => Target::Host(path.clone()),
            DiskSource::Empty | DiskSource::New { .. } | DiskSource::Import { .. } | DiskSource::CloudInit { .. } => return None,
        };
        Some((*slot, target, disk))
    })
}

/// Devices of this node, and devices that mappings name.
pub(super) fn devices(spec: &VmSpec) -> (Vec<String>, Vec<String>) {
    let (mut local, mut mapped) = (Vec::new(), Vec::new());
    for (number, device) in &spec.usb {
        match device.source {
            UsbSource::Device(_) | UsbSource::Port(_) => local.push(format!("usb{number}")),
            UsbSource::Mapping(_) => mapped.push(format!("usb{number}")),
            UsbSource::Spice => {}
        }
    }
    for (number, HostPci { source, .. }) in &spec.host_pci {
        match source {
            PciSource::Devices(_) => local.push(format!("hostpci{number}")),
            PciSource::Mapping(_) => mapped.push(format!("hostpci{number}")),
        }
    }
    mapped.extend(spec.shared_folders.keys().map(|number| format!("virtiofs{number}")));
    local.extend(spec.shared_memory.iter().map(|_| "ivshmem".to_owned()));
    local.extend(spec.serials.iter().filter(|(_, port)| !matches!(port, SerialPort::Socket)).map(|(number, _)| format!("serial{number}")));
    local.extend(spec.parallels.keys().map(|number| format!("parallel{number}")));
    (local, mapped)
}
