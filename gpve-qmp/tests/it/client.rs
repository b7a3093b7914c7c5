//! The client against a scripted peer.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use gpve_qmp::protocol::client::{IN_BAND_WINDOW, Options, QmpClient};
use gpve_qmp::protocol::error::{CloseReason, ErrorClass, QmpError};
use gpve_qmp::protocol::events::{EVENT_BACKLOG, Notice};
use gpve_qmp::testing::FakePeer;
use qapi::qmp;
use serde_json::json;

const SHORT: Duration = Duration::from_millis(50);

async fn connected(capabilities: &[&str]) -> (FakePeer, QmpClient) {
    let (mut peer, stream) = FakePeer::pair();
    let (_, client) = tokio::join!(peer.negotiate(capabilities), QmpClient::over(stream, Options::default()));
    (peer, client.unwrap())
}

#[tokio::test]
async fn out_of_band_is_enabled_exactly_when_offered() {
    for (offered, enabled) in [(&["oob", "x-later"][..], json!(["oob"])), (&[], json!([]))] {
        let (mut peer, stream) = FakePeer::pair();
        let (asked, client) = tokio::join!(peer.negotiate(offered), QmpClient::over(stream, Options::default()));
        assert_eq!(asked, enabled);
        assert_eq!(client.unwrap().has_out_of_band(), !offered.is_empty());
    }
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let (mut peer, client) = connected(&["oob"]).await;
    let peer = async {
        let mut commands = Vec::new();
        for _ in 0..3 {
            commands.push(peer.receive().await.unwrap());
        }
        for command in commands.iter().rev() {
            peer.answer(command, command.arguments["n"].clone()).await;
        }
    };
    let call = |n: u64| {
        let client = client.clone();
        async move { client.raw("echo", &json!({ "n": n })).send().await.unwrap() }
    };
    let (_, a, b, c) = tokio::join!(peer, call(1), call(2), call(3));
    assert_eq!((a, b, c), (json!(1), json!(2), json!(3)));
}

#[tokio::test]
async fn a_dropped_command_leaves_the_connection_usable() {
    let (mut peer, client) = connected(&[]).await;
    let dropped = tokio::time::timeout(SHORT, client.execute(&qmp::stop {})).await;
    assert!(dropped.is_err());
    let peer = async {
        let stop = peer.expect("stop").await;
        let status = peer.expect("query-status").await;
        peer.answer(&stop, json!({})).await;
        peer.answer(&status, json!({"running": true, "status": "running"})).await;
    };
    let (_, status) = tokio::join!(peer, client.execute(&qmp::query_status {}));
    assert!(status.unwrap().running);
}

#[tokio::test]
async fn a_deadline_fails_its_own_command_only() {
    let (mut peer, client) = connected(&[]).await;
    let error = client.request(&qmp::stop {}).timeout(SHORT).send().await.unwrap_err();
    assert!(matches!(error, QmpError::Timeout { ref command, .. } if command == "stop"), "{error:?}");
    let peer = async {
        peer.expect("stop").await;
        let cont = peer.expect("cont").await;
        peer.answer(&cont, json!({})).await;
    };
    let (_, done) = tokio::join!(peer, client.execute(&qmp::cont {}));
    done.unwrap();
}

