//! Restarts.

use gpve_core::ports::{Node, Observed, Operation};
use gpve_core::types::GuestPhase;

use super::rig::{Rig, create, vmid};

#[tokio::test]
async fn running_guests_are_taken_up_again_and_keep_their_process() {
    let rig = Rig::new().await;
    for id in 100..105 {
        rig.ok(id, create(false)).await;
        rig.ok(id, Operation::Start).await;
    }
    let pids: Vec<_> = (100..105).map(|id| rig.report(id).pid).collect();
    let rig = rig.restart().await;
    assert_eq!((100..105).map(|id| rig.report(id).pid).collect::<Vec<_>>(), pids);
    assert!((100..105).all(|id| rig.report(id).phase == GuestPhase::Running));
    rig.ok(102, Operation::Stop).await;
}

#[tokio::test]
async fn what_guests_did_while_no_daemon_listened_is_seen() {
    let rig = Rig::new().await;
    for id in 100..103 {
        rig.ok(id, create(false)).await;
        rig.ok(id, Operation::Start).await;
    }
    rig.node.close();
    rig.host.guest(vmid(100)).unwrap().panic();
    rig.host.guest(vmid(101)).unwrap().io_error();
    let rig = rig.restart().await;
    rig.phase(100, GuestPhase::Failed).await;
    rig.phase(101, GuestPhase::Failed).await;
    rig.phase(102, GuestPhase::Running).await;
    assert!(rig.report(101).reason.unwrap().contains("I/O error"));
    rig.ok(101, Operation::Resume).await;
    rig.phase(101, GuestPhase::Running).await;
}

#[tokio::test]
async fn a_guest_that_died_meanwhile_is_found_dead_and_can_be_started() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    rig.ok(100, Operation::Start).await;
    let Rig { host, hooks, store, node } = rig;
    node.close();
    drop(node);
    host.reboot();
    let rig = Rig { node: super::rig::Rig::over(store.clone()).await.node, host, hooks, store }.restart().await;
    assert_eq!(rig.report(100).phase, GuestPhase::Failed);
    assert!(rig.report(100).pid.is_none());
    rig.ok(100, Operation::Start).await;
}

#[tokio::test]
async fn a_follower_resumes_where_it_was_and_takes_everything_when_it_cannot() {
    let rig = Rig::new().await;
    rig.ok(100, create(false)).await;
    let mut first = rig.node.observe(None).await.unwrap();
    let mut told = Vec::new();
    let synced = loop {
        let o = first.next().await.unwrap();
        if o.observed == Observed::Synced {
            break o.seq;
        }
        told.push(o.observed);
    };
    assert!(told.iter().any(|o| matches!(o, Observed::Guest(g) if g.vmid == vmid(100))));
    rig.ok(100, Operation::Start).await;
    let mut resumed = rig.node.observe(Some(synced)).await.unwrap();
    let next = resumed.next().await.unwrap();
    assert_eq!(next.seq.0, synced.0 + 1);
    let rig = rig.restart().await;
    let mut after = rig.node.observe(Some(synced)).await.unwrap();
    assert_eq!(after.next().await.unwrap().seq.0, 0, "numbers of before the restart are not known: it starts over");
}
