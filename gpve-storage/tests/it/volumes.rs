use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use bytes::Bytes;
use futures::stream;
use gpve_core::error::ErrorKind;
use gpve_core::ports::{ContentKind, CreateVolume, OpCx, StoragePlugin as _, VolumeAccess, VolumeFilter, VolumeMode, VolumeUpload};
use gpve_core::types::DiskFormat;
use gpve_storage::DirConfig;

use crate::support::{Local, cx, name, size, vmid};

#[tokio::test]
async fn a_raw_disk_is_a_sparse_file_of_roots() {
    let local = Local::new();
    let volume = local.disk(100, "10Gi", DiskFormat::Raw).await;
    let metadata = std::fs::metadata(local.path("images/100/vm-100-disk-0.raw")).unwrap();
    assert_eq!((volume.size, metadata.len()), (size("10Gi"), 10 << 30));
    assert_eq!((metadata.blocks(), metadata.permissions().mode() & 0o7777), (0, 0o640));
    assert_eq!(volume.id.to_string(), "local:100/vm-100-disk-0.raw");
}

#[tokio::test]
async fn the_number_of_a_disk_is_free_in_every_format() {
    let local = Local::new();
    local.disk(100, "1Mi", DiskFormat::Raw).await;
    local.file("images/100/base-100-disk-1.vmdk", b"");
    local.file("images/100/vm-100-cloudinit.qcow2", b"");
    let planned = [name("100/vm-100-disk-2.qcow2"), name("101/vm-101-disk-3.qcow2")];
    let free = local.storage.free_name(&cx(), vmid(100), DiskFormat::Qcow2, &planned).await.unwrap();
    assert_eq!(free.as_str(), "100/vm-100-disk-3.qcow2");
}

#[tokio::test]
async fn a_new_disk_needs_a_name_of_its_owner_and_format() {
    let local = Local::new();
    let cases = [
        ("101/vm-101-disk-0.raw", 100, DiskFormat::Raw, "1Mi", "volume"),
        ("100/base-100-disk-0.raw", 100, DiskFormat::Raw, "1Mi", "volume"),
        ("100/base-100-disk-0.raw/101/vm-101-disk-0.qcow2", 101, DiskFormat::Qcow2, "1Mi", "volume"),
        ("iso/x.iso", 100, DiskFormat::Raw, "1Mi", "volume"),
        ("100/vm-100-disk-0.raw", 100, DiskFormat::Qcow2, "1Mi", "format"),
        ("100/vm-100-disk-0.raw", 100, DiskFormat::Raw, "0", "size"),
    ];
    for (text, owner, format, bytes, field) in cases {
        let request = CreateVolume { name: name(text), owner: vmid(owner), format, size: size(bytes) };
        let error = local.storage.create(&cx(), &request).await.unwrap_err();
        assert_eq!(error.fields.first().map(|f| f.field.as_str()), Some(field), "{text}: {error:?}");
    }
    assert_eq!(local.tree(), [""; 0]);
}

#[tokio::test]
async fn deleting_the_last_disk_removes_the_guests_directory() {
    let local = Local::new();
    let (first, second) = (local.disk(100, "1Mi", DiskFormat::Raw).await, local.disk(100, "1Mi", DiskFormat::Raw).await);
    local.storage.delete(&cx(), first.id.name()).await.unwrap();
    assert!(local.path("images/100").exists());
    local.storage.delete(&cx(), second.id.name()).await.unwrap();
    assert_eq!(local.tree(), ["images"]);
}

#[tokio::test]
async fn disks_made_and_deleted_at_once_do_not_disturb_each_other() {
    let local = Local::new();
    let workers = (0..8u32).map(|worker| {
        let storage = local.storage.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let text = format!("100/vm-100-disk-{worker}.raw");
                let request = CreateVolume { name: name(&text), owner: vmid(100), format: DiskFormat::Raw, size: size("1Mi") };
                storage.create(&cx(), &request).await.unwrap();
                storage.delete(&cx(), &request.name).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(local.tree(), ["images"]);
}

#[tokio::test]
async fn a_storage_shows_only_what_it_is_configured_for() {
    let content = BTreeSet::from([ContentKind::Iso]);
    let local = Local::with(|config| DirConfig { content, ..config });
    local.file("template/iso/debian.iso", b"iso");
    local.file("snippets/user.yaml", b"#");
    local.file("images/100/vm-100-disk-0.raw", &[0; 512]);
    let listed = local.storage.list(&cx(), &VolumeFilter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|v| v.id.to_string()).collect::<Vec<_>>(), ["local:iso/debian.iso"]);
    assert_eq!(local.storage.get(&cx(), &name("snippets/user.yaml")).await.unwrap(), None);
    let request = CreateVolume { name: name("100/vm-100-disk-1.raw"), owner: vmid(100), format: DiskFormat::Raw, size: size("1Mi") };
    let error = local.storage.create(&cx(), &request).await.unwrap_err();
    assert_eq!(error.message, "volume: storage local is not configured for images");
}

#[tokio::test]
async fn files_and_bases_are_attached_to_be_read_only() {
    let local = Local::new();
    let iso = local.file("template/iso/debian.iso", b"iso");
    local.file("images/100/base-100-disk-0.raw", &[0; 512]);
    let access = local.storage.attach(&cx(), &name("iso/debian.iso"), VolumeMode::Read).await.unwrap();
    assert_eq!(access, VolumeAccess::File { path: iso, format: DiskFormat::Raw, read_only: true, backing: Vec::new() });
    for fixed in ["iso/debian.iso", "100/base-100-disk-0.raw"] {
        let error = local.storage.attach(&cx(), &name(fixed), VolumeMode::Write).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailedPrecondition, "{error:?}");
    }
}

