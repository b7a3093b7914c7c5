//! What a storage can do besides.

use bytes::Bytes;
use futures_util::stream;

use super::Suite;
use crate::error::{Error, ErrorKind};
use crate::ports::{
    CloneVolume, ContentKind, CreateVolume, Ensured, ImportVolume, Removed, Volume, VolumeClones, VolumeFilter, VolumeMode, VolumeUpload,
};
use crate::types::{ByteSize, DiskFormat, DiskSource, SnapName, VolumeId, VolumeName};

fn snap(name: &str) -> SnapName {
    name.parse().expect("a valid name")
}

impl Suite<'_> {
    /// Snapshots keep bytes and can be gone back to.
    pub(super) async fn snapshots(&self, format: DiskFormat) {
        let Some(snapshots) = self.plugin.snapshots() else { return };
        let volume = self.make(format).await;
        let name = volume.id.name();
        let (first, second) = (snap("first"), snap("second"));
        if !snapshots.supports(format) {
            let error = snapshots.take(&self.cx, name, &first).await.expect_err("an unsupported format is refused");
            assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
            return self.delete(&volume).await;
        }
        let take = async |s: &SnapName| snapshots.take(&self.cx, name, s).await.expect("a snapshot can be taken");
        let back = async |s: &SnapName| snapshots.rollback(&self.cx, name, s).await.expect("a snapshot can be gone back to");
        let list = async || snapshots.list(&self.cx, name).await.expect("snapshots can be listed");

        assert_eq!(list().await, [], "a new disk has no snapshots");
        self.write(name, 0, b"one").await;
        assert_eq!(take(&first).await, Ensured::Made(()));
        self.write(name, 0, b"two").await;
        assert_eq!(take(&first).await, Ensured::Already(()), "a snapshot taken twice is the first one");
        assert_eq!(take(&second).await, Ensured::Made(()));
        self.write(name, 0, b"now").await;
        assert_eq!(list().await, [first.clone(), second.clone()], "snapshots are listed oldest first");

        back(&first).await;
        assert_eq!(self.read(name, 0, 3).await, b"one", "going back brings the bytes of then, and a repeated take kept them");
        self.write(name, 0, b"new").await;
        back(&second).await;
        assert_eq!(self.read(name, 0, 3).await, b"two", "a later snapshot survives going back to an earlier one");
        back(&first).await;
        assert_eq!(self.read(name, 0, 3).await, b"one", "a snapshot stays what it was, whatever was written after going back");

        let delete = async |s: &SnapName| snapshots.delete(&self.cx, name, s).await.expect("a snapshot can be deleted");
        assert_eq!((delete(&first).await, delete(&first).await), (Removed::Gone, Removed::WasAbsent));
        assert_eq!(self.read(name, 0, 3).await, b"one", "deleting a snapshot leaves the disk alone");
        let error = snapshots.rollback(&self.cx, name, &first).await.expect_err("a deleted snapshot is gone");
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
        self.delete(&volume).await;
        assert!(snapshots.list(&self.cx, name).await.is_err(), "a deleted disk has no snapshots to list");
    }

    /// Disks grow and never shrink.
    pub(super) async fn growing(&self, format: DiskFormat) {
        let Some(resize) = self.plugin.resize() else { return };
        let volume = self.make(format).await;
        let name = volume.id.name();
        self.write(name, 0, b"kept").await;
        let larger = ByteSize::from_bytes(volume.size.bytes() * 2);
        let grown = resize.grow(&self.cx, name, larger).await.expect("a disk can be grown");
        assert!(grown >= larger, "growing gives at least the asked size, not {grown}");
        assert_eq!(self.get(name).await.map(|v| v.size), Some(grown), "the answered size is the disk's");
        let again = resize.grow(&self.cx, name, larger).await.expect("growing to the present size is no error");
        assert_eq!(again, grown);
        assert!(resize.grow(&self.cx, name, volume.size).await.is_err(), "shrinking is refused");
        assert_eq!(self.get(name).await.map(|v| v.size), Some(grown), "a refused shrink leaves the size");
        assert_eq!(self.read(name, 0, 4).await, b"kept", "growing keeps the bytes");
        self.write(name, grown.bytes() - 512, &[1; 512]).await;
        self.delete(&volume).await;
    }

    /// Full copies.
    pub(super) async fn importing(&self, format: DiskFormat) {
        let Some(import) = self.plugin.import() else { return };
        let source = self.make(format).await;
        self.write(source.id.name(), 0, b"origin").await;
        let access = self.plugin.attach(&self.cx, source.id.name(), VolumeMode::Read).await.expect("a disk can be attached");
        let name = self.free_name(format, &[]).await;
        let request = ImportVolume { source: access, snapshot: None, name, owner: self.fixture.owners[0], format };
        let made = import.import(&self.cx, &request).await.expect("a volume of this storage can be imported");
        let Ensured::Made(copy) = made else { panic!("the first import makes the disk") };
        assert_eq!((copy.size, copy.format, &copy.parent), (source.size, format, &None), "a full copy stands alone");
        assert_eq!(self.read(copy.id.name(), 0, 6).await, b"origin", "a copy has the source's bytes");
        let again = import.import(&self.cx, &request).await.expect("a repeated import is no error");
        assert!(matches!(again, Ensured::Already(v) if v.id == copy.id), "a repeated import finds the disk");
        self.plugin.detach(&self.cx, source.id.name()).await.expect("a volume can be detached");
        self.write(copy.id.name(), 0, b"copied").await;
        assert_eq!(self.read(source.id.name(), 0, 6).await, b"origin", "writing a copy leaves the source");
        self.delete(&copy).await;
        self.delete(&source).await;

        // The source is gone now: an import of it fails and leaves nothing.
        assert!(import.import(&self.cx, &request).await.is_err(), "importing what is gone fails");
        assert_eq!(self.get(&request.name).await, None, "a failed import leaves nothing");
        self.importing_a_file(format).await;
    }

    async fn importing_a_file(&self, format: DiskFormat) {
        let (Some(import), Some((source, bytes))) = (self.plugin.import(), &self.fixture.image) else { return };
        let name = self.free_name(format, &[]).await;
        let request = ImportVolume { source: source.clone(), snapshot: None, name, owner: self.fixture.owners[0], format };
        let copy = import.import(&self.cx, &request).await.expect("a file can be imported").into_inner();
        assert!(copy.size.bytes() >= bytes.len() as u64, "an imported disk is at least as large as its image");
        assert_eq!(&self.read(copy.id.name(), 0, bytes.len()).await, bytes, "an imported disk has the image's bytes");
        self.delete(&copy).await;
    }

    /// Templates and what is made from them.
    pub(super) async fn cloning(&self, format: DiskFormat) {
        let Some(clones) = self.plugin.clones() else { return };
        let volume = self.make(format).await;
        self.write(volume.id.name(), 0, b"base").await;
        if !clones.supports_linked(format) {
            let request = self.clone_of(volume.id.name(), format).await;
            assert!(clones.linked(&self.cx, &request).await.is_err(), "a linked clone of {format} is refused");
            return self.delete(&volume).await;
        }
        let base = clones.make_base(&self.cx, volume.id.name()).await.expect("a disk can become a base");
        let twice = clones.make_base(&self.cx, base.name()).await.expect("making a base of a base is no error");
        assert_eq!(twice, base);
        let repeated = clones.make_base(&self.cx, volume.id.name()).await.expect("a repeated step is no error");
        assert_eq!(repeated, base, "the step can be repeated with the old name");
        assert_eq!(self.read(base.name(), 0, 4).await, b"base", "a base keeps its bytes");
        let clone = self.linked_clone(clones, &base, format).await;

        assert_eq!(self.read(clone.id.name(), 0, 4).await, b"base", "a clone starts with its base's bytes");
        self.write(clone.id.name(), 0, b"mine").await;
        assert_eq!(self.read(clone.id.name(), 0, 4).await, b"mine", "a clone can be written");
        assert_eq!(self.read(base.name(), 0, 4).await, b"base", "writing a clone leaves its base");
        let error = self.plugin.delete(&self.cx, base.name()).await.expect_err("a base with clones is not deleted");
        assert_eq!(error.kind, ErrorKind::FailedPrecondition, "{error:?}");
        assert_eq!(self.read(clone.id.name(), 0, 4).await, b"mine", "a refused delete leaves the clone");
        self.delete(&clone).await;
        self.delete(&self.get(base.name()).await.expect("the base is there")).await;
    }

    async fn clone_of(&self, source: &VolumeName, format: DiskFormat) -> CloneVolume {
        let owner = self.fixture.owners[1];
        let name = self.plugin.free_name(&self.cx, owner, format, &[]).await.expect("there is always a free name");
        CloneVolume { source: source.clone(), snapshot: None, name, owner }
    }

    async fn linked_clone(&self, clones: &dyn VolumeClones, base: &VolumeId, format: DiskFormat) -> Volume {
        let request = self.clone_of(base.name(), format).await;
        let made = clones.linked(&self.cx, &request).await.expect("a base can be cloned");
        let Ensured::Made(clone) = made else { panic!("the first clone makes the disk") };
        assert_eq!((clone.owner, clone.parent.as_ref()), (Some(request.owner), Some(base)), "a clone names owner and base");
        let again = clones.linked(&self.cx, &request).await.expect("a repeated clone is no error");
        assert!(matches!(again, Ensured::Already(v) if v.id == clone.id), "a repeated clone finds the disk");
        clone
    }

    /// A volume of fixed name whose bytes are written whole, as often as one likes.
    pub(super) async fn cloud_init(&self, format: DiskFormat) {
        let Some(contents) = self.plugin.contents() else { return };
        let owner = self.fixture.owners[0];
        let name = self.free_name(format, &[]).await;
        let name = name.cloud_init_beside(owner).expect("a storage of cloud-init drives names disks as Proxmox VE does");
        let request = CreateVolume { name: name.clone(), owner, format, size: DiskSource::CLOUD_INIT_SIZE };
        let create = async || self.plugin.create(&self.cx, &request).await.expect("a cloud-init drive can be made");
        let Ensured::Made(volume) = create().await else { panic!("the first create makes the drive") };
        assert_eq!((&volume.owner, volume.format), (&Some(owner), format), "a cloud-init drive is its guest's");
        let write = async |bytes: Vec<u8>| contents.write(&self.cx, &name, bytes.into()).await;
        write(vec![7; 100_000]).await.expect("a drive can be written");
        assert_eq!(self.read(&name, 99_998, 4).await, [7, 7, 0, 0], "behind the bytes are zeros");
        write(b"shorter".to_vec()).await.expect("a drive can be written again");
        assert_eq!(self.read(&name, 0, 9).await, b"shorter\0\0", "nothing of the bytes of before is left");
        assert!(matches!(create().await, Ensured::Already(v) if v.size == volume.size), "its size stays");
        let too_many = vec![1; usize::try_from(volume.size.bytes()).expect("a small drive") + 1];
        assert!(write(too_many).await.is_err(), "what does not fit is refused");
        assert_eq!(self.read(&name, 0, 7).await, b"shorter", "a refused write leaves the bytes");
        let disk = contents.read(&self.cx, &name, 10 << 20).await;
        assert!(disk.is_err(), "a disk is not read as a file");
        self.delete(&volume).await;
        assert!(write(vec![1]).await.is_err(), "a deleted drive is not written");
    }

    /// Files that clients bring.
    pub(super) async fn uploading(&self) {
        let Some(upload) = self.plugin.upload() else { return };
        let capabilities = self.plugin.capabilities();
        let files = [ContentKind::Iso, ContentKind::Snippets, ContentKind::Import];
        let Some(content) = files.into_iter().find(|c| capabilities.contents.contains(c)) else {
            panic!("a storage that takes files in holds at least one kind of them");
        };
        self.bad_file_names_are_refused(upload, content).await;
        let file = match content {
            ContentKind::Snippets => "conformance.yaml",
            ContentKind::Import => "conformance.raw",
            _ => "conformance.iso",
        };
        let send = async |chunks: Vec<Result<Bytes, Error>>| upload.upload(&self.cx, content, file, &mut stream::iter(chunks)).await;

        let torn = vec![Ok(Bytes::from_static(b"half")), Err(Error::internal("client", "the connection broke"))];
        assert!(send(torn).await.is_err(), "an upload whose bytes break off fails");
        let here = async || {
            let filter = VolumeFilter { content: Some(content), owner: None };
            self.plugin.list(&self.cx, &filter).await.expect("a storage can be listed").len()
        };
        let before = here().await;
        let whole = || vec![Ok(Bytes::from_static(b"first ")), Ok(Bytes::from_static(b"second"))];
        let volume = send(whole()).await.expect("a file can be uploaded after a torn attempt");
        assert_eq!((volume.content, volume.size, volume.owner), (content, ByteSize::from_bytes(12), None));
        assert_eq!((here().await, self.get(volume.id.name()).await.as_ref()), (before + 1, Some(&volume)), "the file is listed");
        assert!(send(whole()).await.is_err(), "a name that is taken is refused");
        let access = self.plugin.attach(&self.cx, volume.id.name(), VolumeMode::Read).await.expect("a file can be attached");
        let bytes = self.fixture.bytes.read(&access, 0, 12).await;
        assert_eq!(bytes, b"first second", "a file has the bytes that were sent");
        if let Some(contents) = self.plugin.contents() {
            let read = contents.read(&self.cx, volume.id.name(), 12).await.expect("a file can be read");
            assert_eq!(&read[..], b"first second");
            let error = contents.read(&self.cx, volume.id.name(), 11).await.expect_err("a file that is too large is refused");
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{error:?}");
            assert!(contents.write(&self.cx, volume.id.name(), Bytes::new()).await.is_err(), "a file is not written");
        }
        self.plugin.detach(&self.cx, volume.id.name()).await.expect("a volume can be detached");
        self.delete(&volume).await;
    }

    async fn bad_file_names_are_refused(&self, upload: &dyn VolumeUpload, content: ContentKind) {
        let long = "a".repeat(300) + ".iso";
        for name in ["", ".", "..", "../x.iso", "a/b.iso", "/etc/x.iso", ".hidden.iso", "-rf.iso", "a\0.iso", "a\n.iso", "a,b.iso", &long] {
            let mut bytes = stream::iter([Ok(Bytes::from_static(b"x"))]);
            let error = upload.upload(&self.cx, content, name, &mut bytes).await.expect_err("a bad file name is refused");
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{name:?}: {error:?}");
        }
    }
}
