use gpve_core::error::ErrorKind;
use gpve_core::ports::{
    BackingFile, CloneVolume, Ensured, ImportVolume, StoragePlugin as _, Volume, VolumeAccess, VolumeFilter, VolumeMode, VolumeResize as _,
};
use gpve_core::testing::conformance::VolumeBytes as _;
use gpve_core::types::{DiskFormat, VolumeId};

use crate::support::{Local, Qemu, cx, name, needs_qemu_img, qemu_img, size, vmid};

impl Local {
    async fn base(&self, owner: u32, format: DiskFormat, mark: &[u8]) -> VolumeId {
        let volume = self.disk(owner, "4Mi", format).await;
        self.write(&volume, mark).await;
        self.clones().make_base(&cx(), volume.id.name()).await.unwrap()
    }

    async fn linked(&self, base: &VolumeId, owner: u32) -> Volume {
        let owner = vmid(owner);
        let free = self.storage.free_name(&cx(), owner, DiskFormat::Qcow2, &[]).await.unwrap();
        let request = CloneVolume { source: base.name().clone(), snapshot: None, name: free, owner };
        self.clones().linked(&cx(), &request).await.unwrap().into_inner()
    }

    async fn write(&self, volume: &Volume, mark: &[u8]) {
        let access = self.storage.attach(&cx(), volume.id.name(), VolumeMode::Write).await.unwrap();
        Qemu.write(&access, 0, mark).await;
    }

    async fn read(&self, id: &VolumeId, len: usize) -> Vec<u8> {
        let access = self.storage.attach(&cx(), id.name(), VolumeMode::Read).await.unwrap();
        Qemu.read(&access, 0, len).await
    }
}

