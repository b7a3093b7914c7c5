use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{
    BackingFile, ContentKind, CreateVolume, Ensured, OpCx, Removed, StorageCapabilities, StoragePlugin, StorageStatus, Volume,
    VolumeAccess, VolumeClones, VolumeContents, VolumeFilter, VolumeImport, VolumeMode, VolumeResize, VolumeSnapshots, VolumeUpload,
};
use gpve_core::types::{ByteSize, DiskFormat, StorageId, Vmid, VolumeName};
use gpve_exec::Runner;
use rustix::fs::FallocateFlags;
use tokio::sync::Semaphore;

use super::config::DirConfig;
use super::parse::{DiskFile, DiskPlace, Place};
use super::tool::{Draft, Tree};
use crate::fault::Fault;
use crate::image::{NewImage, Preallocation, QCOW2_SIZE_MAX, QemuImg, write_blank};

/// How many volumes one listing gives; a directory of this size is not usable by hand either.
pub const VOLUMES_MAX: usize = 100_000;
/// How long a file system may take to say how full it is before it counts as dead.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Sizes are whole sectors.
const SECTOR_BYTES: u64 = 512;

/// A directory storage. Cheap to clone.
///
/// Small steps run to their end even when the caller goes away; `qemu-img` is killed and its unfinished file removed.
#[derive(Debug, Clone)]
pub struct DirStorage {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: DirConfig,
    pub(super) capabilities: StorageCapabilities,
    pub(super) tree: Tree,
    pub(super) images: QemuImg,
    /// Held while it matters who is whose base: linking, deleting, becoming a base.
    pub(super) chains: tokio::sync::Mutex<()>,
    /// One question for space at a time: on a dead file system each would take a thread for good.
    status_slot: Arc<Semaphore>,
}

impl DirStorage {
    /// A storage as configured; `runner` runs `qemu-img`. Unfinished files of dead processes are removed; that the
    /// directory cannot be reached now is no error, it shows in [`status`](StoragePlugin::status).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the field of the configuration.
    pub fn new(config: DirConfig, runner: Arc<dyn Runner>) -> Result<Self> {
        let config = config.checked()?;
        let tree = Tree::new(&config);
        if let Err(error) = tree.prune() {
            tracing::warn!(storage = %config.id, path = %config.path.display(), %error, "storage not reachable at start");
        }
        let capabilities = StorageCapabilities {
            contents: config.content.clone(),
            formats: vec![DiskFormat::Qcow2, DiskFormat::Raw],
            shared: config.shared,
        };
        let images = QemuImg::new(runner);
        let status_slot = Arc::new(Semaphore::new(1));
        Ok(Self { inner: Arc::new(Inner { config, capabilities, tree, images, chains: tokio::sync::Mutex::default(), status_slot }) })
    }

    /// The place of an absolute path, if it is a volume of this storage (`/var/lib/vz/template/iso/x.iso`).
    pub fn place_of(&self, path: &std::path::Path) -> Option<Place> {
        self.inner.tree.place_of(path)
    }

    /// The absolute path of a place.
    pub fn host_path(&self, place: &Place) -> PathBuf {
        self.inner.tree.host_path(place)
    }

