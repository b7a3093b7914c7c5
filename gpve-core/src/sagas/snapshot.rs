//! Snapshots: take, delete, roll back, describe.

use async_trait::async_trait;

use super::power;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Env, GuestRecord, Memo, volumes};
use crate::ports::{OpCx, SnapshotReport};
use crate::saga::{Step, Steps};
use crate::types::{DiskFormat, DiskSlot, SnapName, VmSpec, VolumeId};

pub(super) fn take(name: &SnapName, description: &str) -> Steps<Env, Memo> {
    vec![Box::new(CheckNew(name.clone())), Box::new(TakeDisks(name.clone())), Box::new(RecordTaken(name.clone(), description.to_owned()))]
}

pub(super) fn delete(name: &SnapName, force: bool) -> Steps<Env, Memo> {
    vec![Box::new(MarkDeleting(name.clone())), Box::new(DeleteDisks { name: name.clone(), force }), Box::new(RecordDeleted(name.clone()))]
}

pub(super) fn rollback(name: &SnapName, start: bool) -> Steps<Env, Memo> {
    let mut steps: Steps<Env, Memo> = vec![
        Box::new(CheckRollback(name.clone())),
        Box::new(power::Kill),
        Box::new(RollBackDisks(name.clone())),
        Box::new(RecordRollback(name.clone())),
    ];
    if start {
        steps.push(Box::new(StartAfterwards));
    }
    steps
}

pub(super) fn describe(name: &SnapName, description: &str) -> Steps<Env, Memo> {
    vec![Box::new(Describe(name.clone(), description.to_owned()))]
}

fn find<'r>(record: &'r GuestRecord, name: &SnapName) -> Result<&'r SnapshotReport> {
    let missing = || Error::not_found("snapshot", format!("snapshot '{name}'"));
    record.snapshots.iter().find(|s| s.name == *name).ok_or_else(missing)
}

/// A snapshot whose parts are all there.
pub(super) fn find_whole<'r>(record: &'r GuestRecord, name: &SnapName) -> Result<&'r SnapshotReport> {
    let snapshot = find(record, name)?;
    if snapshot.deleting {
        let text = format!("snapshot '{name}' is incomplete: its deletion was begun; delete it again, with force if it fails");
        return Err(Error::precondition("snapshot", text).on(record.vmid));
    }
    Ok(snapshot)
}

/// Refuses to delete a volume that a snapshot of the guest holds a state of.
pub(super) fn refuse_part(record: &GuestRecord, op: &str, volume: &VolumeId) -> Result<()> {
    let holds = |s: &&SnapshotReport| disks(&s.spec).iter().any(|(_, v)| v == volume);
    match record.snapshots.iter().find(holds) {
        None => Ok(()),
        Some(s) => {
            let text = format!("volume '{volume}' is part of snapshot '{}': delete that first", s.name);
            Err(Error::precondition(op, text).on(volume))
        }
    }
}

/// Slots and volumes of the disks that snapshots cover.
fn disks(spec: &VmSpec) -> Vec<(DiskSlot, VolumeId)> {
    let disks = spec.disks.iter().filter(|(_, d)| !d.is_cdrom());
    disks.filter_map(|(s, d)| Some((*s, d.volume()?.clone()))).collect()
}

/// Refuses a name that is taken and disks that have no snapshots.
struct CheckNew(SnapName);

#[async_trait]
impl Step<Env, Memo> for CheckNew {
    fn name(&self) -> &'static str {
        "check"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let record = env.record();
        if find(&record, &self.0).is_ok() {
            return Err(Error::already_exists("snapshot", format!("snapshot name '{}'", self.0)));
        }
        if let Some(slot) = record.spec.disk_of_host() {
            let text = format!("snapshot feature is not available: disk '{slot}' is of the host");
            return Err(Error::unsupported("snapshot", text).on(env.vmid()));
        }
        for (slot, id) in disks(&record.spec) {
            let plugin = env.storage(id.storage())?;
            let format = plugin.get(cx, id.name()).await?.map_or(DiskFormat::Raw, |v| v.format);
            if !plugin.snapshots().is_some_and(|s| s.supports(format)) {
                let text = format!("snapshot feature is not available: disk '{slot}' is {format} on storage '{}'", id.storage());
                return Err(Error::unsupported("snapshot", text).on(env.vmid()));
            }
        }
        memo.spec = Some(Box::new(record.spec));
        Ok(())
    }
}

