//! A storage without space: a small file system in a mount namespace of the test's own, which ends with the process.

use std::process::Command;

use bytes::Bytes;
use futures::stream;
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::{ContentKind, CreateVolume, ImportVolume, StoragePlugin, VolumeAccess, VolumeUpload};
use gpve_core::types::DiskFormat;
use gpve_storage::DirConfig;
use gpve_storage::image::Preallocation;

use crate::support::{Local, cx, name, needs_qemu_img, size, vmid};

const INSIDE: &str = "GPVE_STORAGE_TEST_FULL";
const TEST: &str = "host_full::a_full_storage_says_so_and_keeps_nothing";

fn is_full(error: &Error) {
    assert_eq!(error.kind, ErrorKind::ResourceExhausted, "{error:?}");
    assert!(error.message.contains("no space left on"), "{}", error.message);
}

#[tokio::test]
async fn a_full_storage_says_so_and_keeps_nothing() {
    needs_qemu_img!();
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let mount = "mount -t tmpfs -o size=2m none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
        let place = tempfile::tempdir().unwrap();
        let run = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--", "sh", "-c", script, "sh"]).arg(place.path()).arg(&this).arg(TEST).env(INSIDE, place.path());
            command.status().is_ok_and(|status| status.success())
        };
        if !run("mount -t tmpfs -o size=2m none \"$1\"") {
            return println!("SKIP {TEST}: a mount namespace and tmpfs need root");
        }
        assert!(run(mount), "{TEST} failed in its namespace");
        return;
    }

    let path = std::env::var_os(INSIDE).unwrap();
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), vec![7; 8 << 20]).unwrap();
    let local = Local::with(|config| DirConfig { path: path.into(), preallocation: Preallocation::Falloc, ..config });

    let request = CreateVolume { name: name("100/vm-100-disk-0.raw"), owner: vmid(100), format: DiskFormat::Raw, size: size("8Mi") };
    is_full(&local.storage.create(&cx(), &request).await.unwrap_err());
    let access = VolumeAccess::File { path: source.path().into(), format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
    for format in [DiskFormat::Raw, DiskFormat::Qcow2] {
        let name = name(&format!("100/vm-100-disk-0.{format}"));
        let request = ImportVolume { source: access.clone(), snapshot: None, name, owner: vmid(100), format };
        is_full(&local.importer().import(&cx(), &request).await.unwrap_err());
    }
    let mut chunks = stream::iter((0..128).map(|_| Ok(Bytes::from(vec![7; 1 << 16]))));
    is_full(&VolumeUpload::upload(&local.storage, &cx(), ContentKind::Iso, "large.iso", &mut chunks).await.unwrap_err());

    let status = local.storage.status(&cx()).await.unwrap();
    assert!(status.active && status.used < size("64Ki"), "what failed takes no space: {status:?}");
    assert_eq!(StoragePlugin::list(&local.storage, &cx(), &Default::default()).await.unwrap(), []);
}
