//! Consoles as Proxmox VE's clients open them: a ticket, then a WebSocket.

use futures::{SinkExt, StreamExt};
use serde_json::Value as Json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::http::Connection;
use crate::support::{Daemon, PATIENCE, Session, encode};

const VM: &str = "/nodes/pve/qemu/100";

async fn running(session: &Session<'_>, more: &[(&str, &str)]) {
    let form = [&[("vmid", "100"), ("memory", "64")], more].concat();
    session.pve_task("POST", "/nodes/pve/qemu", &form).await;
    session.pve_task("POST", &format!("{VM}/status/start"), &[]).await;
}

pub(crate) async fn ticket(session: &Session<'_>, proxy: &str, params: &[(&str, &str)]) -> Json {
    let answer = session.pve("POST", &format!("{VM}/{proxy}"), params).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data()
}

pub(crate) type Socket = WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

pub(crate) async fn open(daemon: &Daemon, session: &Session<'_>, ticket: &Json) -> Result<Socket, u16> {
    let (port, ticket) = (&ticket["port"], encode(ticket["ticket"].as_str().unwrap()));
    let path = format!("/api2/json{VM}/vncwebsocket?port={port}&vncticket={ticket}");
    let headers = [("cookie", session.cookie.as_str()), ("sec-websocket-protocol", "binary")];
    Connection::open(daemon.address, &daemon.ca()).await.websocket(&path, &headers).await
}

/// What the guest shows, until `wanted` is in it.
pub(crate) async fn read_until(socket: &mut Socket, wanted: &[u8]) {
    let mut shown = Vec::new();
    let read = async {
        while !shown.windows(wanted.len()).any(|part| part == wanted) {
            let message = socket.next().await.expect("the console goes on").unwrap();
            shown.extend_from_slice(&message.into_data());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the console shows it");
}

#[tokio::test]
async fn a_ticket_opens_the_display_once_and_for_its_user_only() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    session.pve_task("POST", "/nodes/pve/qemu", &[("vmid", "100"), ("memory", "64")]).await;
    let refused = session.pve("POST", &format!("{VM}/vncproxy"), &[("websocket", "1")]).await;
    assert_eq!((refused.status, refused.reason.as_str()), (500, "VM 100 not running"));
    session.pve_task("POST", &format!("{VM}/status/start"), &[]).await;
    let given = ticket(&session, "vncproxy", &[("websocket", "1")]).await;
    assert_eq!((given["user"].as_str(), given["port"].as_u64()), (Some("root@pam"), Some(5900)), "{given}");
    assert!(given["cert"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"), "{given}");
    assert!(given["upid"].as_str().unwrap().starts_with("UPID:pve:"), "{given}");
    let mut display = open(&daemon, &session, &given).await.unwrap();
    read_until(&mut display, b"RFB 003.008\n").await;
    assert_eq!(open(&daemon, &session, &given).await.unwrap_err(), 401, "used up");
    let given = ticket(&session, "vncproxy", &[]).await;
    let mut stranger = daemon.login().await;
    stranger.cookie = "PVEAuthCookie=x".to_owned();
    assert_eq!(open(&daemon, &stranger, &given).await.unwrap_err(), 401, "nobody");
    let plain = format!("{VM}/vncwebsocket?port=5900&vncticket={}", encode(given["ticket"].as_str().unwrap()));
    assert_eq!(session.pve("GET", &plain, &[]).await.status, 400, "no WebSocket");
    assert!(open(&daemon, &session, &given).await.is_ok(), "none of these used it up");
    session.pve_task("POST", &format!("{VM}/status/stop"), &[]).await;
    let end = async { while display.next().await.is_some_and(|said| said.is_ok()) {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the display ends with the guest");
}

#[tokio::test]
async fn a_terminal_is_logged_in_and_typed_into_in_frames() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    running(&session, &[("serial1", "socket"), ("vga", "serial1")]).await;
    let refused = session.pve("POST", &format!("{VM}/vncproxy"), &[]).await;
    assert!(refused.status == 500 && refused.reason.contains("serial1: ask termproxy"), "{refused:?}");
    let refused = session.pve("POST", &format!("{VM}/termproxy"), &[("serial", "serial0")]).await;
    assert!(refused.status == 500 && refused.reason.contains("has no serial 0"), "{refused:?}");
    let given = ticket(&session, "termproxy", &[]).await;
    let login = format!("{}:{}\n", given["user"].as_str().unwrap(), given["ticket"].as_str().unwrap());
    let mut terminal = open(&daemon, &session, &given).await.unwrap();
    // Cut anywhere, as a network may.
    terminal.send(Message::text(&login[..5])).await.unwrap();
    terminal.send(Message::text(format!("{}1:80:24:", &login[5..]))).await.unwrap();
    read_until(&mut terminal, b"OK").await;
    terminal.send(Message::text("20:6:hello\n")).await.unwrap();
    read_until(&mut terminal, b"hello").await;
    let given = ticket(&session, "termproxy", &[("serial", "serial1")]).await;
    let mut terminal = open(&daemon, &session, &given).await.unwrap();
    terminal.send(Message::text("root@pam:something else\n")).await.unwrap();
    let closed = async { while terminal.next().await.is_some_and(|said| matches!(said, Ok(m) if !m.is_close())) {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("a wrong login ends it");
}
