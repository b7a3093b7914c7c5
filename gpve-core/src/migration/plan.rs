use std::collections::BTreeMap;
use std::path::Path;

use super::volumes::{Target, Uses, devices, references};
use super::{Guest, Move, NoMove, Plan, Refusal, Refusals, StorageFacts, VolumeState, Way, Wish, World};
use crate::ports::ContentKind;
use crate::types::{ByteSize, DiskBus, DiskFormat, DiskSlot, SnapName, StorageId, VolumeId};

/// The host's CD-ROM drive, whichever it is.
const CDROM_DRIVE: &str = "/dev/cdrom";
/// Size of a TPM's state on every storage.
const TPM_STATE_MIB: u64 = 4;

/// Decides how a guest moves.
///
/// # Errors
/// Every reason why it does not.
pub fn plan(guest: &Guest<'_>, world: &World, wish: &Wish) -> Result<Plan, Refusals> {
    let mut planner = Planner { guest, world, wish, refusals: Vec::new(), places: BTreeMap::new() };
    planner.guest_itself();
    let mut plan = Plan { is_live: guest.is_running, ..Plan::default() };
    for (target, uses) in references(guest) {
        let Some(one) = planner.one(&target, &uses) else { continue };
        if let Some(slot) = uses.slot.filter(|_| !uses.is_cdrom()) {
            plan.sizes.insert(slot, true_size(slot, one.size, world));
        }
        plan.moves.push(one);
    }
    planner.aliases();
    if !planner.refusals.is_empty() {
        return Err(Refusals(planner.refusals));
    }
    plan.moves.sort_by_key(|one| match one.way {
        Way::Mirror { slot, .. } => (0, slot.to_string()),
        Way::Copy | Way::Replica => (1, one.volume.to_string()),
    });
    Ok(plan)
}

/// Storages round sizes up; firmware and TPM expect theirs.
fn true_size(slot: DiskSlot, size: ByteSize, world: &World) -> ByteSize {
    match slot.bus() {
        DiskBus::Efi => world.efi_variables.unwrap_or(size),
        DiskBus::Tpm => ByteSize::from_mib(TPM_STATE_MIB),
        _ => size,
    }
}

struct Planner<'p> {
    guest: &'p Guest<'p>,
    world: &'p World,
    wish: &'p Wish,
    refusals: Vec<Refusal>,
    /// The volumes that are found in each place.
    places: BTreeMap<&'p str, Vec<String>>,
}

