//! What sagas do with storages: plan names, make volumes, delete them.

use std::sync::Arc;

use super::engine::Inner;
use super::env::Env;
use super::memo::{PlannedVolume, VolumeOrigin};
use super::task::Task;
use crate::error::{Error, Result};
use crate::ports::{
    CloneVolume, ContentRequest, CreateVolume, Ensured, ImportVolume, LogSink, OpCx, Operation, StorageReport, TaskState, Volume,
    VolumeAccess, VolumeMode, VolumeReport,
};
use crate::types::{
    ByteSize, DiskBus, DiskFormat, DiskSlot, DiskSource, DiskSpec, ImportSource, StorageId, VmSpec, Vmid, VolumeId, VolumeName,
};

/// Decides names for every disk of `spec` that has to be made, and puts them into the spec. Makes nothing.
///
/// Sizes of imported volumes are filled in by [`make`].
pub(crate) async fn plan(env: &Env, cx: &OpCx, spec: &mut VmSpec) -> Result<Vec<PlannedVolume>> {
    let mut planned: Vec<PlannedVolume> = Vec::new();
    let vmid = env.vmid();
    for (slot, disk) in &mut spec.disks {
        let (storage, origin, size) = match disk.source.clone() {
            DiskSource::Empty | DiskSource::Host(_) | DiskSource::Volume { .. } => continue,
            DiskSource::New { storage, size, format } => {
                let format = format_for(env, &storage, format, disk)?;
                (storage, VolumeOrigin::Empty { size, format }, Some(size))
            }
            DiskSource::Import { storage, from, source_format, format } => {
                let format = format_for(env, &storage, format, disk)?;
                (storage, VolumeOrigin::Image { from, source_format, snapshot: None, format }, None)
            }
            DiskSource::CloudInit { storage, format } => {
                let format = format_for(env, &storage, format, disk)?;
                let made = cloud_init(env, cx, vmid, *slot, &storage, format).await?;
                // The format shows in the name.
                disk.options.format = None;
                disk.source = DiskSource::Volume { volume: made.id.clone(), size: None };
                planned.push(made);
                continue;
            }
        };
        let id = free_volume(env, cx, vmid, &storage, origin_format(&origin), &planned).await?;
        disk.source = DiskSource::Volume { volume: id.clone(), size };
        planned.push(PlannedVolume { slot: Some(*slot), id, from: origin, ours: true });
    }
    Ok(planned)
}

/// The volume of `owner`'s cloud-init drive, empty: a start writes it. One that is there already is used again.
pub(crate) async fn cloud_init(
    env: &Env,
    cx: &OpCx,
    owner: Vmid,
    slot: DiskSlot,
    storage: &StorageId,
    format: DiskFormat,
) -> Result<PlannedVolume> {
    let plugin = env.storage(storage)?;
    let unable = || Error::unsupported("volume.plan", format!("storage '{storage}' cannot hold cloud-init drives")).on(slot);
    plugin.contents().ok_or_else(unable)?;
    let name = plugin.free_name(cx, owner, format, &[]).await?.cloud_init_beside(owner).ok_or_else(unable)?;
    let ours = plugin.get(cx, &name).await?.is_none();
    let from = VolumeOrigin::Empty { size: DiskSource::CLOUD_INIT_SIZE, format };
    Ok(PlannedVolume { slot: Some(slot), id: VolumeId::new(storage.clone(), name), from, ours })
}

fn origin_format(origin: &VolumeOrigin) -> DiskFormat {
    match origin {
        VolumeOrigin::Empty { format, .. } | VolumeOrigin::Image { format, .. } => *format,
        VolumeOrigin::Linked { .. } => DiskFormat::Qcow2,
    }
}

/// The format of a new volume: raw for a TPM's state, which nothing else can hold; as asked, else as the disk's option says, else the storage's default.
fn format_for(env: &Env, storage: &StorageId, asked: Option<DiskFormat>, disk: &DiskSpec) -> Result<DiskFormat> {
    let plugin = env.storage(storage)?;
    let formats = &plugin.capabilities().formats;
    let asked = if disk.name.bus() == DiskBus::Tpm { Some(DiskFormat::Raw) } else { asked };
    let wanted = asked.or(disk.options.format).or(formats.first().copied());
    wanted.filter(|f| formats.contains(f)).ok_or_else(|| {
        let known = formats.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
        Error::field("volume.plan", disk.name.to_string(), format!("storage '{storage}' makes disks as {known} only"))
    })
}