    /// Runs `work` on a thread that may block, unless the operation was cancelled before.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        cx: &OpCx,
        op: &'static str,
        subject: impl std::fmt::Display,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        cx.run(op, async { Ok(()) }).await?;
        let subject = subject.to_string();
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done.map_err(|fault| fault.boundary(op, &subject)),
            Err(error) => Err(Error::internal(op, "the worker thread died").on(subject).because(&error)),
        }
    }

    /// `STORAGE:NAME`, for messages.
    pub(super) fn subject(&self, name: &VolumeName) -> String {
        format!("{}:{name}", self.inner.config.id)
    }

    /// The disk that a client named.
    pub(super) fn disk(&self, op: &str, name: &VolumeName) -> Result<DiskPlace> {
        match Place::parse(name.as_str()) {
            Ok(Place::Disk(disk)) => Ok(disk),
            Ok(Place::File(_)) => Err(Error::field(op, "volume", format!("'{name}' is not a disk")).on(self.subject(name))),
            Err(error) => Err(Error::field(op, "volume", error.to_string()).on(self.subject(name))),
        }
    }

    /// The name of a disk that is to be made for `owner`.
    pub(super) fn new_disk(&self, op: &str, name: &VolumeName, owner: Vmid) -> Result<DiskPlace> {
        let refuse = |reason: String| Error::field(op, "volume", reason).on(self.subject(name));
        if !self.inner.config.content.contains(&ContentKind::Images) && !self.inner.config.content.contains(&ContentKind::Rootdir) {
            return Err(refuse(format!("storage {} is not configured for images", self.inner.config.id)));
        }
        let disk = self.disk(op, name)?;
        if disk.vmid != owner || disk.base.is_some() || disk.file.is_base() {
            return Err(refuse(format!("'{name}' is no name for a new disk of vm {owner}; such as {owner}/vm-{owner}-disk-0.qcow2 is")));
        }
        match disk.file.disk_format() {
            Some(DiskFormat::Raw | DiskFormat::Qcow2) => Ok(disk),
            Some(DiskFormat::Vmdk) | None => Err(Error::unsupported(op, "disks are made as raw or qcow2").on(self.subject(name))),
        }
    }

    /// What is at the place of a disk that is to be made.
    pub(super) async fn present(&self, cx: &OpCx, op: &'static str, disk: &DiskPlace) -> Result<Option<Volume>> {
        let place = Place::Disk(disk.clone());
        let subject = format!("{}:{}", self.inner.config.id, place.name());
        self.blocking(cx, op, subject, move |inner| match inner.tree.root() {
            Ok(root) => inner.look_at(&root, place),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Begins a file for a disk.
    pub(super) async fn draft(&self, cx: &OpCx, op: &'static str, place: &Place) -> Result<Draft> {
        let place = place.clone();
        let subject = format!("{}:{}", self.inner.config.id, place.name());
        self.blocking(cx, op, subject, move |inner| Ok(inner.tree.draft(&place)?)).await
    }

    /// Makes a draft an empty qcow2 image.
    pub(super) async fn make_qcow2(&self, cx: &OpCx, op: &'static str, subject: &str, draft: Draft, image: NewImage) -> Result<Draft> {
        if image.size > QCOW2_SIZE_MAX {
            let reason = format!("{} is more than a qcow2 image can hold, which is {}", image.size.pve(), QCOW2_SIZE_MAX.pve());
            return Err(Error::field(op, "size", reason).on(subject));
        }
        if image.preallocation == Preallocation::Off {
            let written = self.blocking(cx, op, subject, move |_| {
                write_blank(draft.file(), &image)?;
                Ok(draft)
            });
            return written.await;
        }
        let made = async {
            let made = self.inner.images.create(draft.file(), &image).await;
            made.map_err(|error| Fault::from(error).boundary(op, subject))
        };
        cx.run(op, made).await.map_err(|error| self.explain(error))?;
        Ok(draft)
    }

    /// Gives a finished file its name and says what it is.
    pub(super) async fn publish(&self, cx: &OpCx, op: &'static str, draft: Draft, place: Place) -> Result<Volume> {
        let subject = format!("{}:{}", self.inner.config.id, place.name());
        self.blocking(cx, op, subject, move |inner| {
            draft.publish()?;
            let gone = || Error::internal(op, "it vanished right after it was made");
            Ok(inner.look_at(&inner.tree.root()?, place)?.ok_or_else(gone)?)
        })
        .await
    }
}

#[async_trait]
impl StoragePlugin for DirStorage {
    fn id(&self) -> &StorageId {
        &self.inner.config.id
    }

    fn kind(&self) -> &str {
        "dir"
    }

    fn capabilities(&self) -> &StorageCapabilities {
        &self.inner.capabilities
    }

    async fn status(&self, cx: &OpCx) -> Result<StorageStatus> {
        let inner = Arc::clone(&self.inner);
        let ask = async {
            let slot = Arc::clone(&inner.status_slot).acquire_owned().await.ok()?;
            let space = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                inner.tree.root().and_then(|root| root.space())
            });
            space.await.ok()?.ok()
        };
        let bounded = async { Ok(tokio::time::timeout(STATUS_TIMEOUT, ask).await.ok().flatten()) };
        let space = cx.run("storage.status", bounded).await?;
        Ok(space.map_or_else(StorageStatus::default, |space| StorageStatus {
            total: ByteSize::from_bytes(space.f_blocks.saturating_mul(space.f_frsize)),
            used: ByteSize::from_bytes(space.f_blocks.saturating_sub(space.f_bfree).saturating_mul(space.f_frsize)),
            available: ByteSize::from_bytes(space.f_bavail.saturating_mul(space.f_frsize)),
            active: true,
        }))
    }

    async fn list(&self, cx: &OpCx, filter: &VolumeFilter) -> Result<Vec<Volume>> {
        let filter = filter.clone();
        self.blocking(cx, "volume.list", self.id(), move |inner| inner.scan(&filter)).await
    }

    async fn get(&self, cx: &OpCx, name: &VolumeName) -> Result<Option<Volume>> {
        let Ok(place) = Place::parse(name.as_str()) else { return Ok(None) };
        if !self.inner.config.content.contains(&place.content()) || matches!(&place, Place::File(file) if file.inner.is_some()) {
            return Ok(None);
        }
        let asked = place.clone();
        let found = self.blocking(cx, "volume.get", self.subject(name), move |inner| inner.look_at(&inner.tree.root()?, place)).await?;
        // A clone may be asked for without its base, not with another one.
        let has_other_base = |volume: &Volume| matches!(&asked, Place::Disk(disk) if disk.base.is_some()) && volume.id.name() != name;
        Ok(found.filter(|volume| !has_other_base(volume)))
    }

    async fn free_name(&self, cx: &OpCx, owner: Vmid, format: DiskFormat, taken: &[VolumeName]) -> Result<VolumeName> {
        let taken: Vec<_> = taken.iter().filter_map(|name| Place::parse(name.as_str()).ok()).collect();
        self.blocking(cx, "volume.name", self.id(), move |inner| {
            let here = match inner.tree.root() {
                Ok(root) => inner.places(&root, ContentKind::Images, Some(owner))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            // The number counts, whatever the format: a disk keeps its number when it is converted.
            let used: std::collections::BTreeSet<_> = here.iter().chain(&taken).filter_map(|place| index_of(place, owner)).collect();
            let full = || Error::new(ErrorKind::ResourceExhausted, "volume.name", format!("vm {owner} has no free disk number"));
            let index = (0..u32::MAX).find(|index| !used.contains(index)).ok_or_else(full)?;
            let place = Place::Disk(DiskPlace::new(owner, DiskFile::numbered(owner, index, format)));
            Ok(place.volume_name().ok_or_else(full)?)
        })
        .await
    }

    async fn create(&self, cx: &OpCx, request: &CreateVolume) -> Result<Ensured<Volume>> {
        const OP: &str = "volume.create";
        let subject = self.subject(&request.name);
        let disk = self.new_disk(OP, &request.name, request.owner)?;
        if disk.file.disk_format() != Some(request.format) {
            let reason = format!("'{}' does not end in .{}", request.name, request.format);
            return Err(Error::field(OP, "format", reason).on(subject));
        }
        if request.size == ByteSize::ZERO {
            return Err(Error::field(OP, "size", "it must be larger than 0").on(subject));
        }
        let size = request.size.round_up(SECTOR_BYTES);
        match self.present(cx, OP, &disk).await? {
            Some(volume) if volume.size >= size && volume.format == request.format => return Ok(Ensured::Already(volume)),
            Some(_) => return Err(Error::already_exists(OP, subject)),
            None => {}
        }
        let place = Place::Disk(disk);
        let mut draft = self.draft(cx, OP, &place).await?;
        let preallocation = self.inner.config.preallocation;
        if request.format == DiskFormat::Raw {
            let filled = self.blocking(cx, OP, &subject, move |_| fill_raw(draft, size, preallocation));
            draft = filled.await?;
        } else {
            draft = self.make_qcow2(cx, OP, &subject, draft, NewImage { size, preallocation, backing: None }).await?;
        }
        Ok(Ensured::Made(self.publish(cx, OP, draft, place).await?))
    }

    async fn delete(&self, cx: &OpCx, name: &VolumeName) -> Result<Removed> {
        const OP: &str = "volume.delete";
        let place = match Place::parse(name.as_str()) {
            Ok(Place::File(file)) if file.inner.is_some() => return Ok(Removed::WasAbsent),
            Ok(place) => place,
            Err(error) => return Err(Error::field(OP, "volume", error.to_string()).on(self.subject(name))),
        };
        // Only a base can have clones, and a large file takes its time to go.
        let is_base = matches!(&place, Place::Disk(disk) if disk.file.is_base());
        let _chains = if is_base { Some(self.inner.chains.lock().await) } else { None };
        self.blocking(cx, OP, self.subject(name), move |inner| {
            let root = match inner.tree.root() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Removed::WasAbsent),
                root => root?,
            };
            if let Place::Disk(disk) = &place
                && disk.file.is_base()
                && let Some(child) = inner.child_of(&root, disk)?
            {
                let text = format!("{}:{} is a linked clone of it: delete that first", inner.config.id, child.name());
                return Err(Error::precondition(OP, text).into());
            }
            Ok(if root.remove(&place)? { Removed::Gone } else { Removed::WasAbsent })
        })
        .await
    }

    async fn attach(&self, cx: &OpCx, name: &VolumeName, mode: VolumeMode) -> Result<VolumeAccess> {
        const OP: &str = "volume.attach";
        let place = Place::parse(name.as_str()).map_err(|error| Error::field(OP, "volume", error.to_string()).on(self.subject(name)))?;
        let read_only = mode == VolumeMode::Read;
        let is_fixed = match &place {
            Place::Disk(disk) => disk.file.is_base(),
            Place::File(_) => true,
        };
        if is_fixed && !read_only {
            return Err(Error::precondition(OP, format!("{name} can only be read")).on(self.subject(name)));
        }
        self.blocking(cx, OP, self.subject(name), move |inner| {
            let root = inner.tree.root()?;
            let path = inner.tree.host_path(&place);
            let (format, backing): (DiskFormat, Vec<BackingFile>) = match &place {
                Place::Disk(disk) => inner.open_chain(&root, disk, false).map(|(image, backing)| (image.format(), backing))?,
                Place::File(file) => {
                    root.open(&place, false)?;
                    let format = if file.content == ContentKind::Import { file.format.parse().ok() } else { None };
                    (format.unwrap_or(DiskFormat::Raw), Vec::new())
                }
            };
            Ok(VolumeAccess::File { path, format, read_only, backing })
        })
        .await
    }

    async fn detach(&self, _cx: &OpCx, _name: &VolumeName) -> Result<()> {
        // A file needs nothing to be reached, so nothing is to be undone.
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn VolumeSnapshots> {
        Some(self)
    }

    fn clones(&self) -> Option<&dyn VolumeClones> {
        Some(self)
    }

    fn resize(&self) -> Option<&dyn VolumeResize> {
        Some(self)
    }

    fn import(&self) -> Option<&dyn VolumeImport> {
        Some(self)
    }

    fn upload(&self) -> Option<&dyn VolumeUpload> {
        Some(self)
    }

    fn contents(&self) -> Option<&dyn VolumeContents> {
        Some(self)
    }
}

