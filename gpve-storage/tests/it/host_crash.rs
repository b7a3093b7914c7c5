//! The process is killed while it makes volumes: this program again, as a child.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gpve_core::ports::{CreateVolume, ImportVolume, StoragePlugin, VolumeAccess, VolumeFilter};
use gpve_core::types::DiskFormat;
use gpve_storage::DirStorage;

use crate::support::{Local, cx, name, needs_qemu_img, qemu_img, size, storage_at, vmid};

const ROLE: &str = "GPVE_STORAGE_TEST_DIRECTORY";
/// How often the maker is killed.
const KILLS: u32 = 40;

/// Makes and imports disks until it is killed.
#[tokio::test]
async fn role_makes_volumes_for_ever() {
    let Some(directory) = std::env::var_os(ROLE) else { return };
    let storage = storage_at(directory.as_ref());
    let source = std::path::Path::new(&directory).join("source.raw");
    for vmid in (100..).map(vmid) {
        for (index, format) in [DiskFormat::Raw, DiskFormat::Qcow2].into_iter().enumerate() {
            let name = name(&format!("{vmid}/vm-{vmid}-disk-{index}.{format}"));
            storage.create(&cx(), &CreateVolume { name, owner: vmid, format, size: size("8Mi") }).await.unwrap();
        }
        let source = VolumeAccess::File { path: source.clone(), format: DiskFormat::Raw, read_only: true, backing: Vec::new() };
        let name = name(&format!("{vmid}/vm-{vmid}-disk-2.qcow2"));
        let request = ImportVolume { source, snapshot: None, name, owner: vmid, format: DiskFormat::Qcow2 };
        StoragePlugin::import(&storage).unwrap().import(&cx(), &request).await.unwrap();
    }
}

fn maker(local: &Local) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host_crash::role_makes_volumes_for_ever"])
        .env(ROLE, local.directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Uses the storage anew until nothing unfinished is left. Once is enough but for a program that the killed one was just
/// starting: until it is itself it holds its parent's lock.
async fn without_unfinished(local: &Local) -> DirStorage {
    let wait = async {
        loop {
            let next = storage_at(local.directory.path());
            if !local.tree().iter().any(|path| path.ends_with(".part")) {
                return next;
            }
            drop(next);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("unfinished files stay")
}

#[tokio::test]
async fn a_maker_killed_at_any_moment_leaves_whole_volumes_only() {
    needs_qemu_img!();
    let local = Local::new();
    local.file("source.raw", &vec![7; 4 << 20]);
    let mut made = 0;
    for round in 0..KILLS {
        let mut child = maker(&local);
        // From its start to several volumes later, at another moment each time.
        tokio::time::sleep(Duration::from_millis(u64::from(round * 37 % 400))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // A qemu-img that the killed one had running may still write to its nameless file; the storage is used again.
        let next = storage_at(local.directory.path());
        let volumes = next.list(&cx(), &VolumeFilter::default()).await.unwrap();
        for volume in &volumes {
            let expected = if volume.id.name().as_str().contains("disk-2") { "4Mi" } else { "8Mi" };
            assert_eq!(volume.size, size(expected), "{} is not whole", volume.id);
            if volume.format == DiskFormat::Qcow2 {
                let path = local.path(&format!("images/{}", volume.id.name()));
                qemu_img(&["check", "-q", "-f", "qcow2", path.to_str().unwrap()]);
            }
        }
        drop(next);
        let next = without_unfinished(&local).await;
        made += volumes.len();
        for volume in volumes {
            next.delete(&cx(), volume.id.name()).await.unwrap();
        }
    }
    assert_eq!(local.tree(), ["images", "source.raw"], "no guest's directory is left");
    assert!(made > 0, "no maker ever came to make a volume");
}