/// A free name on `storage` that is not planned either.
pub(crate) async fn free_volume(
    env: &Env,
    cx: &OpCx,
    owner: Vmid,
    storage: &StorageId,
    format: DiskFormat,
    planned: &[PlannedVolume],
) -> Result<VolumeId> {
    let taken: Vec<VolumeName> = planned.iter().filter(|p| p.id.storage() == storage).map(|p| p.id.name().clone()).collect();
    let name = env.storage(storage)?.free_name(cx, owner, format, &taken).await?;
    Ok(VolumeId::new(storage.clone(), name))
}

/// Makes one planned volume and returns it. Repeating it is harmless.
pub(crate) async fn make(env: &Env, cx: &OpCx, owner: Vmid, planned: &PlannedVolume) -> Result<Volume> {
    let plugin = env.storage(planned.id.storage())?;
    let name = planned.id.name().clone();
    let made = match &planned.from {
        VolumeOrigin::Empty { size, format } => plugin.create(cx, &CreateVolume { name, owner, format: *format, size: *size }).await?,
        VolumeOrigin::Image { from, source_format, snapshot, format } => {
            let import = plugin.import().ok_or_else(|| cannot(&planned.id, "import images"))?;
            let source = open_source(env, cx, from, *source_format).await?;
            let request = ImportVolume { source, snapshot: snapshot.clone(), name, owner, format: *format };
            let imported = import.import(cx, &request).await;
            release_source(env, cx, planned).await?;
            imported?
        }
        VolumeOrigin::Linked { source, snapshot } => {
            let clones = plugin.clones().ok_or_else(|| cannot(&planned.id, "make linked clones"))?;
            let request = CloneVolume { source: source.name().clone(), snapshot: snapshot.clone(), name, owner };
            clones.linked(cx, &request).await?
        }
    };
    if let Ensured::Made(volume) = &made {
        log_made(cx, volume);
    }
    Ok(made.into_inner())
}

fn log_made(cx: &OpCx, volume: &Volume) {
    cx.log(format!("made volume '{}' ({})", volume.id, volume.size.pve()));
}

fn cannot(volume: &VolumeId, what: &str) -> Error {
    Error::unsupported("volume.make", format!("storage '{}' cannot {what}", volume.storage())).on(volume)
}

async fn open_source(env: &Env, cx: &OpCx, from: &ImportSource, format: DiskFormat) -> Result<VolumeAccess> {
    match from {
        ImportSource::File(path) => Ok(VolumeAccess::File { path: path.clone(), format, read_only: true, backing: Vec::new() }),
        ImportSource::Volume(id) => {
            let plugin = env.storage(id.storage())?;
            let there = plugin.get(cx, id.name()).await?;
            there.ok_or_else(|| Error::not_found("volume.import", format!("volume '{id}'")))?;
            plugin.attach(cx, id.name(), VolumeMode::Read).await
        }
    }
}

/// Gives up the source of a planned volume, unless a running guest has it open.
pub(crate) async fn release_source(env: &Env, cx: &OpCx, planned: &PlannedVolume) -> Result<()> {
    match &planned.from {
        VolumeOrigin::Image { from: ImportSource::Volume(id), .. } if !env.is_open(id) => {
            env.storage(id.storage())?.detach(cx, id.name()).await
        }
        VolumeOrigin::Image { .. } | VolumeOrigin::Empty { .. } | VolumeOrigin::Linked { .. } => Ok(()),
    }
}