#[tokio::test]
async fn a_storage_that_cannot_be_reached_is_inactive_and_no_error() {
    let parent = tempfile::tempdir().unwrap();
    let gone = Local::with(|config| DirConfig { path: parent.path().join("gone"), mkdir: false, ..config });
    let status = gone.storage.status(&OpCx::background()).await.unwrap();
    assert!(!status.active && status.total.bytes() == 0, "{status:?}");
    std::fs::create_dir(parent.path().join("gone")).unwrap();
    assert!(gone.storage.status(&cx()).await.unwrap().active, "it comes back by itself");
}

#[tokio::test]
async fn a_mount_point_counts_only_while_something_is_mounted() {
    let not_mounted = Local::with(|config| DirConfig { is_mountpoint: true, ..config });
    assert!(!not_mounted.storage.status(&cx()).await.unwrap().active);
    let error = not_mounted.storage.list(&cx(), &VolumeFilter::default()).await.unwrap_err();
    assert!(error.report().contains("nothing is mounted at"), "{}", error.report());
    let mounted = Local::with(|config| DirConfig { is_mountpoint: true, path: "/proc".into(), ..config });
    assert!(mounted.storage.status(&cx()).await.unwrap().active);
}

#[tokio::test]
async fn an_upload_appears_only_when_it_is_whole() {
    let local = Local::new();
    let (sender, receiver) = futures::channel::mpsc::channel::<gpve_core::error::Result<Bytes>>(1);
    let storage = local.storage.clone();
    let upload = tokio::spawn(async move {
        let mut receiver = receiver;
        VolumeUpload::upload(&storage, &cx(), ContentKind::Iso, "debian.iso", &mut receiver).await
    });
    let mut sender = sender;
    for _ in 0..4 {
        futures::SinkExt::send(&mut sender, Ok(Bytes::from(vec![7; 1 << 16]))).await.unwrap();
        assert!(!local.path("template/iso/debian.iso").exists());
    }
    drop(sender);
    let volume = upload.await.unwrap().unwrap();
    assert_eq!((volume.id.to_string().as_str(), volume.size), ("local:iso/debian.iso", size("256Ki")));
    assert_eq!(std::fs::read(local.path("template/iso/debian.iso")).unwrap(), vec![7; 1 << 18]);
}

#[tokio::test]
async fn only_files_of_fitting_content_are_taken_in() {
    let local = Local::new();
    let cases =
        [(ContentKind::Images, "x.raw"), (ContentKind::Backup, "vzdump-qemu-100-2026_01_01-00_00_00.vma"), (ContentKind::Rootdir, "100")];
    for (content, file) in
        cases.into_iter().chain([(ContentKind::Iso, "x.exe"), (ContentKind::Import, "x.iso"), (ContentKind::Vztmpl, "x.iso")])
    {
        let mut bytes = stream::iter([Ok(Bytes::from_static(b"x"))]);
        let error = VolumeUpload::upload(&local.storage, &cx(), content, file, &mut bytes).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{content} {file}: {error:?}");
    }
    assert_eq!(local.tree(), [""; 0]);
}

#[test]
fn a_configuration_with_a_relative_path_or_unknown_keys_is_refused() {
    let runner = || std::sync::Arc::new(gpve_exec::System::new(gpve_exec::Tools::system()));
    for path in ["relative", "/a/../b", "/a\nb"] {
        let config = DirConfig::new("local".parse().unwrap(), path);
        let error = gpve_storage::DirStorage::new(config, runner()).unwrap_err();
        assert_eq!(error.fields[0].field, "path");
    }
    let read = |text: &str| serde_json::from_str::<DirConfig>(text);
    let config = read(r#"{"id": "local", "path": "/var/lib/vz", "content": ["iso", "images"], "is-mountpoint": true}"#).unwrap();
    assert!(config.is_mountpoint && config.mkdir && config.content.len() == 2);
    assert!(read(r#"{"id": "local", "path": "/var/lib/vz", "pth": 1}"#).is_err());
}
