use serde_json::{Value as Json, json};

use crate::http::Connection;
use crate::support::{Daemon, Session, vm};

const VMS: &str = "/namespaces/default/virtualmachines";

async fn count(session: &Session<'_>) -> usize {
    session.v1("GET", VMS, &[], &Json::Null).await.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_object_is_made_read_changed_and_removed() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let made = session.v1("POST", VMS, &[], &vm("web")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), Some("/api/v1/namespaces/default/virtualmachines/web"));
    session.wait_phase("web", "Stopped").await;
    let started = session.v1("POST", &format!("{VMS}/web/start"), &[], &Json::Null).await;
    assert_eq!(started.status, 202, "{started:?}");
    let task = started.json()["id"].as_str().unwrap().to_owned();
    let ended = session.v1("GET", &format!("/tasks/{}?waitSeconds=30", crate::support::encode(&task)), &[], &Json::Null).await;
    assert_eq!(ended.json()["phase"], "Succeeded", "{ended:?}");
    session.wait_phase("web", "Running").await;
    let mut object = session.v1("GET", &format!("{VMS}/web"), &[], &Json::Null).await.json();
    object["spec"]["description"] = "changed".into();
    let stale = object["metadata"]["resourceVersion"].clone();
    let replaced = session.v1("PUT", &format!("{VMS}/web"), &[], &object).await;
    assert_eq!(replaced.status, 200, "{}", String::from_utf8_lossy(&replaced.body));
    assert_eq!(replaced.json()["spec"]["description"], "changed");
    object["metadata"]["resourceVersion"] = stale;
    object["spec"]["description"] = "lost".into();
    let refused = session.v1("PUT", &format!("{VMS}/web"), &[], &object).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, "Conflict".into()));
    let deleted = session.v1("DELETE", &format!("{VMS}/web?force=true"), &[], &Json::Null).await;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    let task = deleted.json()["id"].as_str().unwrap().to_owned();
    session.v1("GET", &format!("/tasks/{}?waitSeconds=30", crate::support::encode(&task)), &[], &Json::Null).await;
    let missing = session.v1("GET", &format!("{VMS}/web"), &[], &Json::Null).await;
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("application/problem+json")));
}

#[tokio::test]
async fn the_same_idempotency_key_twice_is_one_guest() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let made = session.v1("POST", VMS, &[("idempotency-key", "order-4711")], &vm("once")).await;
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        numbers.push(made.json()["spec"]["vmid"].clone());
    }
    assert!(numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
    assert_eq!(count(&session).await, 1);
    let without = session.v1("POST", VMS, &[], &vm("once")).await;
    assert_eq!((without.status, without.json()["code"].clone()), (409, "AlreadyExists".into()));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let plan = session.v1("POST", &format!("{VMS}?dryRun=true"), &[], &vm("never")).await;
    assert_eq!(plan.status, 200, "{plan:?}");
    assert_eq!(plan.json()["verb"], "create", "{}", plan.json());
    assert_eq!(plan.json()["volumes"][0]["storage"], "local", "{}", plan.json());
    assert_eq!(count(&session).await, 0);
}

#[tokio::test]
async fn applying_a_manifest_is_idempotent_and_guards_fields_of_others() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let yaml = "apiVersion: gpve.io/v1\nkind: VirtualMachine\nmetadata: {name: web}\nspec:\n  memory: {size: 64Mi}\n  description: mine\n";
    let apply = async |manager: &str, body: &str| {
        let headers = [
            ("cookie", session.cookie.as_str()),
            ("csrfpreventiontoken", session.csrf.as_str()),
            ("content-type", "application/apply-patch+yaml"),
        ];
        let path = format!("/api/v1{VMS}/web?fieldManager={manager}");
        daemon.send("PATCH", &path, &headers, body.as_bytes()).await
    };
    let first = apply("one", yaml).await;
    assert_eq!((first.status, first.header("gpve-outcome")), (201, Some("created")), "{}", String::from_utf8_lossy(&first.body));
    session.wait_phase("web", "Stopped").await;
    let again = apply("one", yaml).await;
    assert_eq!((again.status, again.header("gpve-outcome")), (200, Some("unchanged")));
    let theirs = apply("two", &yaml.replace("mine", "theirs")).await;
    assert_eq!((theirs.status, theirs.json()["code"].clone()), (409, "Conflict".into()));
}

