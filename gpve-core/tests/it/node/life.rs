//! The life of one guest.

use gpve_core::patch::SpecPatch;
use gpve_core::ports::{
    AgentCall, ConfigPatch, ContentKind, DeleteOptions, HookPhase, Node, OpCx, Operation, ResizeTo, ShutdownOptions, StoragePlugin as _,
    TaskState,
};
use gpve_core::testing::mem::{Acpi, Boot, MemStorage, Script};
use gpve_core::types::{ByteSize, DiskSource, GuestPhase};

use super::rig::{Rig, create, vmid};

#[tokio::test]
async fn a_guest_is_made_started_shut_down_and_deleted_and_leaves_nothing() {
    let rig = Rig::new().await;
    let before = rig.dump();
    rig.ok(100, create(false)).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Stopped);
    let disk = rig.report(100).spec.disks.into_values().next().unwrap();
    let DiskSource::Volume { volume, size } = disk.source else { panic!("the disk was not made") };
    assert_eq!((volume.to_string().as_str(), size), ("local:100/vm-100-disk-0.qcow2", Some(ByteSize::from_gib(1))));
    rig.ok(100, Operation::Start).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
    assert!(rig.report(100).pid.is_some() && rig.report(100).started.is_some());
    rig.node.agent(vmid(100), AgentCall::Ping).await.unwrap();
    rig.ok(100, Operation::Shutdown(ShutdownOptions::default())).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Stopped);
    rig.ok(100, Operation::Delete(DeleteOptions::default())).await;
    assert!(!rig.exists(100));
    assert_eq!(rig.dump(), before);
}

#[tokio::test]
async fn create_with_start_starts_in_a_task_of_its_own() {
    let rig = Rig::new().await;
    rig.ok(100, create(true)).await;
    rig.phase(100, GuestPhase::Running).await;
    let kinds: Vec<String> = rig.node.tasks(&Default::default()).await.unwrap().iter().map(|t| t.upid.kind.to_string()).collect();
    assert_eq!(kinds, ["qmstart", "qmcreate"]);
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_is_an_error_and_goes_by_force() {
    let rig = Rig::new().await;
    rig.host.script(vmid(100), Script { acpi: Acpi::Ignores, ..Script::default() });
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    let options = ShutdownOptions { timeout_s: 0, force: false };
    let failed = rig.run(100, Operation::Shutdown(options)).await;
    assert!(matches!(&failed.state, TaskState::Failed(why) if why.contains("got timeout")), "{:?}", failed.state);
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
    rig.ok(100, Operation::Shutdown(ShutdownOptions { timeout_s: 0, force: true })).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Stopped);
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_stopped_and_its_ports_are_gone() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let stopped = rig.dump();
    rig.ok(100, Operation::Start).await;
    rig.host.guest(vmid(100)).unwrap().power_off();
    rig.phase(100, GuestPhase::Stopped).await;
    assert_eq!(rig.dump(), stopped);
    rig.ok(100, Operation::Start).await;
}

#[tokio::test]
async fn a_guest_whose_kernel_panics_before_anybody_listens_is_failed_and_can_be_reset() {
    let rig = Rig::new().await;
    rig.host.script(vmid(100), Script { boot: Boot::Panics, ..Script::default() });
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    rig.phase(100, GuestPhase::Failed).await;
    assert_eq!(rig.report(100).reason.as_deref(), Some("the guest's kernel panicked"));
    rig.ok(100, Operation::Reset).await;
    rig.phase(100, GuestPhase::Running).await;
}

#[tokio::test]
async fn hardware_that_fails_is_told_while_the_guest_goes_on_and_until_it_ends() {
    const LOST: &str = "tpmstate0: the emulator of its TPM has ended";
    let rig = Rig::new().await;
    rig.ok(100, create(true)).await;
    rig.phase(100, GuestPhase::Running).await;
    assert_eq!(rig.report(100).reason, None);
    rig.host.guest(vmid(100)).unwrap().lose(LOST);
    rig.until("the loss is told", |rig| rig.report(100).reason.as_deref() == Some(LOST)).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
    rig.ok(100, Operation::Pause).await;
    assert_eq!(rig.report(100).reason.as_deref(), Some(LOST));
    let rig = rig.restart().await;
    rig.until("an adopted guest is looked at", |rig| rig.report(100).reason.as_deref() == Some(LOST)).await;
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Start).await;
    assert_eq!(rig.report(100).reason, None);
}

