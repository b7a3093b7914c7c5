//! Drives of cloud-init in a guest's life.

use futures_util::stream;
use gpve_core::ports::{ConfigPatch, ContentKind, DeleteOptions, OpCx, Operation, StoragePlugin, TaskState};
use gpve_core::testing::mem::MemStorage;
use gpve_core::types::{DiskSource, VmSpec, VolumeId};

use super::life::patch;
use super::rig::{Rig, vmid};
use super::sagas::{clone_to, with_cloud_init};

fn drive() -> VolumeId {
    "local:100/vm-100-cloudinit.qcow2".parse().unwrap()
}

/// What is on a drive, as text.
fn content(rig: &Rig, volume: &VolumeId) -> String {
    String::from_utf8_lossy(&rig.host.read(volume, 0, 512 * 1024).unwrap()).into_owned()
}

async fn made(change: impl FnOnce(&mut VmSpec)) -> Rig {
    let rig = Rig::new().await;
    let mut spec = with_cloud_init("ubuntu");
    change(&mut spec);
    rig.ok(100, Operation::Create { uid: uuid::Uuid::nil(), name: Some("web".parse().unwrap()), spec: Box::new(spec), start: false }).await;
    rig
}

fn refresh() -> Operation {
    Operation::Update(ConfigPatch { refresh_cloud_init: true, ..ConfigPatch::default() })
}

fn has_volume(rig: &Rig, name: &str) -> bool {
    rig.dump().iter().any(|line| line.starts_with(&format!("volume {name} ")))
}

#[tokio::test]
async fn a_drive_is_named_as_in_proxmox_ve_and_written_at_every_start() {
    let rig = made(|_| ()).await;
    let slot = "ide2".parse().unwrap();
    assert_eq!(rig.report(100).spec.disks[&slot].source, DiskSource::Volume { volume: drive(), size: None });
    assert!(!content(&rig, &drive()).contains("#cloud-config"), "there is nothing to tell before a start");
    rig.ok(100, Operation::Start).await;
    assert!(content(&rig, &drive()).contains("hostname: \"web\"") && content(&rig, &drive()).contains("user: \"ubuntu\""));
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, patch(&rig, |s| s.cloud_init.user = Some("admin".parse().unwrap()))).await;
    rig.ok(100, Operation::Start).await;
    assert!(content(&rig, &drive()).contains("user: \"admin\"") && !content(&rig, &drive()).contains("ubuntu"));
}

#[tokio::test]
async fn a_running_guest_sees_a_change_when_it_is_asked_for_and_until_then_it_is_pending() {
    let rig = made(|_| ()).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, patch(&rig, |s| s.cloud_init.user = Some("admin".parse().unwrap()))).await;
    let user = |s: &VmSpec| s.cloud_init.user.as_ref().unwrap().as_str().to_owned();
    let now = rig.report(100);
    assert_eq!((user(&now.spec), user(now.running.as_ref().unwrap())), ("admin".into(), "ubuntu".into()));
    assert!(content(&rig, &drive()).contains("ubuntu"));
    let before = rig.host.journal().len();
    rig.ok(100, refresh()).await;
    assert_eq!(user(rig.report(100).running.as_ref().unwrap()), "admin", "nothing is pending any more");
    assert!(content(&rig, &drive()).contains("admin"));
    assert!(rig.host.journal()[before..].iter().any(|e| e.starts_with("guest.hotplug")), "the medium was put in again");
}

#[tokio::test]
async fn a_guest_with_that_hotplug_feature_sees_every_change_at_once() {
    let rig = made(|s| s.hotplug = Some("disk,cloudinit".parse().unwrap())).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, patch(&rig, |s| s.cloud_init.user = Some("admin".parse().unwrap()))).await;
    assert!(content(&rig, &drive()).contains("admin"));
    assert_eq!(rig.report(100).running.unwrap().cloud_init, rig.report(100).spec.cloud_init);
}

#[tokio::test]
async fn a_drive_that_is_taken_out_or_whose_guest_is_deleted_goes() {
    let rig = made(|_| ()).await;
    rig.ok(100, Operation::Start).await;
    let slot = "ide2".parse().unwrap();
    rig.ok(100, patch(&rig, |s| s.disks.get_mut(&slot).unwrap().source = DiskSource::Empty)).await;
    assert!(!has_volume(&rig, &drive().to_string()), "the medium was changed, and its volume deleted");
    assert!(rig.report(100).spec.unused.is_empty(), "what can be made anew is not kept");
    let source = serde_json::from_value::<DiskSource>(serde_json::json!({"cloudInit": {"storage": "local"}})).unwrap();
    rig.ok(100, patch(&rig, |s| s.disks.get_mut(&slot).unwrap().source = source)).await;
    assert!(content(&rig, &drive()).contains("user: \"ubuntu\""), "a drive that comes to a running guest is written first");
    rig.ok(100, patch(&rig, |s| drop(s.disks.remove(&slot)))).await;
    assert_eq!(rig.report(100).spec.unused.values().next(), Some(&drive()), "a running machine keeps its IDE drives until it ends");
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Delete(DeleteOptions::default())).await;
    assert!(rig.dump().is_empty(), "{:?}", rig.dump());
}

