use std::collections::BTreeMap;

use crate::types::{ByteSize, DiskFormat, DiskSlot, DiskSource, StorageId, VmSpec, VolumeId};

/// What a migration does with a guest's volumes. Volumes on shared storages stay where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The guest keeps running.
    pub is_live: bool,
    /// Volumes that go to the target: those in slots in the order in which targets are made for them, then the others.
    pub moves: Vec<Move>,
    /// Sizes of disks as they are, where the configuration may say another.
    pub sizes: BTreeMap<DiskSlot, ByteSize>,
}

/// One volume's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The volume.
    pub volume: VolumeId,
    /// The storage that it goes to.
    pub to: StorageId,
    /// How.
    pub way: Way,
    /// Size that the guest sees.
    pub size: ByteSize,
    /// Format of its copy.
    pub format: DiskFormat,
    /// Its snapshots go with it.
    pub with_snapshots: bool,
}

/// How a volume comes to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Mirrored by the running QEMU to one that waits on the target.
    Mirror {
        /// The disk.
        slot: DiskSlot,
        /// Onto the copy that is there, from where that is behind; otherwise onto a new volume.
        onto_replica: bool,
    },
    /// Copied as a whole; nothing writes it meanwhile.
    Copy,
    /// It is there: brought up to date once more.
    Replica,
}

impl Plan {
    /// A spec of the guest after the move. `ids` are the new ids of volumes that got one; `is_current`: it is the one that
    /// runs or would be started, whose disks get their true sizes and formats.
    pub fn apply(&self, spec: &VmSpec, ids: &BTreeMap<VolumeId, VolumeId>, is_current: bool) -> VmSpec {
        let mut moved = spec.clone();
        for (slot, disk) in &mut moved.disks {
            let DiskSource::Volume { volume, size } = &mut disk.source else { continue };
            if let Some(true_size) = self.sizes.get(slot).filter(|_| is_current) {
                *size = Some(*true_size);
            }
            let Some(id) = ids.get(volume) else { continue };
            let is_mirrored = |one: &&Move| matches!(one.way, Way::Mirror { onto_replica: false, .. }) && one.volume == *volume;
            if let Some(mirror) = self.moves.iter().find(is_mirrored).filter(|_| is_current) {
                disk.options.format = Some(mirror.format);
            }
            *volume = id.clone();
        }
        for volume in moved.unused.values_mut() {
            if let Some(id) = ids.get(volume) {
                volume.clone_from(id);
            }
        }
        moved
    }

    /// Volumes that the source keeps no longer: all that went another way than onto a copy that was there, which is from now
    /// on the other's copy.
    pub fn leaves(&self) -> impl Iterator<Item = &VolumeId> {
        let stays = |way: Way| matches!(way, Way::Replica | Way::Mirror { onto_replica: true, .. });
        self.moves.iter().filter(move |one| !stays(one.way)).map(|one| &one.volume)
    }
}
