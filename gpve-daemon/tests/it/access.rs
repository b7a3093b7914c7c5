use gpve_api::route::{Access, Body, Method, Route};
use gpve_api::routes::routes;

use crate::http::Connection;
use crate::support::{Daemon, encode};

/// A path that the route matches, without sense otherwise.
fn path(route: &Route) -> String {
    let filled: Vec<String> = route
        .path
        .split('/')
        .filter(|p| !p.is_empty())
        .map(|part| match part {
            "{node}" => "pve".to_owned(),
            "{vmid}" => "100".to_owned(),
            "{userid}" => "root@pam".to_owned(),
            "{upid}" | "{task}" => encode("UPID:pve:00000000:00000001:6B00A71A:qmstart:100:root@pam:"),
            "{namespace}" => "default".to_owned(),
            p if p.starts_with('{') => "something".to_owned(),
            p => p.to_owned(),
        })
        .collect();
    format!("{}/{}", route.dialect.prefix(), filled.join("/"))
}

#[tokio::test]
async fn every_route_but_the_public_ones_refuses_a_caller_without_credentials() {
    let daemon = Daemon::start();
    for route in routes() {
        let answer = daemon.send(route.method.as_str(), &path(route), &[], b"").await;
        let public = matches!(route.access, Access::Public);
        assert_eq!(answer.status == 401, !public, "{}: {answer:?}", route.id());
    }
}

#[tokio::test]
async fn every_write_by_ticket_without_a_csrf_token_is_refused() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let writes = routes().filter(|r| r.method != Method::Get && !matches!(r.access, Access::Public) && !matches!(r.body, Body::Upload));
    for route in writes {
        for csrf in ["", "00000000:AAAA"] {
            let headers = [("cookie", session.cookie.as_str()), ("csrfpreventiontoken", csrf)];
            let answer = daemon.send(route.method.as_str(), &path(route), &headers, b"").await;
            assert_eq!(answer.status, 401, "{}: {answer:?}", route.id());
        }
    }
}

#[tokio::test]
async fn a_separated_token_holds_nothing_and_an_unseparated_one_everything() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let made = session.pve("POST", "/access/users/root@pam/token/weak", &[]).await;
    let weak = format!("PVEAPIToken=root@pam!weak={}", made.data()["value"].as_str().unwrap());
    for route in routes().filter(|r| matches!(r.access, Access::All(_))) {
        let answer = daemon.send(route.method.as_str(), &path(route), &[("authorization", &weak)], b"").await;
        assert_eq!(answer.status, 403, "{}: {answer:?}", route.id());
    }
    let made = session.pve("POST", "/access/users/root@pam/token/strong", &[("privsep", "0")]).await;
    let secret = made.data()["value"].as_str().unwrap().to_owned();
    for authorization in [
        format!("PVEAPIToken=root@pam!strong={secret}"),
        format!("PVEAPIToken root@pam!strong={secret}"),
        format!("Bearer root@pam!strong={secret}"),
    ] {
        let answer = daemon.send("POST", "/api2/json/nodes/pve/qemu", &[("authorization", &authorization)], b"vmid=x").await;
        assert_eq!(answer.status, 400, "a token needs no CSRF token: {answer:?}");
    }
    let gone = session.pve("DELETE", "/access/users/root@pam/token/strong", &[]).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let answer =
        daemon.send("GET", "/api2/json/version", &[("authorization", &format!("PVEAPIToken=root@pam!strong={secret}"))], b"").await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let daemon = Daemon::start();
    let mut answers = Vec::new();
    for user in ["root@pam", "nobody@pam"] {
        let form = format!("username={}&password=wrong", encode(user));
        let answer = daemon.send("POST", "/api2/json/access/ticket", &[], form.as_bytes()).await;
        assert_eq!((answer.status, answer.reason.as_str()), (401, "authentication failure"), "{answer:?}");
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_login_by_form_without_content_type_and_by_json_both_work() {
    let daemon = Daemon::start();
    daemon.login().await;
    let body = serde_json::json!({ "username": "root", "realm": "pam", "password": crate::support::PASSWORD }).to_string();
    let answer = daemon.send("POST", "/api2/json/access/ticket", &[("content-type", "application/json")], body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.data()["username"], "root@pam");
}

#[tokio::test]
async fn secrets_of_a_run_are_in_no_log() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let made = session.pve("POST", "/access/users/root@pam/token/canary", &[]).await;
    let secret = made.data()["value"].as_str().unwrap().to_owned();
    session.pve("GET", "/version", &[]).await;
    let log = std::fs::read_to_string(daemon.path("server.log")).unwrap();
    let ticket = session.cookie.trim_start_matches("PVEAuthCookie=");
    for canary in [crate::support::PASSWORD, &secret, ticket, &session.csrf] {
        assert!(!log.contains(canary), "a secret is in the log");
    }
    assert!(log.contains("trace_id"), "{log}");
}

#[tokio::test]
async fn a_header_with_a_line_end_makes_no_second_header() {
    let daemon = Daemon::start();
    let mut connection = Connection::open(daemon.address, &daemon.ca()).await;
    let request =
        "GET /api2/json/version HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncookie: PVEAuthCookie=a\rset-cookie: evil=1\r\n\r\n";
    connection.write(request.as_bytes()).await;
    let answer = connection.read().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None);
    // In a reason phrase, which repeats what the client sent.
    let session = daemon.login().await;
    let answer = session.pve("GET", "/nodes/x%0d%0aset-cookie:%20evil=1/status", &[]).await;
    assert!(answer.status >= 400 && answer.header("set-cookie").is_none(), "{answer:?}");
}
