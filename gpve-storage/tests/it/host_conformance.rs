use gpve_core::ports::VolumeAccess;
use gpve_core::testing::conformance::{StorageFixture, storage};
use gpve_core::types::DiskFormat;
use gpve_storage::image::Preallocation;

use crate::support::{Local, Qemu, needs_qemu_img};

async fn passes(local: &Local) {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    std::fs::write(outside.path(), &bytes).unwrap();
    let image = VolumeAccess::File { path: outside.path().into(), format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
    let fixture = StorageFixture { image: Some((image, bytes)), ..StorageFixture::new(Qemu) };
    storage(&local.storage, fixture).await;
}

#[tokio::test]
async fn a_directory_keeps_the_promises_of_the_storage_port() {
    needs_qemu_img!();
    let local = Local::new();
    passes(&local).await;
    assert!(!local.tree().iter().any(|path| path.contains("vm-") || path.contains(".part")), "{:?}", local.tree());
}

#[tokio::test]
async fn a_directory_keeps_them_with_every_preallocation() {
    needs_qemu_img!();
    for preallocation in [Preallocation::Metadata, Preallocation::Falloc, Preallocation::Full] {
        passes(&Local::with(|config| gpve_storage::DirConfig { preallocation, ..config })).await;
    }
}