impl<'p> Planner<'p> {
    fn refuse(&mut self, refusal: Refusal) {
        if !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    fn refuse_volume(&mut self, volume: impl ToString, why: NoMove) {
        self.refuse(Refusal::Volume { volume: volume.to_string(), why });
    }

    fn guest_itself(&mut self) {
        if let Some(lock) = self.guest.lock {
            self.refuse(Refusal::Locked(lock.to_owned()));
        }
        if self.guest.is_running && !self.wish.live {
            self.refuse(Refusal::NotLive);
        }
        let (local, mapped) = devices(self.guest.current);
        if !local.is_empty() && (self.guest.is_running || !self.wish.force) {
            self.refuse(Refusal::LocalDevices(local));
        }
        if !mapped.is_empty() && self.guest.is_running {
            self.refuse(Refusal::MappedDevices(mapped));
        }
    }

    fn one(&mut self, target: &Target, uses: &Uses) -> Option<Move> {
        match target {
            Target::Host(path) => {
                self.of_host(path, uses);
                None
            }
            Target::Volume(volume) => self.volume(volume, uses),
        }
    }

    fn of_host(&mut self, path: &Path, uses: &Uses) {
        if uses.is_shared {
            return;
        }
        if uses.is_cdrom() && path == Path::new(CDROM_DRIVE) {
            let snapshots: Vec<SnapName> = if uses.slot.is_none() { uses.snapshots.clone() } else { Vec::new() };
            self.refuse(Refusal::CdromDrive(snapshots));
        } else {
            self.refuse_volume(path.display(), NoMove::OfHost);
        }
    }

    /// The way of one volume; none where it stays, for good or for a reason.
    fn volume(&mut self, id: &VolumeId, uses: &Uses) -> Option<Move> {
        let state = self.world.volumes.get(id);
        let is_replicated = state.is_some_and(|state| state.is_replicated);
        let (source, to) = self.storages(id, uses, is_replicated)?;
        if source.is_shared {
            return None;
        }
        let Some(state) = state else {
            self.refuse_volume(id, NoMove::Missing);
            return None;
        };
        let reasons = self.reasons(id, state, uses, source);
        let can_move = reasons.is_empty();
        reasons.into_iter().for_each(|why| self.refuse_volume(id, why));
        if !can_move {
            return None;
        }
        let mirrored = uses.slot.filter(|_| self.guest.is_running && !uses.is_cdrom() && !uses.is_tpm());
        let way = match (mirrored, is_replicated) {
            (Some(slot), onto_replica) => Way::Mirror { slot, onto_replica },
            (None, true) => Way::Replica,
            (None, false) => Way::Copy,
        };
        let format = match self.world.storages.get(&to).filter(|_| to != *id.storage()) {
            Some(target) => target.format_for(state.format),
            None => state.format,
        };
        let has_inside = matches!(state.format, DiskFormat::Qcow2 | DiskFormat::Vmdk);
        let with_snapshots = way == Way::Copy && !uses.is_cdrom() && (has_inside || !uses.snapshots.is_empty());
        Some(Move { volume: id.clone(), to, way, size: state.size, format, with_snapshots })
    }

    /// The volume's storage and the one that it goes to, if both are there.
    fn storages(&mut self, id: &VolumeId, uses: &Uses, is_replicated: bool) -> Option<(&'p StorageFacts, StorageId)> {
        let world = self.world;
        let Some(source) = world.storages.get(id.storage()) else {
            self.refuse(Refusal::NoStorage(id.storage().clone()));
            return None;
        };
        if !source.is_enabled {
            self.refuse(Refusal::Disabled(id.storage().clone()));
            return None;
        }
        let stays = source.is_shared || is_replicated;
        let to = if stays { id.storage().clone() } else { self.wish.storages.of(id.storage()) };
        let refusal = match world.storages.get(&to) {
            None => Some(Refusal::NoStorage(to.clone())),
            Some(target) if !target.is_enabled => Some(Refusal::Disabled(to.clone())),
            Some(target) if !target.on_target => Some(Refusal::NotThere { storage: to.clone(), node: self.wish.target.clone() }),
            // An image in a CD-ROM drive may be on a storage for such only.
            Some(target) if !uses.is_cdrom() && !target.contents.contains(&ContentKind::Images) => Some(Refusal::NoImages(to.clone())),
            Some(_) => None,
        };
        match refusal {
            None => Some((source, to)),
            Some(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    /// Why a volume of this node stays, if it does.
    fn reasons(&mut self, id: &VolumeId, state: &'p VolumeState, uses: &Uses, source: &StorageFacts) -> Vec<NoMove> {
        if uses.is_cdrom() {
            return if is_cloud_init(id) { Vec::new() } else { vec![NoMove::CdromImage] };
        }
        if state.owner != Some(self.guest.vmid) {
            return vec![NoMove::Foreign(state.owner)];
        }
        self.places.entry(&state.place).or_default().push(id.to_string());
        if uses.is_memory {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if !uses.snapshots.is_empty() {
            if self.guest.is_running && !state.is_replicated {
                reasons.push(NoMove::SnapshotOfRunning);
            } else if !source.moves_snapshots(state.format) {
                reasons.push(NoMove::Snapshot);
            }
        }
        if state.has_clones {
            reasons.push(NoMove::HasClones);
        }
        if let Some(base) = &state.base {
            reasons.push(NoMove::IsClone(base.clone()));
        }
        let is_attached = uses.slot.is_some() && !uses.is_tpm();
        if self.guest.is_running && is_attached && !self.wish.with_local_disks {
            reasons.push(NoMove::NotAsked);
        }
        if !source.is_movable {
            reasons.push(NoMove::StorageKind(source.kind.clone()));
        }
        reasons
    }

    /// Two names of one volume would be copied twice, and written twice.
    fn aliases(&mut self) {
        let same: Vec<_> = self.places.values().filter(|volumes| volumes.len() > 1).cloned().collect();
        same.into_iter().for_each(|volumes| self.refuse(Refusal::Aliased(volumes)));
    }
}

/// `vm-100-cloudinit`, made anew from the configuration: nobody else's.
fn is_cloud_init(id: &VolumeId) -> bool {
    let name = id.name().as_ref().rsplit('/').next().unwrap_or_default();
    let rest = name.strip_prefix("vm-").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    rest.is_some_and(|rest| rest.starts_with("-cloudinit"))
}
