//! The guest agent's client against a scripted agent.

use std::time::Duration;

use gpve_qmp::protocol::agent::AgentClient;
use gpve_qmp::protocol::error::{ErrorClass, QmpError};
use gpve_qmp::testing::{FakePeer, FakeSocket};
use qapi::qga;
use serde_json::{Value, json};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

struct Agent {
    _dir: tempfile::TempDir,
    socket: FakeSocket,
    client: AgentClient,
}

fn agent() -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let socket = FakeSocket::bind(&dir.path().join("qga"));
    let client = AgentClient::new(socket.path().into(), 4711);
    Agent { _dir: dir, socket, client }
}

/// Answers a resynchronisation, after what the guest had left in the channel.
async fn synchronise(peer: &mut FakePeer, leftovers: &[u8]) {
    let line = peer.receive_line().await.unwrap();
    assert_eq!(line[0], 0xFF, "the agent's parser is reset first");
    let request: Value = serde_json::from_slice(&line[1..]).unwrap();
    assert_eq!(request["execute"], "guest-sync-delimited");
    peer.send(leftovers).await;
    peer.send(b"\xff").await;
    peer.send_line(&json!({"return": request["arguments"]["id"]})).await;
}

#[tokio::test]
async fn the_first_command_synchronises_and_the_next_does_not() {
    let agent = agent();
    let guest = async {
        let mut peer = agent.socket.accept().await;
        synchronise(&mut peer, b"boot noise\n{\"return\": {\"stale\": 1}}\nhalf a li").await;
        for _ in 0..2 {
            let ping = peer.expect("guest-ping").await;
            assert_eq!(ping.id, None);
            peer.send_line(&json!({"return": {}})).await;
        }
        peer
    };
    let host = async {
        agent.client.execute(&qga::guest_ping {}, LONG).await.unwrap();
        agent.client.execute(&qga::guest_ping {}, LONG).await.unwrap();
    };
    tokio::join!(guest, host);
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_commands() {
    let agent = agent();
    let (late, go) = tokio::sync::oneshot::channel::<()>();
    let guest = async {
        let mut peer = agent.socket.accept().await;
        synchronise(&mut peer, b"").await;
        peer.expect("guest-get-time").await;
        go.await.unwrap();
        synchronise(&mut peer, b"{\"return\": 1}\n").await;
        peer.expect("guest-get-time").await;
        peer.send_line(&json!({"return": 2})).await;
        peer
    };
    let host = async {
        let first = agent.client.raw("guest-get-time", &json!({}), SHORT).await;
        assert!(matches!(first, Err(QmpError::Timeout { .. })), "{first:?}");
        late.send(()).unwrap();
        assert_eq!(agent.client.raw("guest-get-time", &json!({}), LONG).await.unwrap(), json!(2));
    };
    tokio::join!(guest, host);
}

#[tokio::test]
async fn each_waiting_command_keeps_its_own_deadline() {
    let agent = agent();
    let _peer = tokio::spawn(async move {
        let _silent = agent.socket.accept().await;
        std::future::pending::<()>().await;
    });
    let client = agent.client;
    let started = tokio::time::Instant::now();
    let ping = qga::guest_ping {};
    let slow = client.execute(&ping, LONG);
    let quick = client.execute(&ping, SHORT);
    tokio::select! {
        biased;
        slow = slow => panic!("nothing answers, yet {slow:?}"),
        quick = quick => assert!(matches!(quick, Err(QmpError::Timeout { .. }))),
    }
    assert!(started.elapsed() < LONG);
}

#[tokio::test]
async fn a_channel_that_was_lost_is_opened_again() {
    let agent = agent();
    let guest = async {
        drop(agent.socket.accept().await);
        let mut peer = agent.socket.accept().await;
        synchronise(&mut peer, b"").await;
        peer.expect("guest-ping").await;
        peer.send_line(&json!({"return": {}})).await;
        peer
    };
    let host = async {
        let first = agent.client.execute(&qga::guest_ping {}, LONG).await;
        assert!(matches!(first, Err(QmpError::Closed { .. })), "{first:?}");
        agent.client.execute(&qga::guest_ping {}, LONG).await.unwrap();
    };
    tokio::join!(guest, host);
}

#[tokio::test]
async fn refusals_come_in_the_agents_words() {
    let agent = agent();
    let guest = async {
        let mut peer = agent.socket.accept().await;
        synchronise(&mut peer, b"").await;
        peer.expect("guest-ping").await;
        peer.send_line(&json!({"error": {"class": "CommandNotFound", "desc": "disabled"}})).await;
        peer
    };
    let (_peer, refused) = tokio::join!(guest, agent.client.execute(&qga::guest_ping {}, LONG));
    assert_eq!(refused.unwrap_err().class(), Some(&ErrorClass::CommandNotFound));
}

#[tokio::test]
async fn a_posted_command_succeeds_by_silence_and_fails_by_refusal() {
    for refuse in [false, true] {
        let agent = agent();
        let guest = async {
            let mut peer = agent.socket.accept().await;
            synchronise(&mut peer, b"").await;
            peer.expect("guest-shutdown").await;
            if refuse {
                peer.send_line(&json!({"error": {"class": "GenericError", "desc": "frozen"}})).await;
            }
            peer
        };
        let shutdown = qga::guest_shutdown { mode: None };
        let (_peer, posted) = tokio::join!(guest, agent.client.post(&shutdown, LONG));
        assert_eq!(posted.is_err(), refuse);
    }
}
