//! Requests to one guest wait for each other.

use futures_util::future::join_all;
use gpve_core::ports::{DeleteOptions, Node, Operation, TaskState};
use gpve_core::testing::mem::Fault;
use gpve_core::types::GuestPhase;

use super::rig::{PATIENCE, Rig, create, vmid};

#[tokio::test]
async fn parallel_requests_wait_instead_of_failing() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let ops = (0..8).flat_map(|_| [Operation::Start, Operation::Stop]);
    let ends = join_all(ops.map(|op| rig.run(100, op))).await;
    assert!(ends.iter().all(|t| t.state == TaskState::Ok), "{ends:?}");
    assert_eq!(rig.report(100).phase, GuestPhase::Stopped);
}

#[tokio::test]
async fn the_same_operation_id_is_the_same_task() {
    let rig = Rig::new().await;
    let first = rig.submit(100, "once", create(false)).await;
    let second = rig.submit(100, "once", create(false)).await;
    assert_eq!(first, second);
    rig.node.wait(&first).await.unwrap();
    let rig = rig.restart().await;
    assert_eq!(rig.submit(100, "once", create(false)).await, first, "also after a restart");
}

#[tokio::test]
async fn a_number_is_given_once() {
    let rig = Rig::new().await;
    let root = super::rig::root();
    let ends = join_all((0..20).map(|_| rig.node.run(&root, vmid(100), create(false))));
    let made = ends.await.into_iter().filter(|r| r.as_ref().is_ok_and(|t| t.state == TaskState::Ok)).count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_full_queue_is_refused_and_empties_again() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.host.fail_on("guest.launch", Fault::Hang);
    let mut accepted = vec![rig.submit(100, "start", Operation::Start).await];
    rig.effect("guest.launch").await;
    let mut refused = None;
    for i in 0..200 {
        let id = format!("stop-{i}").parse().unwrap();
        let request = gpve_core::ports::OperationRequest { id, user: super::rig::root(), vmid: vmid(100), operation: Operation::Stop };
        match rig.node.submit(request).await {
            Ok(upid) => accepted.push(upid),
            Err(e) => {
                refused = Some(e);
                break;
            }
        }
    }
    let refused = refused.expect("the queue has a limit");
    assert_eq!(refused.kind, gpve_core::error::ErrorKind::ResourceExhausted);
    rig.node.cancel(&accepted[0]).await.unwrap();
    for upid in &accepted {
        tokio::time::timeout(PATIENCE, rig.node.wait(upid)).await.expect("every accepted task ends").unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_a_deleted_guest_fails_and_does_not_hang() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let delete = rig.submit(100, "delete", Operation::Delete(DeleteOptions::default())).await;
    let start = rig.submit(100, "start", Operation::Start).await;
    rig.node.wait(&delete).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, rig.node.wait(&start)).await.expect("it ends").unwrap();
    assert_eq!(end.state, TaskState::Failed("VM 100 does not exist".to_owned()));
}

#[tokio::test]
async fn a_clone_that_waits_for_a_deleted_guest_gives_its_number_back() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let delete = rig.submit(100, "delete", Operation::Delete(DeleteOptions::default())).await;
    let clone = rig.submit(100, "clone", super::sagas::clone_to(200, true)).await;
    rig.node.wait(&delete).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, rig.node.wait(&clone)).await.expect("it ends").unwrap();
    assert_eq!(end.state, TaskState::Failed("VM 100 does not exist".to_owned()));
    assert!(rig.node.guest(gpve_core::types::Vmid::try_from(200).unwrap()).is_err(), "the number is free");
    rig.ok(200, create(false)).await;
}

#[tokio::test]
async fn requests_to_a_guest_that_is_being_cloned_wait_for_it() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let clone = rig.submit(100, "clone", super::sagas::clone_to(200, true)).await;
    let start = rig.submit(200, "start", Operation::Start).await;
    assert_eq!(rig.node.wait(&clone).await.unwrap().state, TaskState::Ok);
    assert_eq!(rig.node.wait(&start).await.unwrap().state, TaskState::Ok);
    assert_eq!(rig.report(200).phase, GuestPhase::Running);
}
