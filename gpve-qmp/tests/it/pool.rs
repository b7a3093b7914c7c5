//! One connection per guest.

use std::sync::Arc;

use gpve_qmp::protocol::client::Options;
use gpve_qmp::protocol::error::QmpError;
use gpve_qmp::protocol::pool::QmpPool;
use gpve_qmp::testing::{FakePeer, FakeSocket};

fn socket(dir: &tempfile::TempDir, name: &str) -> FakeSocket {
    FakeSocket::bind(&dir.path().join(name))
}

async fn accept(socket: &FakeSocket) -> FakePeer {
    let mut peer = socket.accept().await;
    peer.negotiate(&[]).await;
    peer
}

#[tokio::test]
async fn callers_of_one_guest_share_one_connection() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir, "100");
    let pool = Arc::new(QmpPool::new(Options::default(), 10));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (pool, path) = (Arc::clone(&pool), socket.path().to_owned());
            tokio::spawn(async move { pool.get(&100, &path).await.map(drop) })
        })
        .collect();
    let _peer = accept(&socket).await;
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(pool.len(), 1);
}

#[tokio::test]
async fn a_closed_connection_is_replaced_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir, "100");
    let pool = QmpPool::new(Options::default(), 10);
    let (peer, first) = tokio::join!(accept(&socket), pool.get(&100, socket.path()));
    drop(peer);
    first.unwrap().closed().await;
    let (_peer, second) = tokio::join!(accept(&socket), pool.get(&100, socket.path()));
    assert!(!second.unwrap().is_closed());
    assert_eq!(pool.len(), 1);
}

#[tokio::test]
async fn a_full_pool_refuses_and_makes_room_when_a_guest_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (socket(&dir, "100"), socket(&dir, "101"));
    let pool = QmpPool::new(Options::default(), 1);
    let (peer, first) = tokio::join!(accept(&one), pool.get(&100, one.path()));
    let full = pool.get(&101, two.path()).await.unwrap_err();
    assert_eq!(full.to_string(), "1 connections are open, the most allowed");
    assert!(matches!(full, QmpError::PoolFull { open: 1 }));
    drop(peer);
    first.unwrap().closed().await;
    let (_peer, second) = tokio::join!(accept(&two), pool.get(&101, two.path()));
    second.unwrap();
}

#[tokio::test]
async fn release_and_close_all_hang_up() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (socket(&dir, "100"), socket(&dir, "101"));
    let pool = QmpPool::new(Options::default(), 10);
    let (mut peer_one, first) = tokio::join!(accept(&one), pool.get(&100, one.path()));
    let (mut peer_two, second) = tokio::join!(accept(&two), pool.get(&101, two.path()));
    pool.release(&100).await;
    assert!(first.unwrap().is_closed() && peer_one.receive().await.is_none());
    assert_eq!(pool.len(), 1);
    pool.close_all().await;
    assert!(second.unwrap().is_closed() && peer_two.receive().await.is_none());
    assert!(pool.is_empty());
}

#[tokio::test]
async fn a_guest_that_cannot_be_reached_takes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir, "101");
    let pool = QmpPool::new(Options::default(), 1);
    assert!(matches!(pool.get(&100, "/nowhere".as_ref()).await, Err(QmpError::Connect { .. })));
    let (_peer, client) = tokio::join!(accept(&socket), pool.get(&101, socket.path()));
    client.unwrap();
}