impl DirStorage {
    /// A tool that failed on a full storage says so in words; the file system says it in numbers.
    pub(super) fn explain(&self, error: Error) -> Error {
        /// `qemu-img` needs a few clusters even to fail; less than this left means that it ran out.
        const FULL_BYTES: u64 = 1 << 20;
        let space = self.inner.tree.root().and_then(|root| root.space());
        match space {
            Ok(space) if error.kind == ErrorKind::Internal && space.f_bavail.saturating_mul(space.f_frsize) < FULL_BYTES => {
                let text = format!("no space left on storage {}", self.inner.config.id);
                let full = Error::new(ErrorKind::ResourceExhausted, error.op.clone(), text).on(&error.subject);
                full.because(&error)
            }
            _ => error,
        }
    }
}

fn index_of(place: &Place, owner: Vmid) -> Option<u32> {
    match place {
        Place::Disk(disk) if disk.vmid == owner => disk.file.index(owner),
        Place::Disk(_) | Place::File(_) => None,
    }
}

fn fill_raw(draft: Draft, size: ByteSize, preallocation: Preallocation) -> Result<Draft, Fault> {
    match preallocation {
        Preallocation::Off | Preallocation::Metadata => draft.file().set_len(size.bytes())?,
        // Allocated blocks read as zeros: writing them would only take longer.
        Preallocation::Falloc | Preallocation::Full => {
            rustix::fs::fallocate(draft.file(), FallocateFlags::empty(), 0, size.bytes())?;
        }
    }
    Ok(draft)
}
