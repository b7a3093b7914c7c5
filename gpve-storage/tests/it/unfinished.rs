use bytes::Bytes;
use futures::StreamExt as _;
use gpve_core::ports::{ContentKind, StoragePlugin as _, VolumeFilter, VolumeUpload};
use gpve_core::types::DiskFormat;

use crate::support::{Local, cx};

fn parts(local: &Local) -> Vec<String> {
    local.tree().into_iter().filter(|path| path.ends_with(".part")).collect()
}

#[tokio::test]
async fn files_that_a_dead_process_left_unfinished_are_removed_at_the_next_start() {
    let local = Local::new();
    local.disk(100, "1Mi", DiskFormat::Raw).await;
    local.file("images/101/.gpve-3-0.part", b"half");
    local.file("template/iso/.gpve-3-1.part", b"half");
    local.file(".gpve-1.lock", b"");
    local.file(".gpve-2.lock", b"");
    local.file(".gpve-3.lock", b"");
    local.file("images/101/.somebody-else.part", b"kept");
    let listed = local.storage.list(&cx(), &VolumeFilter::default()).await.unwrap();
    assert_eq!(listed.len(), 1, "unfinished files are no volumes");
    let _next = local.again();
    assert_eq!(parts(&local), ["images/101/.somebody-else.part"]);
}

#[tokio::test]
async fn files_that_a_living_process_still_writes_are_left_alone() {
    let local = Local::new();
    // An upload that never ends.
    let (mut sender, receiver) = futures::channel::mpsc::channel::<gpve_core::error::Result<Bytes>>(0);
    let storage = local.storage.clone();
    let upload = tokio::spawn(async move {
        let mut receiver = receiver.fuse();
        VolumeUpload::upload(&storage, &cx(), ContentKind::Iso, "debian.iso", &mut receiver).await
    });
    for _ in 0..3 {
        futures::SinkExt::send(&mut sender, Ok(Bytes::from_static(b"half"))).await.unwrap();
    }
    assert_eq!(parts(&local), ["template/iso/.gpve-0-0.part"]);
    let other = local.again();
    assert_eq!(parts(&local), ["template/iso/.gpve-0-0.part"], "another process leaves it");

    // The caller goes away: the file goes too.
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert_eq!(parts(&local), [""; 0]);
    drop(other);
}
