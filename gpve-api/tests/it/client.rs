//! The client against a scripted server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use gpve_api::client::{Client, Endpoint, Progress, Request, Session};
use gpve_api::routes::Operation;
use gpve_core::error::ErrorKind;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers requests in order, one connection each, and keeps what was asked.
struct Scripted {
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

enum Say {
    /// A whole answer.
    Json(u16, Json),
    /// Server-sent events, then the connection ends.
    Events(Vec<Json>),
    /// The connection ends without an answer.
    HangUp,
}

async fn scripted(script: Vec<Say>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        let mut script = VecDeque::from(script);
        while let Some(say) = script.pop_front() {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !complete(&request) {
                match socket.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => request.extend_from_slice(&buffer[..n]),
                }
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let answer = match say {
                Say::HangUp => continue,
                Say::Json(status, body) => {
                    let body = body.to_string();
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                }
                Say::Events(events) => {
                    let text: String =
                        events.iter().map(|e| format!("id: {}\ndata: {e}\n\n", e["resourceVersion"].as_str().unwrap_or(""))).collect();
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}")
                }
            };
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    Scripted { client: Client::connect(Endpoint::new(&url).unwrap()).unwrap(), asked }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|n| n.parse().ok()).unwrap_or(0);
    body.len() >= length
}

fn task(phase: &str, message: Option<&str>) -> Say {
    let mut task = json!({"id": UPID, "type": "qmstart", "vmid": 100, "node": "pve", "user": "root@pam", "phase": phase, "warnings": 0, "started": "2026-11-21T12:00:00.000Z"});
    if let Some(message) = message {
        task["message"] = message.into();
    }
    Say::Json(200, task)
}

fn log(lines: &[&str]) -> Say {
    let items: Vec<Json> = lines.iter().enumerate().map(|(n, t)| json!({"n": n + 1, "t": t})).collect();
    Say::Json(200, json!({"apiVersion": "gpve.io/v1", "kind": "LogLineList", "metadata": {}, "items": items}))
}

const UPID: &str = "UPID:pve:00000000:000000F6:6B00A71A:qmstart:100:root@pam:";

#[tokio::test]
async fn a_login_gives_later_requests_their_ticket_and_writes_their_csrf_token() {
    let session = json!({"data": {"username": "root@pam", "ticket": "PVE:root@pam:6B00A71A::s+g", "CSRFPreventionToken": "6B00A71A:mac"}});
    let server = scripted(vec![
        Say::Json(200, session),
        Say::Json(200, json!({"data": {"version": "9.2.11"}})),
        Say::Json(200, json!({"data": UPID})),
    ])
    .await;
    server.client.login("root@pam", "secret".into()).await.unwrap();
    assert_eq!(server.client.send(Request::to(Operation::Version)).await.unwrap()["version"], "9.2.11");
    let start = Request::to(Operation::VmStart).path("node", "pve").path("vmid", 100);
    assert_eq!(server.client.send(start).await.unwrap(), UPID);
    let asked = server.asked.lock().unwrap();
    assert!(asked[0].contains("username=root%40pam&password=secret"));
    assert!(asked[1].contains("cookie: PVEAuthCookie=PVE%3Aroot%40pam%3A6B00A71A%3A%3As%2Bg") && !asked[1].contains("csrf"));
    assert!(asked[2].contains("csrfpreventiontoken: 6B00A71A:mac"));
}

#[tokio::test]
async fn an_api_token_goes_into_its_header() {
    let server = scripted(vec![Say::Json(200, json!({"data": []}))]).await;
    let client = server.client.with_session(Session::Token("root@pam!ci=s-1".into())).unwrap();
    client.send(Request::to(Operation::NodeList)).await.unwrap();
    assert!(server.asked.lock().unwrap()[0].contains("authorization: PVEAPIToken=root@pam!ci=s-1"));
}

