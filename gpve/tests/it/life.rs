//! What holds of virtual machines whoever answers: a process of its own, or a server (whose tests take this file too).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use gpve_api::client::{Client, Progress, VirtualMachines};
use gpve_api::v1::{CloneRequest, ResizeRequest, SnapshotRequest, VolumeRequest, WatchType};
use gpve_core::error::ErrorKind;
use gpve_core::types::{ByteSize, DiskFormat};
use serde_json::{Value as Json, json};

/// Longest wait for anything; a guest boots in seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A machine of 64 MiB.
pub(crate) fn small(name: &str) -> Json {
    json!({ "metadata": { "name": name }, "spec": { "memory": { "size": "64Mi" } } })
}

/// A machine with a disk that boots the kernel in `guest` and says so on its serial port.
pub(crate) fn bootable(name: &str, guest: &Path) -> Json {
    json!({ "metadata": { "name": name }, "spec": {
        "memory": { "size": "128Mi" },
        "disks": [{ "name": "scsi0", "source": { "new": { "storage": "local", "size": "64Mi" } } }],
        "serials": { "0": "socket" },
        "kernel": {
            "kernel": guest.join("vmlinuz"), "initrd": guest.join("initrd"),
            "cmdline": "console=ttyS0 no_timer_check tsc_early_khz=1000000 lpj=4000000 quiet panic=-1",
        },
    } })
}

/// Every operation on a machine once. `machines` is empty before and has one, the template `copy`, afterwards.
pub(crate) async fn whole(machines: &VirtualMachines) {
    let made = machines.create(&bootable("web", "/nowhere".as_ref())).await.unwrap();
    made.job.await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    assert_eq!(machines.get("web").await.unwrap().status.phase.to_string(), "Running");
    machines.pause("web").await.unwrap().await.unwrap();
    machines.resume("web").await.unwrap().await.unwrap();
    machines.reset("web").await.unwrap().await.unwrap();
    let snapshot = SnapshotRequest { name: "before".parse().unwrap(), description: "so far".to_owned(), memory: false };
    machines.snapshot("web", &snapshot).await.unwrap().await.unwrap();
    assert_eq!(machines.snapshots("web").await.unwrap()[0].description, "so far");
    machines.describe_snapshot("web", "before", "the first").await.unwrap().await.unwrap();
    assert_eq!(machines.snapshots("web").await.unwrap()[0].description, "the first");
    machines.resize("web", &ResizeRequest { disk: "scsi0".parse().unwrap(), size: "+64Mi".to_owned() }).await.unwrap().await.unwrap();
    machines.rollback("web", "before").await.unwrap().await.unwrap();
    machines.delete_snapshot("web", "before").await.unwrap().await.unwrap();
    let copy = CloneRequest { name: Some("copy".parse().unwrap()), full: Some(true), ..CloneRequest::default() };
    machines.clone_machine("web", &copy).await.unwrap().await.unwrap();
    assert_eq!(machines.list(None).await.unwrap().items.len(), 2);
    machines.start("web").await.unwrap().await.unwrap();
    machines.reboot("web", None).await.unwrap().await.unwrap();
    machines.shutdown("web", Some(5), true).await.unwrap().await.unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    machines.stop("web").await.unwrap().await.unwrap();
    assert_eq!(machines.get("web").await.unwrap().status.phase.to_string(), "Stopped");
    machines.delete("web", false).await.unwrap().await.unwrap();
    assert_eq!(machines.get("web").await.unwrap_err().kind, ErrorKind::NotFound);
    machines.template("copy", Some("scsi0")).await.unwrap().await.unwrap();
    assert!(!machines.get("copy").await.unwrap().spec.vm.template, "only its disk became a base");
    machines.template("copy", None).await.unwrap().await.unwrap();
    assert!(machines.get("copy").await.unwrap().spec.vm.template);
    let started = machines.start("copy").await.unwrap().await.unwrap_err();
    assert_eq!(started.kind, ErrorKind::FailedPrecondition, "{started:?}");
}