#[tokio::test]
async fn a_linked_clone_is_named_after_its_base_as_pve_names_it() {
    needs_qemu_img!();
    let local = Local::new();
    let base = local.base(100, DiskFormat::Qcow2, b"base").await;
    assert_eq!(base.to_string(), "local:100/base-100-disk-0.qcow2");
    let clone = local.linked(&base, 101).await;
    assert_eq!(clone.id.to_string(), "local:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2");
    assert_eq!((clone.parent.as_ref(), clone.size), (Some(&base), size("4Mi")));
    let listed = local.storage.list(&cx(), &VolumeFilter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|v| &v.id).collect::<Vec<_>>(), [&base, &clone.id]);

    let short = local.storage.get(&cx(), &name("101/vm-101-disk-0.qcow2")).await.unwrap();
    assert_eq!(short.as_ref(), Some(&clone), "the short name finds it too");
    let other = local.storage.get(&cx(), &name("100/base-100-disk-9.qcow2/101/vm-101-disk-0.qcow2")).await.unwrap();
    assert_eq!(other, None, "another base is another volume");

    let header = qemu_img(&["info", "-f", "qcow2", "--output=json", local.path("images/101/vm-101-disk-0.qcow2").to_str().unwrap()]);
    assert!(header.contains(r#""backing-filename": "../100/base-100-disk-0.qcow2""#), "{header}");
    assert!(header.contains(r#""backing-filename-format": "qcow2""#), "{header}");
}

#[tokio::test]
async fn every_image_that_a_clone_reads_through_is_named_when_it_is_attached() {
    needs_qemu_img!();
    let local = Local::new();
    let first = local.base(100, DiskFormat::Raw, b"first").await;
    let middle = local.linked(&first, 101).await;
    let second = local.clones().make_base(&cx(), middle.id.name()).await.unwrap();
    assert_eq!(second.to_string(), "local:100/base-100-disk-0.raw/101/base-101-disk-0.qcow2");
    let last = local.linked(&second, 102).await;
    assert_eq!(last.id.to_string(), "local:101/base-101-disk-0.qcow2/102/vm-102-disk-0.qcow2");

    let access = local.storage.attach(&cx(), last.id.name(), VolumeMode::Write).await.unwrap();
    let below = |relative: &str, format| BackingFile { path: local.path(relative), format };
    let backing =
        vec![below("images/101/base-101-disk-0.qcow2", DiskFormat::Qcow2), below("images/100/base-100-disk-0.raw", DiskFormat::Raw)];
    let path = local.path("images/102/vm-102-disk-0.qcow2");
    assert_eq!(access, VolumeAccess::File { path, format: DiskFormat::Qcow2, read_only: false, backing });
    assert_eq!(local.read(&last.id, 5).await, b"first");
}

#[tokio::test]
async fn a_linked_clone_is_grown_snapshotted_and_copied_without_its_base_being_touched() {
    needs_qemu_img!();
    let local = Local::new();
    let base = local.base(100, DiskFormat::Qcow2, b"base").await;
    let before = std::fs::read(local.path("images/100/base-100-disk-0.qcow2")).unwrap();
    let clone = local.linked(&base, 101).await;
    let snapshot = "before".parse().unwrap();
    assert_eq!(local.snapshots().take(&cx(), clone.id.name(), &snapshot).await.unwrap(), Ensured::Made(()));
    local.write(&clone, b"mine").await;
    assert_eq!(local.storage.grow(&cx(), clone.id.name(), size("8Mi")).await.unwrap(), size("8Mi"));

    let source = local.storage.attach(&cx(), clone.id.name(), VolumeMode::Read).await.unwrap();
    for (number, at, expected) in [(0, None, b"mine"), (1, Some(snapshot), b"base")] {
        let full = name(&format!("102/vm-102-disk-{number}.raw"));
        let request = ImportVolume { source: source.clone(), snapshot: at, name: full, owner: vmid(102), format: DiskFormat::Raw };
        let copy = local.importer().import(&cx(), &request).await.unwrap().into_inner();
        assert_eq!((local.read(&copy.id, 4).await.as_slice(), copy.parent), (expected.as_slice(), None));
    }
    let grown = local.storage.get(&cx(), clone.id.name()).await.unwrap().unwrap();
    assert_eq!((grown.parent, grown.size), (Some(base), size("8Mi")), "the header still names the base");
    assert!(std::fs::read(local.path("images/100/base-100-disk-0.qcow2")).unwrap() == before);
}

#[tokio::test]
async fn only_a_base_is_cloned_and_a_base_is_written_no_more() {
    needs_qemu_img!();
    let local = Local::new();
    let volume = local.disk(100, "4Mi", DiskFormat::Qcow2).await;
    let request = CloneVolume { source: volume.id.name().clone(), snapshot: None, name: name("101/vm-101-disk-0.qcow2"), owner: vmid(101) };
    assert_eq!(local.clones().linked(&cx(), &request).await.unwrap_err().kind, ErrorKind::FailedPrecondition);

    let base = local.clones().make_base(&cx(), volume.id.name()).await.unwrap();
    let (base, snapshot) = (base.name(), "any".parse().unwrap());
    assert_eq!(local.storage.grow(&cx(), base, size("8Mi")).await.unwrap_err().kind, ErrorKind::FailedPrecondition);
    assert_eq!(local.snapshots().take(&cx(), base, &snapshot).await.unwrap_err().kind, ErrorKind::FailedPrecondition);
    let path = local.path("images/100/base-100-disk-0.qcow2");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777, 0o440);
}

#[tokio::test]
async fn a_name_that_another_disk_has_is_not_cloned_over() {
    needs_qemu_img!();
    let local = Local::new();
    let (first, second) = (local.base(100, DiskFormat::Qcow2, b"a").await, local.base(103, DiskFormat::Qcow2, b"b").await);
    let clone = local.linked(&first, 101).await;
    let taken = name("101/vm-101-disk-0.qcow2");
    let request = CloneVolume { source: second.name().clone(), snapshot: None, name: taken, owner: vmid(101) };
    assert_eq!(local.clones().linked(&cx(), &request).await.unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(local.read(&clone.id, 1).await, b"a");
}

#[tokio::test]
async fn a_clone_whose_header_leads_elsewhere_is_not_opened() {
    needs_qemu_img!();
    let local = Local::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), [1; 4096]).unwrap();
    std::fs::create_dir_all(local.path("images/101")).unwrap();
    local.file("images/100/vm-100-disk-0.raw", &[1; 4096]);
    let absolute = outside.path().to_str().unwrap();
    // Out of the storage, another guest's disk, and a base that is not there.
    for target in [absolute, "../../../etc/passwd", "../100/vm-100-disk-0.raw", "../100/base-100-disk-7.raw", "json:{}", "nbd://host/x"] {
        let disk = local.path("images/101/vm-101-disk-0.qcow2");
        qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-b", target, "-F", "raw", disk.to_str().unwrap(), "1M"]);
        let attached = local.storage.attach(&cx(), &name("101/vm-101-disk-0.qcow2"), VolumeMode::Read).await;
        let error = attached.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::FailedPrecondition | ErrorKind::NotFound), "{target}: {error:?}");
        assert!(local.storage.grow(&cx(), &name("101/vm-101-disk-0.qcow2"), size("2Mi")).await.is_err(), "{target}");
    }
}
