//! Making another guest from one: its record was reserved with the task; here its volumes are made and it is filled in.

use async_trait::async_trait;
use uuid::Uuid;

use super::volumes::MakeVolumes;
use crate::error::{Error, Result};
use crate::lifecycle::vm::Phase;
use crate::node::{Env, Memo, PlannedVolume, VolumeOrigin, volumes};
use crate::ports::{CloneOptions, OpCx};
use crate::saga::{Step, Steps};
use crate::types::{DiskBus, DiskFormat, DiskSlot, DiskSource, ImportSource, MacAddr, PropertyValue, VmSpec, Vmid, VolumeId};

pub(super) fn steps(options: &CloneOptions) -> Steps<Env, Memo> {
    vec![Box::new(Reserve(options.target)), Box::new(Plan(options.clone())), Box::new(MakeVolumes), Box::new(RecordTarget(options.target))]
}

/// The target was reserved when the task was accepted; undoing gives it up.
struct Reserve(Vmid);

#[async_trait]
impl Step<Env, Memo> for Reserve {
    fn name(&self) -> &'static str {
        "reserve"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.other(self.0).map(drop)
    }

    async fn undo(&self, _cx: &OpCx, env: &Env, _memo: &mut Memo) -> Result<()> {
        env.give_up_reserved(self.0).await;
        Ok(())
    }
}

/// Decides names, addresses and identities of the clone.
struct Plan(CloneOptions);

#[async_trait]
impl Step<Env, Memo> for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    async fn run(&self, cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let mut spec = self.source_spec(env)?;
        memo.owner = Some(self.0.target);
        memo.volumes = self.plan_volumes(env, cx, &mut spec).await?;
        spec.unused.clear();
        spec.template = false;
        spec.protection = None;
        spec.uuid = Some(Uuid::new_v4());
        // The nil id says that there shall be none.
        spec.generation_id = spec.generation_id.map(|id| if id.is_nil() { id } else { Uuid::new_v4() });
        // Where the source comes from, and what a node did to it, is its own.
        spec.origin = None;
        spec.lock = None;
        for nic in spec.networks.values_mut() {
            nic.mac_address = Some(random_mac());
        }
        if let Some(text) = &self.0.description {
            let refused = |e: crate::types::TextError| Error::field("guest.clone", "description", e.to_string());
            spec.description = Some(PropertyValue::try_from(text.clone()).map_err(refused)?);
        }
        memo.spec = Some(Box::new(spec));
        Ok(())
    }
}

impl Plan {
    fn source_spec(&self, env: &Env) -> Result<VmSpec> {
        let record = env.record();
        let Some(name) = &self.0.snapshot else {
            if env.live().is_some() {
                let text = format!("VM {} is running: stop it, or clone one of its snapshots", env.vmid());
                return Err(Error::precondition("guest.clone", text).on(env.vmid()));
            }
            return Ok(record.spec);
        };
        Ok(super::snapshot::find_whole(&record, name)?.spec.clone())
    }

    async fn plan_volumes(&self, env: &Env, cx: &OpCx, spec: &mut VmSpec) -> Result<Vec<PlannedVolume>> {
        let mut planned: Vec<PlannedVolume> = Vec::new();
        if let Some(slot) = spec.disk_of_host() {
            let text = format!("disk '{slot}' is of the host, and two guests cannot have it");
            return Err(Error::precondition("guest.clone", text).on(env.vmid()));
        }
        for (slot, disk) in spec.disks.iter_mut().filter(|(_, d)| !d.is_cdrom()) {
            let Some(source) = disk.volume().cloned() else { continue };
            // A TPM's state cannot lie over another one.
            let whole = self.0.full || slot.bus() == DiskBus::Tpm;
            let format = if slot.bus() == DiskBus::Tpm { Some(DiskFormat::Raw) } else { self.0.format };
            let (storage, from) = if whole { self.full(env, cx, &source, format).await? } else { self.linked(env, cx, &source).await? };
            let format = match &from {
                VolumeOrigin::Image { format, .. } | VolumeOrigin::Empty { format, .. } => *format,
                VolumeOrigin::Linked { .. } => DiskFormat::Qcow2,
            };
            let id = volumes::free_volume(env, cx, self.0.target, &storage, format, &planned).await?;
            disk.source = DiskSource::Volume { volume: id.clone(), size: None };
            disk.options.format = disk.options.format.map(|_| format);
            planned.push(PlannedVolume { slot: Some(*slot), id, from, ours: true });
        }
        let drive = spec.cloud_init_drive(env.vmid()).map(|(slot, volume)| (slot, volume.clone()));
        if let Some((slot, source)) = drive {
            planned.push(self.cloud_init(env, cx, slot, &source).await?);
        }
        Ok(planned)
    }

