//! The supervised connection.

use std::time::Duration;

use gpve_qmp::protocol::client::Options;
use gpve_qmp::protocol::error::CloseReason;
use gpve_qmp::protocol::link::{Link, LinkNotice};
use gpve_qmp::testing::FakeSocket;
use serde_json::json;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_lost_connection_comes_back_and_subscribers_learn_of_the_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp");
    let link = Link::supervise(path.clone(), Options::default());
    let mut notices = link.subscribe();
    // The socket appears only after the link began to look for it.
    let socket = FakeSocket::bind(&path);

    let mut peer = socket.accept().await;
    peer.negotiate(&["oob"]).await;
    peer.event("FIRST", json!({})).await;
    assert!(matches!(notices.next().await, Some(LinkNotice::Up { epoch: 1 })));
    assert!(matches!(notices.next().await, Some(LinkNotice::Event(event)) if *event.name == *"FIRST"));
    let before = link.client(LONG).await.unwrap();
    drop(peer);
    assert!(matches!(notices.next().await, Some(LinkNotice::Lost(reason)) if matches!(*reason, CloseReason::Eof)));

    let mut peer = socket.accept().await;
    peer.negotiate(&["oob"]).await;
    assert!(matches!(notices.next().await, Some(LinkNotice::Up { epoch: 2 })));
    assert!(before.is_closed());
    let client = link.client(LONG).await.unwrap();
    let arguments = json!({});
    let (_, done) = tokio::join!(
        async {
            let cont = peer.expect("cont").await;
            peer.answer(&cont, json!({})).await;
        },
        client.raw("cont", &arguments).send()
    );
    done.unwrap();
}

#[tokio::test]
async fn without_a_peer_the_wait_for_a_client_ends() {
    let link = Link::supervise("/nowhere/vm.qmp".into(), Options::default());
    assert!(link.client(Duration::from_millis(50)).await.is_none());
}

#[tokio::test]
async fn a_dropped_link_ends_its_subscriptions() {
    let link = Link::supervise("/nowhere/vm.qmp".into(), Options::default());
    let mut notices = link.subscribe();
    drop(link);
    assert!(notices.next().await.is_none());
}