#[tokio::test]
async fn a_full_window_holds_back_commands_but_not_urgent_ones() {
    let (mut peer, client) = connected(&["oob"]).await;
    let waiting: Vec<_> = (0..=IN_BAND_WINDOW)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.execute(&qmp::stop {}).await })
        })
        .collect();
    let mut stops = Vec::new();
    for _ in 0..IN_BAND_WINDOW {
        stops.push(peer.expect("stop").await);
    }
    let urgent = {
        let client = client.clone();
        tokio::spawn(async move { client.raw("yank", &json!({})).out_of_band().send().await })
    };
    let yank = peer.expect("yank").await;
    assert!(yank.out_of_band, "the eighth command is held back, the urgent one is not");
    peer.answer(&yank, json!({})).await;
    urgent.await.unwrap().unwrap();
    for stop in &stops {
        peer.answer(stop, json!({})).await;
    }
    let last = peer.expect("stop").await;
    peer.answer(&last, json!({})).await;
    for command in waiting {
        command.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn urgent_falls_back_to_a_turn_where_it_is_not_offered() {
    let (mut peer, client) = connected(&[]).await;
    let peer = async {
        let yank = peer.expect("yank").await;
        assert!(!yank.out_of_band);
        peer.answer(&yank, json!({})).await;
    };
    let arguments = json!({});
    let (_, done) = tokio::join!(peer, client.raw("yank", &arguments).out_of_band().send());
    done.unwrap();
}

#[tokio::test]
async fn refusals_carry_the_peers_class_and_words() {
    let (mut peer, client) = connected(&[]).await;
    let peer = async {
        for class in ["CommandNotFound", "FromTheFuture"] {
            let command = peer.receive().await.unwrap();
            peer.refuse(&command, class, "no such thing").await;
        }
    };
    let commands = async {
        let first = client.execute(&qmp::stop {}).await.unwrap_err();
        let second = client.execute(&qmp::stop {}).await.unwrap_err();
        (first, second)
    };
    let (_, (first, second)) = tokio::join!(peer, commands);
    assert_eq!(first.class(), Some(&ErrorClass::CommandNotFound));
    assert_eq!(second.class(), Some(&ErrorClass::Other("FromTheFuture".into())));
    assert_eq!(first.to_string(), "stop: no such thing (CommandNotFound)");
}

#[tokio::test]
async fn an_answer_of_another_shape_fails_one_command_and_no_more() {
    let (mut peer, client) = connected(&[]).await;
    let peer = async {
        let status = peer.expect("query-status").await;
        peer.answer(&status, json!({"status": "levitating"})).await;
        let stop = peer.expect("stop").await;
        peer.answer(&stop, json!({"unknown": "field"})).await;
    };
    let commands = async {
        assert!(matches!(client.execute(&qmp::query_status {}).await, Err(QmpError::Decode { .. })));
        client.execute(&qmp::stop {}).await.unwrap();
    };
    tokio::join!(peer, commands);
}

#[tokio::test]
async fn unknown_events_and_messages_pass_and_known_ones_decode() {
    let (mut peer, client) = connected(&[]).await;
    let mut events = client.subscribe();
    peer.send_line(&json!({"something": "new"})).await;
    peer.event("FROM_THE_FUTURE", json!({"a": [1]})).await;
    peer.event("SHUTDOWN", json!({"guest": true, "reason": "guest-shutdown"})).await;
    let Some(Notice::Event(unknown)) = events.next().await else { panic!("no event") };
    assert_eq!(&*unknown.name, "FROM_THE_FUTURE");
    assert_eq!(unknown.decode::<serde_json::Value>().unwrap(), json!({"a": [1]}));
    let shutdown = events.wait_for("SHUTDOWN").await.unwrap();
    assert!(shutdown.typed::<qmp::RESET>().unwrap().is_none());
    assert!(shutdown.typed::<qmp::SHUTDOWN>().unwrap().unwrap().guest);
}

#[tokio::test]
async fn the_first_subscriber_misses_nothing_since_the_handshake() {
    let (mut peer, client) = connected(&[]).await;
    peer.event("EARLY", json!({})).await;
    let peer = async {
        let stop = peer.expect("stop").await;
        peer.answer(&stop, json!({})).await;
    };
    let (_, done) = tokio::join!(peer, client.execute(&qmp::stop {}));
    done.unwrap();
    assert!(client.subscribe().wait_for("EARLY").await.is_some());
}

#[tokio::test]
async fn a_slow_subscriber_is_told_what_it_lost() {
    let (mut peer, client) = connected(&[]).await;
    let mut events = client.subscribe();
    for number in 0..EVENT_BACKLOG + 10 {
        peer.event("TICK", json!({ "number": number })).await;
    }
    let peer = async {
        let stop = peer.expect("stop").await;
        peer.answer(&stop, json!({})).await;
    };
    let (_, done) = tokio::join!(peer, client.execute(&qmp::stop {}));
    done.unwrap();
    assert!(matches!(events.next().await, Some(Notice::Lagged(10))));
    let Some(Notice::Event(next)) = events.next().await else { panic!("no event") };
    assert_eq!(next.decode::<serde_json::Value>().unwrap(), json!({"number": 10}));
}

#[tokio::test]
async fn a_peer_that_hangs_up_ends_commands_and_subscriptions() {
    let (mut peer, client) = connected(&[]).await;
    let mut events = client.subscribe();
    let command = tokio::spawn({
        let client = client.clone();
        async move { client.execute(&qmp::stop {}).await }
    });
    peer.expect("stop").await;
    drop(peer);
    let error = command.await.unwrap().unwrap_err();
    assert!(error.is_disconnected() && matches!(error, QmpError::Closed { .. }), "{error:?}");
    assert!(matches!(*client.closed().await, CloseReason::Eof));
    assert!(events.next().await.is_none());
    assert!(matches!(client.execute(&qmp::cont {}).await, Err(QmpError::Closed { .. })));
}

#[tokio::test]
async fn garbage_ends_the_connection_with_its_reason() {
    let (mut peer, client) = connected(&[]).await;
    peer.send(b"\x80 this is no JSON\n").await;
    assert!(matches!(*client.closed().await, CloseReason::Garbage(_)));
    assert!(peer.receive().await.is_none(), "the peer sees us go");
}

#[tokio::test]
async fn the_last_handle_dropped_closes_the_connection() {
    let (mut peer, client) = connected(&[]).await;
    let clone = client.clone();
    drop(client);
    assert!(!clone.is_closed());
    drop(clone);
    assert!(peer.receive().await.is_none());
}

#[tokio::test]
async fn silence_instead_of_a_greeting_is_a_timeout() {
    let (_peer, stream) = FakePeer::pair();
    let options = Options { handshake_timeout: SHORT, ..Options::default() };
    assert!(matches!(QmpClient::over(stream, options).await, Err(QmpError::Timeout { .. })));
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let error = QmpClient::connect("/nowhere/vm.qmp".as_ref(), Options::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to /nowhere/vm.qmp");
}

#[tokio::test]
async fn a_command_larger_than_the_socket_arrives_whole() {
    let (mut peer, client) = connected(&[]).await;
    let text = "x".repeat(8 << 20);
    let sent = json!({ "text": text });
    let peer = async {
        let large = peer.expect("large").await;
        let small = peer.expect("small").await;
        peer.answer(&large, large.arguments["text"].clone()).await;
        peer.answer(&small, json!({})).await;
    };
    let small = json!({});
    let (_, large, small) = tokio::join!(peer, client.raw("large", &sent).send(), client.raw("small", &small).send());
    assert_eq!(large.unwrap(), json!(text));
    small.unwrap();
}

#[tokio::test]
async fn a_command_dropped_while_half_sent_is_still_sent_whole() {
    let (mut peer, client) = connected(&[]).await;
    let sent = json!({ "text": "x".repeat(8 << 20) });
    assert!(tokio::time::timeout(SHORT, client.raw("large", &sent).send()).await.is_err());
    let peer = async {
        peer.expect("large").await;
        let cont = peer.expect("cont").await;
        peer.answer(&cont, json!({})).await;
    };
    let (_, done) = tokio::join!(peer, client.execute(&qmp::cont {}));
    done.unwrap();
}

#[tokio::test]
async fn a_descriptor_travels_with_its_command() {
    let (mut peer, client) = connected(&[]).await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"hello").unwrap();
    let peer = async {
        let getfd = peer.expect("getfd").await;
        peer.answer(&getfd, json!({})).await;
        peer
    };
    let arguments = json!({"fdname": "disk"});
    let request = client.raw("getfd", &arguments).descriptor(file.into());
    let (peer, done) = tokio::join!(peer, request.send());
    done.unwrap();
    let mut received = std::fs::File::from(peer.descriptors.into_iter().next().unwrap());
    received.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    received.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn hundreds_of_commands_half_of_them_dropped_all_end() {
    let (mut peer, client) = connected(&["oob"]).await;
    let echo = tokio::spawn(async move {
        while let Some(command) = peer.receive().await {
            peer.answer(&command, command.arguments.clone()).await;
        }
    });
    let commands: Vec<_> = (0..400)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let arguments = json!({ "number": number });
                let call = client.raw("echo", &arguments).send();
                let patience = if number % 2 == 0 { Duration::from_micros(number * 10) } else { Duration::MAX };
                if let Ok(answer) = tokio::time::timeout(patience, call).await {
                    assert_eq!(answer.unwrap(), arguments);
                }
            })
        })
        .collect();
    for command in commands {
        command.await.unwrap();
    }
    drop(client);
    echo.await.unwrap();
}
