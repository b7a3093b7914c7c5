use gpve_core::error::ErrorKind;
use gpve_core::ports::{StoragePlugin as _, VolumeMode};
use gpve_core::types::{DiskFormat, SnapName};

use crate::support::{Local, cx, name, needs_qemu_img, qemu_img};

fn snap(text: &str) -> SnapName {
    text.parse().unwrap()
}

#[tokio::test]
async fn snapshots_leave_an_image_that_qemu_finds_in_order() {
    needs_qemu_img!();
    let local = Local::new();
    let volume = local.disk(100, "64Mi", DiskFormat::Qcow2).await;
    for text in ["first", "second", "third"] {
        local.snapshots().take(&cx(), volume.id.name(), &snap(text)).await.unwrap();
    }
    local.snapshots().rollback(&cx(), volume.id.name(), &snap("first")).await.unwrap();
    local.snapshots().delete(&cx(), volume.id.name(), &snap("second")).await.unwrap();
    assert_eq!(local.snapshots().list(&cx(), volume.id.name()).await.unwrap(), [snap("first"), snap("third")]);
    let path = local.path("images/100/vm-100-disk-0.qcow2");
    let checked = qemu_img(&["check", "-f", "qcow2", path.to_str().unwrap()]);
    assert!(checked.contains("No errors were found"), "{checked}");
}

#[tokio::test]
async fn a_snapshot_of_a_missing_or_raw_disk_is_refused() {
    let local = Local::new();
    local.disk(100, "1Mi", DiskFormat::Raw).await;
    let missing = local.snapshots().take(&cx(), &name("100/vm-100-disk-7.qcow2"), &snap("any")).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    let raw = local.snapshots().take(&cx(), &name("100/vm-100-disk-0.raw"), &snap("any")).await.unwrap_err();
    assert_eq!(raw.kind, ErrorKind::Unsupported);
    assert_eq!(local.snapshots().list(&cx(), &name("100/vm-100-disk-0.raw")).await.unwrap(), []);
}

#[tokio::test]
async fn a_disk_that_a_process_writes_is_not_snapshotted_offline() {
    needs_qemu_img!();
    let local = Local::new();
    let volume = local.disk(100, "1Mi", DiskFormat::Qcow2).await;
    local.storage.attach(&cx(), volume.id.name(), VolumeMode::Write).await.unwrap();
    let path = local.path("images/100/vm-100-disk-0.qcow2");
    let mut writer = std::process::Command::new("qemu-io")
        .args(["-f", "qcow2", path.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its prompt says that it has the image open.
    let mut prompt = [0; 1];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut prompt).unwrap();
    let taken = local.snapshots().take(&cx(), volume.id.name(), &snap("any")).await;
    drop(writer.stdin.take());
    writer.wait().unwrap();
    assert!(taken.unwrap_err().message.contains("lock"), "QEMU's lock on the image holds");
    local.snapshots().take(&cx(), volume.id.name(), &snap("any")).await.unwrap();
}