#[tokio::test]
async fn a_clone_has_a_drive_of_its_own_and_a_snapshot_has_none() {
    let rig = made(|_| ()).await;
    rig.ok(100, clone_to(200, true)).await;
    let slot = "ide2".parse().unwrap();
    assert_eq!(rig.report(200).spec.disks[&slot].volume().unwrap().to_string(), "local:200/vm-200-cloudinit.qcow2");
    rig.ok(200, Operation::Start).await;
    let other: VolumeId = "local:200/vm-200-cloudinit.qcow2".parse().unwrap();
    assert!(content(&rig, &other).contains("hostname: \"vm-200\""));
    assert!(!content(&rig, &drive()).contains("#cloud-config"), "a guest's start writes its own drive alone");
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Snapshot { name: "snap".parse().unwrap(), description: String::new() }).await;
    assert!(rig.dump().iter().any(|l| l.contains("vm-100-cloudinit") && l.ends_with("[]")), "{:?}", rig.dump());
    rig.ok(100, patch(&rig, |s| s.disks.get_mut(&slot).unwrap().source = DiskSource::Empty)).await;
    rig.ok(100, Operation::Rollback { name: "snap".parse().unwrap(), start: false }).await;
    rig.ok(100, patch(&rig, |s| s.cloud_init.user = Some("admin".parse().unwrap()))).await;
    assert!(!has_volume(&rig, &drive().to_string()));
    rig.ok(100, Operation::Start).await;
    assert!(content(&rig, &drive()).contains("admin"), "a drive that a snapshot brings back is made by the start");
}

#[tokio::test]
async fn snippets_stand_in_for_generated_files_and_anything_else_is_refused() {
    let rig = made(|_| ()).await;
    let storage = MemStorage::new(rig.host.clone(), "local".parse().unwrap());
    let mut bytes = stream::iter([Ok(bytes::Bytes::from_static(b"#cloud-config\n# mine\n"))]);
    let upload = storage.upload().unwrap();
    upload.upload(&OpCx::background(), ContentKind::Snippets, "mine.yaml", &mut bytes).await.unwrap();
    let user = |file: &str| Some(file.parse::<VolumeId>().unwrap());
    rig.ok(100, patch(&rig, |s| s.cloud_init.files.user = user("local:snippets/mine.yaml"))).await;
    rig.ok(100, Operation::Start).await;
    assert!(content(&rig, &drive()).contains("# mine") && !content(&rig, &drive()).contains("hostname"));
    for (file, why) in [("local:snippets/gone.yaml", "gone.yaml"), ("local:100/vm-100-disk-0.qcow2", "is no snippet")] {
        rig.ok(100, Operation::Stop).await;
        rig.ok(100, patch(&rig, |s| s.cloud_init.files.user = user(file))).await;
        let start = rig.run(100, Operation::Start).await;
        assert!(matches!(&start.state, TaskState::Failed(text) if text.contains(why)), "{:?}", start.state);
    }
}

#[tokio::test]
async fn another_guests_drive_is_a_disc_like_any_other() {
    let rig = made(|_| ()).await;
    rig.ok(100, clone_to(200, true)).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Stop).await;
    let before = content(&rig, &drive());
    let slot = "ide2".parse().unwrap();
    let mut spec = rig.report(200).spec;
    spec.disks.get_mut(&slot).unwrap().source = DiskSource::Volume { volume: drive(), size: None };
    let change = gpve_core::patch::SpecPatch::between(&rig.report(200).spec, &spec).unwrap();
    rig.ok(200, Operation::Update(ConfigPatch { spec: change, ..ConfigPatch::default() })).await;
    rig.ok(200, Operation::Start).await;
    rig.ok(200, Operation::Stop).await;
    rig.ok(200, Operation::Delete(DeleteOptions::default())).await;
    assert_eq!(content(&rig, &drive()), before, "it is neither written nor deleted by vm {}", vmid(200));
}

#[test]
fn a_machine_has_one_drive_and_it_is_a_cdrom() {
    let mut spec = with_cloud_init("ubuntu");
    assert!(spec.check().is_empty(), "{:?}", spec.check());
    let slot = "ide2".parse().unwrap();
    let mut second = spec.disks[&slot].clone();
    second.name = "sata0".parse().unwrap();
    spec.disks.insert(second.name, second);
    assert!(spec.check().iter().any(|e| e.field == "sata0" && e.reason.contains("cloud-init drive already")), "{:?}", spec.check());
    spec.disks.remove(&"sata0".parse().unwrap());
    spec.disks.get_mut(&slot).unwrap().options.media = None;
    assert!(spec.check().iter().any(|e| e.reason.contains("media=cdrom")), "{:?}", spec.check());
}