#[tokio::test]
async fn errors_of_both_dialects_become_errors_with_kind_and_fields() {
    let problem = json!({"status": 409, "code": "Conflict", "message": "somebody was faster", "retryable": false, "fields": []});
    let server = scripted(vec![
        Say::Json(400, json!({"data": null, "message": "Parameter verification failed.\n", "errors": {"cores": "no integer\n"}})),
        Say::Json(500, json!({"data": null, "message": "Configuration file 'x' does not exist\n"})),
        Say::Json(409, problem),
        Say::Json(401, json!(null)),
    ])
    .await;
    let bad = server.client.send(Request::to(Operation::VmCreate).path("node", "pve").param("cores", "x")).await.unwrap_err();
    assert_eq!((bad.kind, bad.fields[0].field.as_str(), bad.fields[0].reason.as_str()), (ErrorKind::InvalidInput, "cores", "no integer"));
    let config = Request::to(Operation::VmConfigRead).path("node", "pve").path("vmid", 100);
    assert_eq!(server.client.send(config).await.unwrap_err().kind, ErrorKind::NotFound);
    let read = Request::to(Operation::V1VmRead).path("namespace", "default").path("name", "web");
    assert_eq!(server.client.send(read.clone()).await.unwrap_err().message, "somebody was faster");
    assert_eq!(server.client.send(read).await.unwrap_err().kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn only_harmless_requests_are_repeated() {
    let busy = || Say::Json(503, json!({"status": 503, "code": "Unavailable", "message": "busy", "retryable": true}));
    let server = scripted(vec![Say::HangUp, busy(), Say::Json(200, json!({"data": 1})), busy(), busy(), Say::Json(200, json!({}))]).await;
    assert_eq!(server.client.send(Request::to(Operation::NodeList)).await.unwrap(), 1);
    let stop = || Request::to(Operation::V1VmAction).verb("stop").path("namespace", "default").path("name", "web");
    assert_eq!(server.client.send(stop()).await.unwrap_err().kind, ErrorKind::Unavailable);
    server.client.send(stop().idempotent("k-1")).await.unwrap();
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 6);
    assert!(asked[5].contains("idempotency-key: k-1"));
}

#[tokio::test]
async fn waiting_for_a_task_tells_lines_once_and_its_failure_as_an_error() {
    let server =
        scripted(vec![task("Running", None), log(&["one"]), task("Failed", Some("no such bridge")), log(&["two"]), log(&[])]).await;
    let mut told = Vec::new();
    let failed = server.client.wait_task(UPID, |p| told.push(p)).await.unwrap_err();
    assert_eq!((failed.kind, failed.message.as_str()), (ErrorKind::FailedPrecondition, "no such bridge"));
    let lines: Vec<&str> = told.iter().filter_map(|p| if let Progress::Line(l) = p { Some(l.t.as_str()) } else { None }).collect();
    assert_eq!((lines, told.len()), (vec!["one", "two"], 4));
    assert!(server.asked.lock().unwrap()[3].contains("start=1"));
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_event_and_ends_when_history_is_gone() {
    let event = |kind: &str, version: &str| json!({"type": kind, "resourceVersion": version, "vmid": 100});
    let gone = json!({"type": "ERROR", "resourceVersion": "9", "error": {"status": 409, "code": "Conflict", "message": "list again", "retryable": false}});
    let server = scripted(vec![
        Say::Events(vec![event("DELETED", "5"), event("BOOKMARK", "7")]),
        Say::HangUp,
        Say::Events(vec![event("DELETED", "8"), gone]),
    ])
    .await;
    let mut watch = server.client.watch(Some("default"), None, "4");
    assert_eq!(watch.next().await.unwrap().resource_version, "5");
    assert_eq!(watch.next().await.unwrap().resource_version, "8");
    assert_eq!(watch.next().await.unwrap_err().kind, ErrorKind::Conflict);
    let asked = server.asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /api/v1/namespaces/default/virtualmachines?watch=true&resourceVersion=4 "));
    assert!(asked[2].contains("resourceVersion=7 "));
}

#[test]
fn a_server_is_named_by_a_url_without_path() {
    for bad in ["", "host", "ftp://x", "https://", "https://x/y", "https://a@b"] {
        assert!(Endpoint::new(bad).is_err(), "{bad}");
    }
    assert_eq!(Endpoint::new("https://127.0.0.1:8006/").unwrap().url(), "https://127.0.0.1:8006");
}
