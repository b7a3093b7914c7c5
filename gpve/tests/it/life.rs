//! What holds of virtual machines whoever answers: a process of its own, or a server (whose tests take this file too).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use gpve_api::client::{Progress, VirtualMachines};
use gpve_api::v1::{CloneRequest, ResizeRequest, SnapshotRequest, WatchType};
use gpve_core::error::ErrorKind;
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

/// Every operation once. `machines` is empty before and has one, `copy`, afterwards.
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
