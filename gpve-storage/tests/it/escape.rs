use std::os::unix::fs::symlink;

use gpve_core::error::ErrorKind;
use gpve_core::ports::{StoragePlugin as _, VolumeFilter, VolumeMode, VolumeResize as _};
use gpve_core::types::DiskFormat;
use gpve_storage::dir::Place;

use crate::support::{Local, cx, name, size};

#[test]
fn no_name_leads_out_of_the_storage() {
    let hostile = [
        "", "/", ".", "..", "../etc/passwd", "/etc/passwd", "iso/..", "iso/../x.iso", "iso//x.iso", "iso/./x.iso", "iso/.x.iso",
        "iso/-x.iso", "iso/x.iso/..", "iso/x\0.iso", "iso/x\n.iso", "100/..", "100/../vm-100-disk-0.raw", "../100/vm-100-disk-0.raw",
        "100/vm-100-disk-0.raw/..", "0100/vm-100-disk-0.raw", "99/vm-99-disk-0.raw", "-1/vm-1-disk-0.raw", "100/.vm.raw", "100/-f.raw",
        "100/vm 100.raw", "100/a/b.raw", "images/100/vm-100-disk-0.raw", "rootdir/../x", "rootdir/abc", "backup/../x.vma",
        "import/../../x.raw", "import/x.ova/../../y.raw", "import/x.ova/..", "import/x.raw/y.raw", "unknown/x.iso", "images/x.raw",
        "100/.gpve-0-0.part", "iso/.gpve-0.lock", "100/base-100-disk-0.raw/101/../x.raw",
    ];
    for text in hostile {
        assert!(Place::parse(text).is_err(), "{text:?} was taken for {:?}", Place::parse(text));
    }
}

/// Everything a client can do with a name, tried on one that leads through a link.
async fn is_unreachable(local: &Local, text: &str) {
    let volume = name(text);
    assert_eq!(local.storage.get(&cx(), &volume).await.ok().flatten(), None, "{text} was found");
    for mode in [VolumeMode::Read, VolumeMode::Write] {
        assert!(local.storage.attach(&cx(), &volume, mode).await.is_err(), "{text} was attached");
    }
    assert!(local.storage.grow(&cx(), &volume, size("1Gi")).await.is_err(), "{text} was grown");
    let listed = local.storage.list(&cx(), &VolumeFilter::default()).await.unwrap();
    assert!(listed.iter().all(|v| v.id.name() != &volume), "{text} was listed");
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_is_not_followed() {
    let local = Local::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.raw");
    std::fs::write(&secret, [1; 512]).unwrap();
    local.file("template/iso/real.iso", b"iso");
    local.file("images/100/vm-100-disk-0.raw", &[0; 512]);
    symlink(&secret, local.path("images/100/vm-100-disk-1.raw")).unwrap();
    symlink(&secret, local.path("template/iso/absolute.iso")).unwrap();
    symlink("../../images/100/vm-100-disk-0.raw", local.path("template/iso/inside.iso")).unwrap();
    symlink("../../../secret.raw", local.path("template/iso/up.iso")).unwrap();
    symlink("/proc/self/environ", local.path("template/iso/magic.iso")).unwrap();
    for text in ["100/vm-100-disk-1.raw", "iso/absolute.iso", "iso/inside.iso", "iso/up.iso", "iso/magic.iso"] {
        is_unreachable(&local, text).await;
    }
    let error = local.storage.attach(&cx(), &name("iso/absolute.iso"), VolumeMode::Read).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("symbolic link")), (ErrorKind::PermissionDenied, true), "{error:?}");
    local.storage.delete(&cx(), &name("iso/absolute.iso")).await.unwrap();
    assert_eq!(std::fs::read(&secret).unwrap(), [1; 512], "deleting a link deletes the link");
}

#[tokio::test]
async fn a_link_in_the_place_of_a_directory_is_not_followed() {
    let local = Local::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("vm-100-disk-0.raw"), [1; 512]).unwrap();
    std::fs::write(outside.path().join("x.iso"), [1; 512]).unwrap();
    std::fs::create_dir(local.path("images")).unwrap();
    symlink(outside.path(), local.path("images/100")).unwrap();
    std::fs::create_dir(local.path("template")).unwrap();
    symlink(outside.path(), local.path("template/iso")).unwrap();
    let listed = local.storage.list(&cx(), &VolumeFilter { content: Some(gpve_core::ports::ContentKind::Images), owner: None }).await;
    assert_eq!(listed.unwrap(), []);
    for text in ["100/vm-100-disk-0.raw", "iso/x.iso"] {
        assert!(local.storage.attach(&cx(), &name(text), VolumeMode::Read).await.is_err());
        assert!(local.storage.delete(&cx(), &name(text)).await.is_err(), "{text}");
    }
    let request = gpve_core::ports::CreateVolume {
        name: name("100/vm-100-disk-1.raw"),
        owner: crate::support::vmid(100),
        format: DiskFormat::Raw,
        size: size("1Mi"),
    };
    assert!(local.storage.create(&cx(), &request).await.is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2, "nothing was made or deleted outside");
}

#[tokio::test]
async fn what_is_no_regular_file_is_no_volume_and_hangs_nothing() {
    let local = Local::new();
    let fifo = local.path("template/iso/pipe.iso");
    std::fs::create_dir_all(fifo.parent().unwrap()).unwrap();
    crate::support::run("mkfifo", &[fifo.to_str().unwrap()]);
    std::fs::create_dir_all(local.path("images/100/vm-100-disk-0.raw")).unwrap();
    for text in ["iso/pipe.iso", "100/vm-100-disk-0.raw"] {
        is_unreachable(&local, text).await;
    }
}