/// Gives guest 100 the hook script of this name, of which a file is on the storage.
async fn hooked(rig: &Rig, name: &str) {
    let storage = MemStorage::new(rig.host.clone(), "local".parse().unwrap());
    let mut bytes = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"#!/bin/sh\n"))]);
    let upload = storage.upload().unwrap().upload(&OpCx::background(), ContentKind::Snippets, name, &mut bytes).await;
    let script = upload.unwrap().id;
    rig.ok(100, patch(rig, |spec| spec.hook_script = Some(script))).await;
}

#[tokio::test]
async fn a_hook_script_is_run_at_each_step_of_a_guests_life() {
    use HookPhase::{PostStart, PostStop, PreStart, PreStop};
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    hooked(&rig, "ends-0").await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Reboot(ShutdownOptions { timeout_s: 5, force: true })).await;
    rig.phase(100, GuestPhase::Running).await;
    rig.host.guest(vmid(100)).unwrap().power_off();
    rig.phase(100, GuestPhase::Stopped).await;
    let up_down = [PreStart, PostStart, PreStop, PostStop];
    let wanted = [&up_down[..], &up_down, &[PreStart, PostStart, PostStop]].concat();
    let ran = || rig.hooks.runs().into_iter().map(|(_, phase)| phase).collect::<Vec<_>>();
    rig.ok(100, Operation::Start).await;
    assert_eq!(ran(), [&wanted[..], &[PreStart, PostStart]].concat(), "a guest that powers itself off is only told afterwards");
}

#[tokio::test]
async fn a_script_that_fails_before_the_start_aborts_it_and_later_warns() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    hooked(&rig, "ends-3-in-pre-start").await;
    let task = rig.run(100, Operation::Start).await;
    let TaskState::Failed(why) = &task.state else { panic!("{:?}", task.state) };
    assert!(why.contains("code 3") && why.contains("pre-start"), "{why}");
    assert!(rig.log(&task).await.contains("100 pre-start"), "its output is in the log");
    assert!(rig.report(100).reason.is_some_and(|reason| reason.contains("code 3")), "why it is not up");
    assert!(rig.host.guest(vmid(100)).is_none(), "nothing runs");
    for phase in ["post-start", "pre-stop", "post-stop"] {
        hooked(&rig, &format!("ends-4-in-{phase}")).await;
        let states = [rig.run(100, Operation::Start).await.state, rig.run(100, Operation::Stop).await.state];
        assert!(states.contains(&TaskState::Warnings(1)) && states.contains(&TaskState::Ok), "{phase}: {states:?}");
    }
}

#[tokio::test]
async fn pause_resume_reset_and_reboot_do_what_they_say() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Pause).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Paused);
    rig.ok(100, Operation::Resume).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
    rig.ok(100, Operation::Reset).await;
    let pid = rig.report(100).pid;
    rig.ok(100, Operation::Reboot(ShutdownOptions::default())).await;
    assert_eq!(rig.report(100).phase, GuestPhase::Running);
    assert_ne!(rig.report(100).pid, pid, "a reboot starts a new process, with pending changes");
}

#[tokio::test]
async fn starting_twice_fails_with_the_words_that_clients_know() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    let twice = rig.run(100, Operation::Start).await;
    assert_eq!(twice.state, TaskState::Failed("VM 100 already running".to_owned()));
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Stop).await;
}

#[tokio::test]
async fn a_disk_grows_in_the_running_guest_and_never_shrinks() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let slot = "scsi0".parse().unwrap();
    rig.ok(100, Operation::Resize { disk: slot, size: ResizeTo::Grow(ByteSize::from_gib(1)) }).await;
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Resize { disk: slot, size: ResizeTo::Absolute(ByteSize::from_gib(3)) }).await;
    rig.ok(100, Operation::Resize { disk: slot, size: ResizeTo::Absolute(ByteSize::from_gib(3)) }).await;
    let DiskSource::Volume { size, .. } = &rig.report(100).spec.disks[&slot].source else { panic!() };
    assert_eq!(*size, Some(ByteSize::from_gib(3)));
    assert_eq!(rig.report(100).running.as_deref(), Some(&rig.report(100).spec), "nothing is pending after a resize");
    let shrink = rig.run(100, Operation::Resize { disk: slot, size: ResizeTo::Absolute(ByteSize::from_gib(1)) }).await;
    assert!(matches!(shrink.state, TaskState::Failed(why) if why.contains("shrinking")));
}