/// Takes the snapshot of all disks, in the running guest or on the storage.
struct TakeDisks(SnapName);

#[async_trait]
impl Step<Env, Memo> for TakeDisks {
    fn name(&self) -> &'static str {
        "disks"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let (live_slots, cold) = split(env);
        if let (Some(live), false) = (env.live(), live_slots.is_empty()) {
            let snapshots = live.snapshots().ok_or_else(|| Error::unsupported("snapshot", "this guest has no snapshots while it runs"))?;
            snapshots.take(cx, &self.0, &live_slots).await?;
        }
        for id in cold {
            let plugin = env.storage(id.storage())?;
            if let Some(snapshots) = plugin.snapshots() {
                snapshots.take(cx, id.name(), &self.0).await?;
            }
        }
        Ok(())
    }

    async fn undo(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        delete_parts(env, cx, &self.0).await
    }
}

/// Disks that the running guest has open and snapshots itself, and the others' volumes.
fn split(env: &Env) -> (Vec<DiskSlot>, Vec<VolumeId>) {
    let record = env.record();
    let spec_disks = disks(&record.spec);
    let Some(live) = env.live() else { return (Vec::new(), spec_disks.into_iter().map(|(_, v)| v).collect()) };
    let open = record.running.as_ref().map(|r| disks(r)).unwrap_or_default();
    let (mut slots, mut cold) = (Vec::new(), Vec::new());
    for (slot, volume) in spec_disks {
        let covered = open.contains(&(slot, volume.clone())) && live.snapshots().is_some_and(|s| s.covers(&[slot]));
        if covered { slots.push(slot) } else { cold.push(volume) }
    }
    (slots, cold)
}

/// Deletes the parts of a snapshot on all disks; absent parts are fine.
async fn delete_parts(env: &Env, cx: &OpCx, name: &SnapName) -> Result<()> {
    let (live_slots, mut cold) = split(env);
    if let (Some(live), false) = (env.live(), live_slots.is_empty())
        && let Some(snapshots) = live.snapshots()
    {
        snapshots.delete(cx, name, &live_slots).await?;
    }
    // Disks that were taken out of their slot since still hold their part.
    let record = env.record();
    let open: Vec<VolumeId> = record.running.as_ref().map(|r| disks(r)).unwrap_or_default().into_iter().map(|d| d.1).collect();
    if let Ok(snapshot) = find(&record, name) {
        let more = disks(&snapshot.spec).into_iter().map(|d| d.1).filter(|v| !open.contains(v) && !cold.contains(v));
        cold.extend(more.collect::<Vec<_>>());
    }
    for id in cold {
        let plugin = env.storage(id.storage())?;
        if let Some(snapshots) = plugin.snapshots()
            && plugin.get(cx, id.name()).await?.is_some()
        {
            snapshots.delete(cx, id.name(), name).await?;
        }
    }
    Ok(())
}

struct RecordTaken(SnapName, String);

#[async_trait]
impl Step<Env, Memo> for RecordTaken {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(spec) = memo.spec.clone() else { return Err(Error::internal("snapshot", "no spec was kept")) };
        if find(&env.record(), &self.0).is_ok() {
            return Ok(());
        }
        let time = env.now();
        env.update(|r| {
            let taken = SnapshotReport {
                name: self.0.clone(),
                description: self.1.clone(),
                time,
                parent: r.parent.clone(),
                vmstate: false,
                deleting: false,
                spec: *spec,
                guest_name: r.name.clone(),
            };
            r.snapshots.push(taken);
            r.parent = Some(self.0.clone());
        })
        .await
    }
}

/// Writes down that parts of the snapshot will be missing, before one is.
struct MarkDeleting(SnapName);

#[async_trait]
impl Step<Env, Memo> for MarkDeleting {
    fn name(&self) -> &'static str {
        "mark"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        find(&env.record(), &self.0)?;
        env.update(|r| r.snapshots.iter_mut().filter(|s| s.name == self.0).for_each(|s| s.deleting = true)).await
    }
}

struct DeleteDisks {
    name: SnapName,
    force: bool,
}