/// Deletes volumes, all that can be; the first error is returned after the rest was tried.
pub(crate) async fn delete(env: &Env, cx: &OpCx, volumes: impl IntoIterator<Item = VolumeId>) -> Result<()> {
    let mut first = None;
    for id in volumes {
        let deleted = match env.storage(id.storage()) {
            Ok(plugin) => plugin.delete(cx, id.name()).await,
            Err(e) => Err(e),
        };
        match deleted {
            Ok(crate::ports::Removed::Gone) => cx.log(format!("deleted volume '{id}'")),
            Ok(crate::ports::Removed::WasAbsent) => {}
            Err(e) => {
                cx.log(format!("could not delete volume '{id}': {}", e.report()));
                first.get_or_insert(e);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// The virtual size of a volume.
pub(crate) async fn size_of(env: &Env, cx: &OpCx, id: &VolumeId) -> Result<ByteSize> {
    let found = env.storage(id.storage())?.get(cx, id.name()).await?;
    found.map(|v| v.size).ok_or_else(|| Error::not_found("volume", format!("volume '{id}'")))
}

/// Volumes of a storage, with their paths where one was asked for.
pub(super) async fn content(node: &Inner, request: &ContentRequest) -> Result<Vec<VolumeReport>> {
    let (cx, plugin) = (OpCx::background(), node.storage(&request.storage)?);
    let Some(name) = &request.name else {
        let volumes = plugin.list(&cx, &request.filter).await?;
        return Ok(volumes.into_iter().map(|volume| VolumeReport { volume, path: None }).collect());
    };
    let Some(volume) = plugin.get(&cx, name).await? else { return Ok(Vec::new()) };
    let path = match plugin.attach(&cx, name, VolumeMode::Read).await? {
        VolumeAccess::File { path, .. } | VolumeAccess::Block { path, .. } => Some(path.display().to_string()),
        VolumeAccess::Memory { .. } => None,
    };
    Ok(vec![VolumeReport { volume, path }])
}

/// All storages as they are now.
pub(super) async fn storage_reports(node: &Inner) -> Vec<StorageReport> {
    let mut reports = Vec::new();
    for (id, plugin) in &node.ports.storages {
        let status = plugin.status(&OpCx::background()).await.unwrap_or_else(|e| {
            tracing::warn!(storage = %id, error = %e.report(), "a storage does not tell its status");
            crate::ports::StorageStatus::default()
        });
        let (kind, capabilities) = (plugin.kind().to_owned(), plugin.capabilities().clone());
        reports.push(StorageReport { id: id.clone(), kind, capabilities, status });
    }
    reports
}

/// Performs a task on a volume whose owner does not exist. One step, repeatable: a restart just does it again.
pub(super) async fn perform_without_guest(node: Arc<Inner>, task: Arc<Task>) {
    let Some(work) = task.work() else { return };
    let cx = OpCx::task(task.upid(), task.cancel().clone(), Arc::clone(&task) as Arc<dyn LogSink>);
    let done = match &work.request.operation {
        Operation::AllocateVolume { storage, name, format, size } => {
            let request = NewVolume { owner: work.request.vmid, format: *format, size: *size };
            allocate(&node, &cx, storage, name.as_ref(), request).await
        }
        Operation::DestroyVolume { volume } => destroy(&node, &cx, volume).await,
        _ => Err(Error::not_found("task", format!("VM {} does not exist", work.request.vmid))),
    };
    let state = done.map_or_else(|e| TaskState::Failed(e.report()), |()| TaskState::Ok);
    // A task that waited for a guest which was deleted before a restart may have reserved another one.
    if let Err(e) = node.end_unbegun(&task, state).await {
        tracing::error!(task = %task.upid(), error = %e.report(), "the end of a task could not be written down");
    }
}

/// Makes an empty volume; a name that is taken is an error.
async fn allocate(node: &Inner, cx: &OpCx, storage: &StorageId, name: Option<&VolumeName>, mut request: NewVolume) -> Result<()> {
    let plugin = node.storage(storage)?;
    let format = *request.format.get_or_insert(plugin.capabilities().formats.first().copied().unwrap_or(DiskFormat::Raw));
    let name = match name {
        Some(name) => name.clone(),
        None => plugin.free_name(cx, request.owner, format, &[]).await?,
    };
    match plugin.create(cx, &CreateVolume { name, owner: request.owner, format, size: request.size }).await? {
        Ensured::Made(volume) => {
            log_made(cx, &volume);
            Ok(())
        }
        Ensured::Already(volume) => Err(Error::already_exists("volume.allocate", format!("disk image '{}'", volume.id))),
    }
}

/// A volume to be made, its name and perhaps its format not decided.
struct NewVolume {
    owner: Vmid,
    format: Option<DiskFormat>,
    size: ByteSize,
}

async fn destroy(node: &Inner, cx: &OpCx, volume: &VolumeId) -> Result<()> {
    node.storage(volume.storage())?.delete(cx, volume.name()).await.map(drop)
}