pub(super) fn patch(rig: &Rig, change: impl FnOnce(&mut gpve_core::types::VmSpec)) -> Operation {
    let old = rig.report(100).spec;
    let mut new = old.clone();
    change(&mut new);
    Operation::Update(ConfigPatch { spec: SpecPatch::between(&old, &new).unwrap(), ..ConfigPatch::default() })
}

#[tokio::test]
async fn a_change_is_hot_where_the_machine_can_and_pending_otherwise() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    let hot = patch(&rig, |s| {
        let disk = serde_json::json!({"name": "scsi1", "source": {"new": {"storage": "local", "size": "2Gi"}}});
        s.disks.insert("scsi1".parse().unwrap(), serde_json::from_value(disk).unwrap());
    });
    rig.ok(100, hot).await;
    let now = rig.report(100);
    assert!(now.running.as_ref().unwrap().disks.contains_key(&"scsi1".parse().unwrap()), "scsi1 was plugged in");
    let cold = patch(&rig, |s| s.cpu.cores = 4);
    rig.ok(100, cold).await;
    let now = rig.report(100);
    assert_eq!((now.spec.cpu.cores, now.running.unwrap().cpu.cores), (4, 1));
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Start).await;
    assert_eq!(rig.report(100).running.unwrap().cpu.cores, 4);
}

#[tokio::test]
async fn a_disk_taken_out_becomes_unused_and_then_goes_for_good() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let out = patch(&rig, |s| s.disks.clear());
    rig.ok(100, out).await;
    assert_eq!(rig.report(100).spec.unused[&0].to_string(), "local:100/vm-100-disk-0.qcow2");
    let drop_it = patch(&rig, |s| s.unused.clear());
    rig.ok(100, drop_it).await;
    assert!(!rig.dump().iter().any(|l| l.starts_with("volume")), "{:?}", rig.dump());
}

#[tokio::test]
async fn two_changes_of_different_fields_queue_and_both_hold() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let (cores, memory) = (patch(&rig, |s| s.cpu.cores = 2), patch(&rig, |s| s.memory.size = "128Mi".parse().unwrap()));
    let (a, b) = tokio::join!(rig.run(100, cores), rig.run(100, memory));
    assert_eq!((a.state, b.state), (TaskState::Ok, TaskState::Ok));
    let spec = rig.report(100).spec;
    assert_eq!((spec.cpu.cores, spec.memory.size.get()), (2, 128));
}

#[tokio::test]
async fn a_snapshot_brings_back_bytes_and_spec() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let volume = "local:100/vm-100-disk-0.qcow2".parse().unwrap();
    rig.host.write(&volume, 0, b"before").unwrap();
    rig.ok(100, Operation::Start).await;
    rig.ok(100, Operation::Snapshot { name: "clean".parse().unwrap(), description: "as new".into() }).await;
    rig.host.write(&volume, 0, b"after!").unwrap();
    let cores = patch(&rig, |s| s.cpu.cores = 8);
    rig.ok(100, cores).await;
    rig.ok(100, Operation::Rollback { name: "clean".parse().unwrap(), start: true }).await;
    rig.phase(100, GuestPhase::Running).await;
    assert_eq!(rig.host.read(&volume, 0, 6).unwrap(), b"before");
    assert_eq!(rig.report(100).spec.cpu.cores, 1);
    assert_eq!(rig.report(100).parent.unwrap().as_str(), "clean");
    rig.ok(100, Operation::DeleteSnapshot { name: "clean".parse().unwrap(), force: false }).await;
    assert!(rig.report(100).snapshots.is_empty() && rig.report(100).parent.is_none());
}