#[async_trait]
impl Step<Env, Memo> for DeleteDisks {
    fn name(&self) -> &'static str {
        "disks"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        find(&env.record(), &self.name)?;
        match delete_parts(env, cx, &self.name).await {
            Err(e) if self.force => {
                cx.warn(format!("a disk's part of the snapshot could not be deleted and is forgotten: {}", e.report()));
                Ok(())
            }
            done => done,
        }
    }
}

/// Children of the deleted snapshot become children of its parent.
struct RecordDeleted(SnapName);

#[async_trait]
impl Step<Env, Memo> for RecordDeleted {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.update(|r| {
            let parent = r.snapshots.iter().find(|s| s.name == self.0).and_then(|s| s.parent.clone());
            r.snapshots.retain(|s| s.name != self.0);
            let of_deleted = r.snapshots.iter_mut().map(|s| &mut s.parent).chain([&mut r.parent]);
            of_deleted.filter(|p| p.as_ref() == Some(&self.0)).for_each(|p| *p = parent.clone());
        })
        .await
    }
}

/// Refuses what cannot be rolled back before the guest is stopped for it.
struct CheckRollback(SnapName);

#[async_trait]
impl Step<Env, Memo> for CheckRollback {
    fn name(&self) -> &'static str {
        "check"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let record = env.record();
        let snapshot = find_whole(&record, &self.0)?;
        for (slot, id) in disks(&snapshot.spec) {
            let plugin = env.storage(id.storage())?;
            let missing = match (plugin.get(cx, id.name()).await?, plugin.snapshots()) {
                (None, _) => Some("is gone"),
                (Some(_), None) => Some("has no snapshots"),
                (Some(_), Some(facet)) => (!facet.list(cx, id.name()).await?.contains(&self.0)).then_some("has lost its part"),
            };
            if let Some(what) = missing {
                let text = format!("volume '{id}' of disk '{slot}' {what}: this snapshot cannot be rolled back to");
                return Err(Error::new(ErrorKind::FailedPrecondition, "snapshot", text).on(env.vmid()));
            }
        }
        memo.was_running = env.live().is_some();
        Ok(())
    }
}

struct RollBackDisks(SnapName);

#[async_trait]
impl Step<Env, Memo> for RollBackDisks {
    fn name(&self) -> &'static str {
        "disks"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let record = env.record();
        for (_, id) in disks(&find(&record, &self.0)?.spec) {
            if let Some(snapshots) = env.storage(id.storage())?.snapshots() {
                snapshots.rollback(cx, id.name(), &self.0).await?;
            }
        }
        Ok(())
    }
}

/// The guest's spec is that of the snapshot; disks that it did not have become unused.
struct RecordRollback(SnapName);

#[async_trait]
impl Step<Env, Memo> for RecordRollback {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        let record = env.record();
        let snapshot = find(&record, &self.0)?;
        let mut spec = snapshot.spec.clone();
        for disk in spec.disks.values_mut() {
            super::guest_create::fill_in_size(env, cx, disk).await?;
        }
        let kept: Vec<VolumeId> = spec.owned_volumes().cloned().collect();
        // A cloud-init drive that the snapshot has not, or not there, is made anew when it is asked for.
        let drive = |s: &VmSpec| s.cloud_init_drive(env.vmid()).map(|(_, volume)| volume.clone());
        volumes::delete(env, cx, drive(&record.spec).filter(|now| drive(&spec).as_ref() != Some(now))).await?;
        for orphan in record.spec.owned_volumes().filter(|v| !kept.contains(v)) {
            super::update::put_unused(&mut spec, orphan.clone())?;
        }
        let name = snapshot.guest_name.clone();
        env.update(|r| {
            r.spec = spec;
            r.name = name;
            r.parent = Some(self.0.clone());
            r.generation += 1;
        })
        .await
    }
}

/// The start is a task of its own, behind this one.
struct StartAfterwards;

#[async_trait]
impl Step<Env, Memo> for StartAfterwards {
    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(&self, cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        match cx.task_id() {
            Some(task) => env.start_behind(task).await,
            None => Ok(()),
        }
    }
}

struct Describe(SnapName, String);

#[async_trait]
impl Step<Env, Memo> for Describe {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        find(&env.record(), &self.0)?;
        env.update(|r| {
            if let Some(s) = r.snapshots.iter_mut().find(|s| s.name == self.0) {
                s.description.clone_from(&self.1);
            }
        })
        .await
    }
}
