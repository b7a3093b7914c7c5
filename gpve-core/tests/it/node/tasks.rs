//! Tasks: durable, readable while they run and after a restart, cancellable.

use gpve_core::ports::{Node, Operation, TaskFilter, TaskState};
use gpve_core::testing::mem::Fault;

use super::rig::{Rig, create, vmid};

#[tokio::test]
async fn a_log_ends_with_task_ok_and_outlives_a_restart() {
    let rig = Rig::new().await;
    let report = rig.run(100, create(false)).await;
    let log = rig.log(&report).await;
    assert!(log.ends_with("TASK OK\n") && log.contains("made volume"), "{log}");
    let rig = rig.restart().await;
    assert_eq!(rig.log(&report).await, log);
    assert_eq!(rig.node.task(&report.upid).await.unwrap(), report);
}

#[tokio::test]
async fn a_failed_task_says_why_in_state_and_log() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let error = gpve_core::error::Error::internal("guest.launch", "no such emulator");
    rig.host.fail_on("guest.launch", Fault::Fail(error));
    let report = rig.run(100, Operation::Start).await;
    assert_eq!(report.state, TaskState::Failed("no such emulator".to_owned()));
    assert!(rig.log(&report).await.ends_with("TASK ERROR: no such emulator\n"));
    rig.ok(100, Operation::Start).await;
}

#[tokio::test]
async fn a_queued_task_is_cancelled_at_once_and_a_running_one_is_undone() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let before = rig.dump();
    rig.host.fail_on("guest.launch", Fault::Hang);
    let running = rig.submit(100, "start", Operation::Start).await;
    rig.effect("guest.launch").await;
    let queued = rig.submit(100, "reset", Operation::Reset).await;
    rig.node.cancel(&queued).await.unwrap();
    assert_eq!(rig.node.wait(&queued).await.unwrap().state, TaskState::Cancelled);
    rig.node.cancel(&running).await.unwrap();
    assert_eq!(rig.node.wait(&running).await.unwrap().state, TaskState::Cancelled);
    assert_eq!(rig.dump(), before);
    rig.ok(100, Operation::Start).await;
}

#[tokio::test]
async fn a_cancelled_create_leaves_neither_guest_nor_volume() {
    let rig = Rig::new().await;
    rig.host.fail_on("volume.create", Fault::Hang);
    let task = rig.submit(100, "create", create(false)).await;
    rig.effect("volume.create").await;
    rig.node.cancel(&task).await.unwrap();
    assert_eq!(rig.node.wait(&task).await.unwrap().state, TaskState::Cancelled);
    assert!(!rig.exists(100) && rig.dump().is_empty(), "{:?}", rig.dump());
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    let rig = Rig::new().await;
    for id in [100, 101] {
        rig.ok(id, create(false)).await;
        rig.ok(id, Operation::Start).await;
    }
    let of = TaskFilter { vmid: Some(vmid(101)), limit: 1, ..TaskFilter::default() };
    let tasks = rig.node.tasks(&of).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].upid.kind.as_str(), tasks[0].upid.id.as_str()), ("qmstart", "101"));
    let running = TaskFilter { running: Some(true), ..TaskFilter::default() };
    assert!(rig.node.tasks(&running).await.unwrap().is_empty());
}