#[tokio::test]
async fn a_watch_resumes_where_it_ended_and_misses_nothing() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    session.v1("POST", VMS, &[], &vm("first")).await;
    session.wait_phase("first", "Stopped").await;
    let from = session.v1("GET", VMS, &[], &Json::Null).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watch = async |from: &str, wanted: &str| {
        let mut connection = Connection::open(daemon.address, &daemon.ca()).await;
        let head =
            format!("GET /api/v1{VMS}?watch=true HTTP/1.1\r\nhost: x\r\ncookie: {}\r\nlast-event-id: {from}\r\n\r\n", session.cookie);
        connection.write(head.as_bytes()).await;
        let wanted = wanted.to_owned();
        connection
            .read_until(move |text| {
                let events: Vec<(String, Json)> = events(text);
                let at = events.iter().position(|(_, e)| e["object"]["metadata"]["name"] == *wanted)?;
                Some(events[at].clone())
            })
            .await
    };
    session.v1("POST", VMS, &[], &vm("second")).await;
    let (position, event) = watch(&from, "second").await;
    assert_eq!(event["type"], "ADDED");
    // Nobody watches while the third is made.
    session.v1("POST", VMS, &[], &vm("third")).await;
    let (_, event) = watch(&position, "third").await;
    assert_eq!(event["type"], "ADDED", "{event}");
}

/// Whole server-sent events of a chunked stream.
fn events(text: &str) -> Vec<(String, Json)> {
    let field = |frame: &str, name: &str| frame.lines().find_map(|l| l.strip_prefix(name).map(|v| v.trim().to_owned()));
    text.split("\n\n").filter_map(|f| Some((field(f, "id:")?, serde_json::from_str(&field(f, "data:")?).ok()?))).collect()
}

#[tokio::test]
async fn pages_of_a_list_have_every_guest_once() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    for n in 0..5 {
        let mut object = vm(&format!("guest-{n}"));
        object["metadata"]["labels"] = json!({ "parity": if n % 2 == 0 { "even" } else { "odd" } });
        assert_eq!(session.v1("POST", VMS, &[], &object).await.status, 201);
    }
    let (mut names, mut next) = (Vec::new(), None::<String>);
    loop {
        let more = next.as_ref().map(|c| format!("&continue={c}")).unwrap_or_default();
        let page = session.v1("GET", &format!("{VMS}?limit=2{more}"), &[], &Json::Null).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()));
        match page["metadata"]["continue"].as_str() {
            Some(c) => next = Some(c.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, (0..5).map(|n| format!("guest-{n}")).collect::<Vec<_>>());
    let even = session.v1("GET", &format!("{VMS}?labelSelector=parity%3Deven"), &[], &Json::Null).await.json();
    assert_eq!(even["items"].as_array().unwrap().len(), 3);
}

async fn handshake(daemon: &Daemon, session: &Session<'_>, path: &str, origin: Option<&str>) -> Connection {
    let origin = origin.map(|o| format!("origin: {o}\r\n")).unwrap_or_default();
    let head = format!(
        "GET /api/v1{path} HTTP/1.1\r\nhost: test\r\ncookie: {}\r\n{origin}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        session.cookie
    );
    let mut connection = Connection::open(daemon.address, &daemon.ca()).await;
    connection.write(head.as_bytes()).await;
    connection
}

#[tokio::test]
async fn a_watch_goes_over_a_websocket_too_but_not_for_a_foreign_page() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let path = format!("{VMS}?watch=true");
    let mut socket = handshake(&daemon, &session, &path, Some("https://test")).await;
    let switched = |text: &str| text.contains("\r\n\r\n").then(|| text.to_owned());
    let head = socket.read_until(switched).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.to_ascii_lowercase().contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    session.v1("POST", VMS, &[], &vm("seen")).await;
    socket.read_until(|text| text.contains("\"type\":\"ADDED\"").then_some(())).await;
    let mut foreign = handshake(&daemon, &session, &path, Some("https://evil.example")).await;
    let head = foreign.read_until(switched).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[tokio::test]
async fn a_console_opens_for_a_running_guest_only() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let mut object = vm("talker");
    object["spec"]["serials"] = json!({ "0": "socket" });
    session.v1("POST", VMS, &[], &object).await;
    session.wait_phase("talker", "Stopped").await;
    let path = format!("{VMS}/talker/console");
    let whole = |text: &str| text.contains("\r\n\r\n").then(|| text.to_owned());
    let head = handshake(&daemon, &session, &path, None).await.read_until(whole).await;
    assert!(head.starts_with("HTTP/1.1 412"), "{head}");
    session.v1("POST", &format!("{VMS}/talker/start"), &[], &Json::Null).await;
    session.wait_phase("talker", "Running").await;
    let head = handshake(&daemon, &session, &path, None).await.read_until(whole).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}