#[tokio::test]
async fn the_state_of_a_tpm_is_raw_and_copied_even_by_a_linked_clone() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let state = serde_json::json!({ "name": "tpmstate0", "source": { "new": { "storage": "local", "size": "4Mi" } } });
    let state: gpve_core::types::DiskSpec = serde_json::from_value(state).unwrap();
    rig.ok(100, patch(&rig, |spec| drop(spec.disks.insert(state.name, state.clone())))).await;
    let volume = |id: u32| rig.report(id).spec.disks[&state.name].volume().unwrap().clone();
    assert!(volume(100).to_string().ends_with(".raw"), "{}", volume(100));
    rig.host.write(&volume(100), 0, b"a seed").unwrap();
    rig.ok(100, Operation::Template { disk: None }).await;
    rig.ok(100, super::sagas::clone_to(200, false)).await;
    let copy = volume(200).to_string();
    assert!(copy.starts_with("local:200/vm-200-") && copy.ends_with(".raw"), "{copy}");
    assert_eq!(rig.host.read(&volume(200), 0, 6).unwrap(), b"a seed");
}

#[tokio::test]
async fn clones_are_guests_of_their_own() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let volume = "local:100/vm-100-disk-0.qcow2".parse().unwrap();
    rig.host.write(&volume, 0, b"golden").unwrap();
    rig.ok(100, super::sagas::clone_to(200, true)).await;
    let full = rig.report(200);
    assert_eq!(rig.host.read(full.spec.disks.values().next().unwrap().volume().unwrap(), 0, 6).unwrap(), b"golden");
    assert_ne!(full.spec.networks.values().next().unwrap().mac_address, rig.report(100).spec.networks.values().next().unwrap().mac_address);
    let linked = rig.run(100, super::sagas::clone_to(201, false)).await;
    assert!(matches!(linked.state, TaskState::Failed(why) if why.contains("only templates")));
    assert!(!rig.exists(201), "a failed clone leaves no guest");
    rig.ok(100, Operation::Template { disk: None }).await;
    rig.ok(100, super::sagas::clone_to(202, false)).await;
    assert_eq!(rig.host.read(rig.report(202).spec.disks.values().next().unwrap().volume().unwrap(), 0, 6).unwrap(), b"golden");
    rig.ok(202, Operation::Start).await;
    let start = rig.run(100, Operation::Start).await;
    assert!(matches!(start.state, TaskState::Failed(why) if why.contains("template")));
    let delete = rig.run(100, Operation::Delete(DeleteOptions::default())).await;
    assert!(matches!(delete.state, TaskState::Failed(_)), "a template with linked clones stays");
    assert!(rig.exists(100));
}

#[tokio::test]
async fn what_belongs_to_the_source_alone_is_not_cloned() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let imported = |spec: &mut gpve_core::types::VmSpec| {
        spec.generation_id = Some(uuid::Uuid::nil());
        spec.origin = Some(gpve_core::types::Origin::default());
        spec.lock = Some(gpve_core::types::GuestLock::Backup);
    };
    rig.ok(100, patch(&rig, imported)).await;
    rig.ok(100, super::sagas::clone_to(200, true)).await;
    let clone = rig.report(200).spec;
    assert_eq!((clone.generation_id, clone.origin, clone.lock), (Some(uuid::Uuid::nil()), None, None));
}

#[tokio::test]
async fn a_disk_of_the_host_is_kept_and_what_cannot_be_done_with_it_is_refused_by_name() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let disk = serde_json::json!({ "name": "scsi1", "source": { "host": "/dev/sdb" } });
    let disk: gpve_core::types::DiskSpec = serde_json::from_value(disk).unwrap();
    rig.ok(100, patch(&rig, |spec| drop(spec.disks.insert(disk.name, disk.clone())))).await;
    let snapshot = Operation::Snapshot { name: "snap".parse().unwrap(), description: String::new() };
    for operation in [snapshot, super::sagas::clone_to(200, true)] {
        let task = rig.run(100, operation).await;
        assert!(matches!(&task.state, TaskState::Failed(why) if why.contains("scsi1") && why.contains("of the host")), "{:?}", task.state);
    }
    // The driver opens it at a start; a running guest keeps it, whatever is asked, until the next one.
    rig.ok(100, Operation::Start).await;
    rig.ok(100, patch(&rig, |spec| drop(spec.disks.remove(&disk.name)))).await;
    assert!(rig.report(100).running.unwrap().disks.contains_key(&disk.name));
    rig.ok(100, Operation::Stop).await;
    rig.ok(100, Operation::Start).await;
    assert!(!rig.report(100).running.unwrap().disks.contains_key(&disk.name));
}