/// A volume that no guest uses is made, listed and deleted; one that a guest uses stays.
pub(crate) async fn volumes(client: &Client) {
    let (machines, storage) = (client.virtual_machines("default"), client.storage("local"));
    let web = machines.create(&bootable("web", "/nowhere".as_ref())).await.unwrap();
    web.job.await.unwrap();
    let vmid = web.machine.status.vmid;
    let used = storage.volumes(Some(vmid)).await.unwrap();
    let wanted = VolumeRequest { vmid, size: ByteSize::from_gib(1), name: None, format: None };
    let made = storage.create_volume(&wanted).await.unwrap();
    let mut told = Vec::new();
    made.wait(|progress| told.push(progress)).await.unwrap();
    let spare = storage.volumes(Some(vmid)).await.unwrap().into_iter().find(|v| *v != used[0]).expect("it was made");
    assert_eq!((used.len(), spare.size, spare.vmid), (1, wanted.size, Some(vmid)));
    let name = spare.id.to_string();
    assert!(told.iter().any(|p| matches!(p, Progress::Line(line) if line.t.contains(&name))), "the log names it: {told:?}");
    let refused = storage.delete_volume(&used[0].id.to_string()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition);
    assert!(refused.message.contains(&format!("vm {vmid}")), "{refused}");
    storage.delete_volume(&name).await.unwrap().await.unwrap();
    assert_eq!(storage.volumes(Some(vmid)).await.unwrap(), used);
}

/// A volume's owner need not exist; its name and its storage are checked.
pub(crate) async fn volumes_of_nobody(client: &Client) {
    let (storage, name) = (client.storage("local"), "4711/vm-4711-disk-7.raw");
    let (vmid, size) = ("4711".parse().unwrap(), ByteSize::from_gib(1));
    let wanted = VolumeRequest { vmid, size, name: Some(name.parse().unwrap()), format: Some(DiskFormat::Raw) };
    storage.create_volume(&wanted).await.unwrap().await.unwrap();
    let taken = storage.create_volume(&wanted).await.unwrap().await.unwrap_err();
    assert_eq!(taken.kind, ErrorKind::FailedPrecondition, "{taken:?}");
    let node = storage.volumes(None).await.unwrap()[0].node.to_string();
    let here = client.storage("local").on(node);
    here.delete_volume(name).await.unwrap().await.unwrap();
    assert_eq!(here.delete_volume(name).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(here.delete_volume("../x").await.unwrap_err().kind, ErrorKind::InvalidInput);
    for missing in [client.storage("nowhere"), client.storage("local").on("elsewhere")] {
        assert_eq!(missing.volumes(None).await.unwrap_err().kind, ErrorKind::NotFound, "{missing:?}");
        assert_eq!(missing.create_volume(&wanted).await.unwrap_err().kind, ErrorKind::NotFound, "{missing:?}");
    }
}

/// A plan tells what a change would do, and nothing is done.
pub(crate) async fn planning(machines: &VirtualMachines) {
    let plan = machines.plan_create(&bootable("never", "/nowhere".as_ref())).await.unwrap();
    assert_eq!((plan.verb.as_str(), plan.volumes.len()), ("create", 1));
    assert!(machines.list(None).await.unwrap().items.is_empty());
    let manifest = |text: &str| json!({ "spec": { "memory": { "size": "64Mi" }, "description": text } });
    assert_eq!(machines.plan_apply("web", &manifest("first"), "ci", false).await.unwrap().verb, "create");
    machines.apply("web", &manifest("first"), "ci", false).await.unwrap().job.await.unwrap();
    assert!(machines.plan_apply("web", &manifest("first"), "ci", false).await.unwrap().steps.is_empty(), "nothing is to do");
    let plan = machines.plan_apply("web", &manifest("second"), "ci", false).await.unwrap();
    assert_eq!(plan.changes, ["spec.description"]);
    assert_eq!(plan.spec.unwrap().description.unwrap().as_str(), "second");
    assert_eq!(machines.get("web").await.unwrap().spec.vm.description.unwrap().as_str(), "first");
    let other = machines.plan_apply("web", &manifest("second"), "other", false).await.unwrap_err();
    assert_eq!(other.kind, ErrorKind::Conflict);
}

/// Machines of every namespace are listed and watched, and a task is found again by its id.
pub(crate) async fn everywhere(client: &Client) {
    let listed = client.list(None, None).await.unwrap();
    let mut changes = client.watch(None, None, &listed.metadata.resource_version);
    for namespace in ["blue", "red"] {
        client.virtual_machines(namespace).create(&small("web")).await.unwrap().job.await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let event = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
        seen.extend(event.object.map(|vm| vm.metadata.namespace.to_string()));
    }
    assert_eq!(client.list(None, None).await.unwrap().items.len(), listed.items.len() + 2);
    assert_eq!(client.list(Some("red"), None).await.unwrap().items.len(), 1);
    let started = client.virtual_machines("red").start("web").await.unwrap();
    let again = client.job(started.id().unwrap()).await.unwrap().unwrap();
    assert_eq!((again.is_final(), again.kind.as_str()), (true, "qmstart"));
    let nobody = client.job("UPID:pve:00000000:00000001:6B00A71A:qmstart:100:root@pam:");
    assert!(nobody.await.is_err());
    assert_eq!(client.job("nonsense").await.unwrap_err().kind, ErrorKind::InvalidInput);
}

/// What is applied twice is changed once.
pub(crate) async fn applying(machines: &VirtualMachines) {
    let manifest = json!({ "apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": { "labels": { "app": "web" } },
        "spec": { "memory": { "size": "64Mi" }, "description": "first" } });
    machines.apply("web", &manifest, "ci", false).await.unwrap().job.await.unwrap();
    let again = machines.apply("web", &manifest, "ci", false).await.unwrap();
    assert_eq!(again.job.id(), None, "nothing was to do");
    assert_eq!(machines.list(Some("app=web")).await.unwrap().items.len(), 1);
    assert_eq!(machines.list(Some("app=db")).await.unwrap().items.len(), 0);
    let mut document = serde_json::to_value(machines.get("web").await.unwrap()).unwrap();
    document["spec"]["description"] = json!("second");
    let replaced = machines.replace("web", &document).await.unwrap();
    replaced.job.await.unwrap();
    let now = serde_json::to_value(machines.get("web").await.unwrap()).unwrap();
    assert_eq!(now["spec"]["description"], "second");
    let late = machines.replace("web", &document).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Conflict, "its resourceVersion is an old one: {late:?}");
}