    /// The clone's own cloud-init drive, beside its disks.
    async fn cloud_init(&self, env: &Env, cx: &OpCx, slot: DiskSlot, source: &VolumeId) -> Result<PlannedVolume> {
        let storage = self.0.storage.as_ref().unwrap_or_else(|| source.storage());
        let formats = &env.storage(storage)?.capabilities().formats;
        let now = source.name().as_str().rsplit_once('.').and_then(|(_, format)| format.parse().ok());
        let format = now.filter(|f| formats.contains(f)).or(formats.first().copied()).unwrap_or(DiskFormat::Raw);
        volumes::cloud_init(env, cx, self.0.target, slot, storage, format).await
    }

    async fn full(
        &self,
        env: &Env,
        cx: &OpCx,
        source: &VolumeId,
        format: Option<DiskFormat>,
    ) -> Result<(crate::types::StorageId, VolumeOrigin)> {
        let missing = || Error::not_found("guest.clone", format!("volume '{source}'"));
        let volume = env.storage(source.storage())?.get(cx, source.name()).await?.ok_or_else(missing)?;
        let storage = self.0.storage.clone().unwrap_or_else(|| source.storage().clone());
        let formats = &env.storage(&storage)?.capabilities().formats;
        let format = format.or(formats.contains(&volume.format).then_some(volume.format)).or(formats.first().copied());
        let format = format
            .filter(|f| formats.contains(f))
            .ok_or_else(|| Error::field("guest.clone", "format", format!("storage '{storage}' cannot make disks of this format")))?;
        let from = ImportSource::Volume(source.clone());
        Ok((storage, VolumeOrigin::Image { from, source_format: volume.format, snapshot: self.0.snapshot.clone(), format }))
    }

    async fn linked(&self, env: &Env, cx: &OpCx, source: &VolumeId) -> Result<(crate::types::StorageId, VolumeOrigin)> {
        if self.0.storage.is_some() {
            return Err(Error::field("guest.clone", "storage", "parameter 'storage' not allowed for linked clones"));
        }
        let plugin = env.storage(source.storage())?;
        let missing = || Error::not_found("guest.clone", format!("volume '{source}'"));
        let volume = plugin.get(cx, source.name()).await?.ok_or_else(missing)?;
        let refuse = |why: &str| {
            Err(Error::unsupported("guest.clone", format!("Linked clone feature is not supported for drive '{source}': {why}")))
        };
        if !env.record().spec.template {
            return refuse("only templates can be cloned without copying; use a full clone");
        }
        if !plugin.clones().is_some_and(|c| c.supports_linked(volume.format)) {
            return refuse("its storage cannot share blocks; use a full clone");
        }
        let from = VolumeOrigin::Linked { source: source.clone(), snapshot: self.0.snapshot.clone() };
        Ok((source.storage().clone(), from))
    }
}

/// A random address of gpve's own range.
pub(super) fn random_mac() -> MacAddr {
    let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
    MacAddr::local([a, b, c])
}

/// Fills in the target; from now on it is a guest like any other.
struct RecordTarget(Vmid);

#[async_trait]
impl Step<Env, Memo> for RecordTarget {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, _cx: &OpCx, env: &Env, memo: &mut Memo) -> Result<()> {
        let Some(spec) = memo.spec.clone() else { return Err(Error::internal("guest.clone", "no spec was planned")) };
        env.other(self.0)?
            .update(|r| {
                r.spec = *spec;
                r.phase = Phase::Stopped;
                r.lock = None;
            })
            .await
    }
}
