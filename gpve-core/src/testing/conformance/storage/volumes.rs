//! Making, finding, attaching and deleting volumes.

use super::Suite;
use crate::error::ErrorKind;
use crate::ports::{CancelHandle, ContentKind, CreateVolume, Ensured, OpCx, Removed, Volume, VolumeAccess, VolumeFilter, VolumeMode};
use crate::types::{ByteSize, DiskFormat, Upid, VolumeName};

impl Suite<'_> {
    /// Makes a disk of the first owner.
    pub(super) async fn make(&self, format: DiskFormat) -> Volume {
        let made = self.plugin.create(&self.cx, &self.request(format).await).await;
        made.expect("a disk of a format that the storage names can be made").into_inner()
    }

    pub(super) async fn request(&self, format: DiskFormat) -> CreateVolume {
        let owner = self.fixture.owners[0];
        let name = self.free_name(format, &[]).await;
        CreateVolume { name, owner, format, size: self.fixture.size }
    }

    pub(super) async fn free_name(&self, format: DiskFormat, taken: &[VolumeName]) -> VolumeName {
        let owner = self.fixture.owners[0];
        self.plugin.free_name(&self.cx, owner, format, taken).await.expect("there is always a free name")
    }

    pub(super) async fn delete(&self, volume: &Volume) {
        let removed = self.plugin.delete(&self.cx, volume.id.name()).await.expect("a detached disk can be deleted");
        assert_eq!(removed, Removed::Gone, "deleting {} finds it", volume.id);
    }

    pub(super) async fn write(&self, name: &VolumeName, offset: u64, bytes: &[u8]) {
        let access = self.attach(name, VolumeMode::Write).await;
        self.fixture.bytes.write(&access, offset, bytes).await;
        self.detach(name).await;
    }

    pub(super) async fn read(&self, name: &VolumeName, offset: u64, len: usize) -> Vec<u8> {
        let access = self.attach(name, VolumeMode::Read).await;
        let bytes = self.fixture.bytes.read(&access, offset, len).await;
        self.detach(name).await;
        bytes
    }

    async fn attach(&self, name: &VolumeName, mode: VolumeMode) -> VolumeAccess {
        self.plugin.attach(&self.cx, name, mode).await.expect("a volume that is there can be attached")
    }

    async fn detach(&self, name: &VolumeName) {
        self.plugin.detach(&self.cx, name).await.expect("a volume can be detached");
    }

    pub(super) async fn get(&self, name: &VolumeName) -> Option<Volume> {
        self.plugin.get(&self.cx, name).await.expect("looking for a volume is no error")
    }

    pub(super) async fn missing_things_are_told_apart(&self) {
        for absent in ["999000001/vm-999000001-disk-77.raw", "etc/passwd", "no-such-volume"] {
            let name: VolumeName = absent.parse().expect("a valid name");
            // A name that this storage never gives may be refused; it must not be found.
            assert!(matches!(self.plugin.get(&self.cx, &name).await, Ok(None) | Err(_)), "{absent} was found");
            assert_ne!(self.plugin.delete(&self.cx, &name).await.ok(), Some(Removed::Gone), "{absent} was deleted");
            assert!(self.plugin.attach(&self.cx, &name, VolumeMode::Read).await.is_err(), "{absent} was attached");
        }
    }

    pub(super) async fn foreign_formats_are_refused(&self) {
        let made = &self.plugin.capabilities().formats;
        for format in DiskFormat::ALL.iter().filter(|f| !made.contains(f)) {
            let owner = self.fixture.owners[0];
            let name: VolumeName = format!("{owner}/vm-{owner}-disk-0.{format}").parse().expect("a valid name");
            let request = CreateVolume { name: name.clone(), owner, format: *format, size: self.fixture.size };
            let error = self.plugin.create(&self.cx, &request).await.expect_err("a format that it does not name is refused");
            assert!(matches!(error.kind, ErrorKind::Unsupported | ErrorKind::InvalidInput), "{error:?}");
            assert!(!matches!(self.plugin.get(&self.cx, &name).await, Ok(Some(_))), "a refused create left {name}");
        }
    }

    /// A disk's life without its bytes.
    pub(super) async fn disks(&self, format: DiskFormat) {
        let first = self.free_name(format, &[]).await;
        assert_eq!(self.free_name(format, &[]).await, first, "asking for a name reserves nothing");
        assert_ne!(self.free_name(format, std::slice::from_ref(&first)).await, first, "a taken name is not given");

        let request = self.request(format).await;
        self.a_cancelled_create_leaves_nothing(&request).await;
        let made = self.plugin.create(&self.cx, &request).await.expect("a disk can be made");
        let Ensured::Made(volume) = made else { panic!("the first create makes the disk, it says Already") };
        self.is_as_asked(&volume, &request).await;

        let again = self.plugin.create(&self.cx, &request).await.expect("a repeated create is no error");
        assert_eq!(again, Ensured::Already(volume.clone()), "a repeated create finds the disk");
        let larger = CreateVolume { size: ByteSize::from_bytes(request.size.bytes() * 2), ..request.clone() };
        assert!(self.plugin.create(&self.cx, &larger).await.is_err(), "a smaller disk is not taken for the asked one");
        assert_ne!(self.free_name(format, &[]).await, request.name, "a name in use is not given");

        self.attaching_is_idempotent(&volume).await;
        self.delete(&volume).await;
        self.is_gone(&volume).await;
    }

    async fn a_cancelled_create_leaves_nothing(&self, request: &CreateVolume) {
        let (handle, cancel) = CancelHandle::new();
        handle.cancel();
        let upid: Upid = "UPID:suite:00000001:00000001:00000001:suite::root@pam:".parse().expect("a valid id");
        let cx = OpCx::task(upid, cancel, std::sync::Arc::new(Silence));
        let error = self.plugin.create(&cx, request).await.expect_err("a cancelled create fails");
        assert_eq!(error.kind, ErrorKind::Cancelled, "{error:?}");
        assert_eq!(self.get(&request.name).await, None, "a cancelled create leaves nothing");
    }

    async fn is_as_asked(&self, volume: &Volume, request: &CreateVolume) {
        assert_eq!(volume.id.storage(), self.plugin.id(), "a volume names its storage");
        assert_eq!(volume.id.name(), &request.name, "a disk has the asked name");
        assert_eq!((volume.content, volume.format), (ContentKind::Images, request.format));
        assert_eq!((volume.owner, &volume.parent), (Some(request.owner), &None));
        assert!(volume.size >= request.size, "a disk has at least the asked size, not {}", volume.size);
        assert_eq!(self.get(&request.name).await.as_ref(), Some(volume), "get shows what create answered");
        let listed = async |content, owner| {
            let filter = VolumeFilter { content, owner };
            let volumes = self.plugin.list(&self.cx, &filter).await.expect("a storage can be listed");
            volumes.contains(volume)
        };
        let [mine, other] = self.fixture.owners.map(Some);
        assert!(listed(None, None).await && listed(Some(ContentKind::Images), mine).await, "a disk is listed");
        assert!(!listed(None, other).await, "a disk is not listed as another guest's");
        assert!(!listed(Some(ContentKind::Iso), None).await, "a disk is not listed as another content");
    }

    async fn attaching_is_idempotent(&self, volume: &Volume) {
        let name = volume.id.name();
        let access = self.attach(name, VolumeMode::Write).await;
        assert_eq!(self.attach(name, VolumeMode::Write).await, access, "attaching twice gives the same access");
        if let VolumeAccess::File { path, format, .. } = &access {
            assert!(path.is_absolute() && format == &volume.format, "{access:?}");
        }
        self.detach(name).await;
        self.detach(name).await;
    }

    async fn is_gone(&self, volume: &Volume) {
        let name = volume.id.name();
        assert_eq!(self.get(name).await, None, "a deleted disk is gone");
        let again = self.plugin.delete(&self.cx, name).await.expect("deleting what is gone is no error");
        assert_eq!(again, Removed::WasAbsent);
        self.detach(name).await;
        let error = self.plugin.attach(&self.cx, name, VolumeMode::Read).await.expect_err("a deleted disk cannot be attached");
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    }

    /// The bytes of a disk.
    pub(super) async fn contents(&self, format: DiskFormat) {
        let volume = self.make(format).await;
        let (name, end) = (volume.id.name(), volume.size.bytes() - 512);
        assert_eq!(self.read(name, 0, 512).await, [0; 512], "a new disk is empty");
        self.write(name, 0, &[0xa5; 512]).await;
        self.write(name, end, &[0x5a; 512]).await;
        assert_eq!(self.read(name, 0, 512).await, [0xa5; 512], "what was written is read after a new attach");
        assert_eq!(self.read(name, end, 512).await, [0x5a; 512], "a disk can be written up to its end");
        self.delete(&volume).await;

        let anew = self.make(format).await;
        assert_eq!(self.read(anew.id.name(), 0, 512).await, [0; 512], "a disk made anew shows nothing of the deleted one");
        self.delete(&anew).await;
    }
}

struct Silence;

impl crate::ports::LogSink for Silence {
    fn line(&self, _text: &str) {}
}