/// Errors have the kind, and name the field.
pub(crate) async fn refusals(machines: &VirtualMachines) {
    let refused = machines.create(&json!({ "metadata": { "name": "web" }, "spec": { "memory": { "size": "1Mi" } } })).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidInput);
    assert!(refused.report().contains("memory"), "{}", refused.report());
    assert_eq!(machines.start("nobody").await.unwrap_err().kind, ErrorKind::NotFound);
    machines.create(&small("taken")).await.unwrap().job.await.unwrap();
    assert_eq!(machines.create(&small("taken")).await.unwrap_err().kind, ErrorKind::AlreadyExists);
    let failed = machines.pause("taken").await.unwrap().await.unwrap_err();
    assert_eq!(failed.kind, ErrorKind::FailedPrecondition, "{failed:?}");
}

/// A watch tells what comes after a list; a job tells its progress; a wait ends when it is so.
pub(crate) async fn watching(machines: &VirtualMachines) {
    let listed = machines.list(None).await.unwrap();
    let mut changes = machines.watch(None, &listed.metadata.resource_version);
    machines.create(&small("seen")).await.unwrap().job.await.unwrap();
    let first = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
    assert_eq!((first.kind, first.object.unwrap().metadata.name.as_str()), (WatchType::Added, "seen"));
    let mut told = Vec::new();
    machines.start("seen").await.unwrap().wait(|progress| told.push(progress)).await.unwrap();
    let ends = told.iter().any(|p| matches!(p, Progress::Line(line) if line.t == "TASK OK"));
    assert!(ends, "the log's last line is told: {told:?}");
    let waited = machines.wait_for("seen", |vm| vm.status.phase.to_string() == "Running");
    tokio::time::timeout(PATIENCE, waited).await.unwrap().unwrap();
}
