//! Requests and answers.

use gpve_api::pve2::request::{BodyKind, decode, form, json};
use gpve_api::pve2::{Failure, Reply, credentials};
use gpve_api::route::{Dialect, Given, Matched, Refused, RouteError};
use gpve_api::routes::router;
use gpve_auth::{Administrator, Credentials, Decision, Identity, UserId};
use gpve_core::error::{Error, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn find(method: &str, path: &str) -> Matched {
    router(Dialect::Pve2).find(method, path).unwrap()
}

fn token(separated: bool) -> Identity {
    Identity::Token { id: "root@pam!ci".parse().unwrap(), separated }
}

#[test]
fn paths_are_decoded_and_slashes_tolerated() {
    for path in ["/nodes/pve//qemu", "//nodes/pve/qemu/", "nodes/%70ve/qemu"] {
        assert_eq!(find("GET", path).node(), Some("pve"), "{path}");
    }
    for path in [
        "/nodes/pve/storage/local/content/local:iso/a.iso",
        "/nodes/pve/storage/local/content/local%3Aiso%2Fa.iso",
        "/nodes/pve/storage/local/content/local:iso/a.iso/",
    ] {
        assert_eq!(find("DELETE", path).value("volume"), Some("local:iso/a.iso"), "{path}");
    }
    let upid = "UPID:pve:000000F6:000B91B2:6B00A71A:qmstart:7420:root@pam!tok:";
    assert_eq!(find("GET", &format!("/nodes/pve/tasks/{}/status", upid.replace(':', "%3A").replace('!', "%21"))).value("upid"), Some(upid));
}

#[test]
fn what_does_not_exist_is_501_with_the_path_in_the_message() {
    let missing = |method: &str, path: &str| router(Dialect::Pve2).find(method, path).unwrap_err();
    assert_eq!(missing("GET", "/nodes/pve/nosuch").to_string(), "Method 'GET /nodes/pve/nosuch' not implemented");
    assert_eq!(
        missing("GET", "/nodes/pve/qemu/7820/agent/ping").to_string(),
        "Method 'GET /nodes/pve/qemu/7820/agent/ping' not implemented"
    );
    assert!(matches!(missing("GET", &"/x".repeat(5000)), RouteError::Malformed));
    let reply = Failure::from(missing("GET", "/nosuch")).reply(None);
    assert_eq!((reply.status, reply.reason.as_deref()), (501, Some("Method 'GET /nosuch' not implemented")));
    assert_eq!(
        serde_json::from_slice::<Json>(&reply.body).unwrap(),
        json!({"data": null, "message": "Method 'GET /nosuch' not implemented"})
    );
    for method in ["PATCH", "HEAD", "OPTIONS", "TRACE"] {
        let reply = Failure::from(missing(method, "/version")).reply(None);
        assert_eq!((reply.status, reply.reason, reply.body.len()), (501, Some(format!("method '{method}' not available")), 0));
    }
}

#[test]
fn bodies_of_every_kind_give_the_same_parameters() {
    let expected: Given = [("vmid", "100"), ("name", "a b"), ("start", "1")].into_iter().collect();
    let missing_type = BodyKind::from_content_type(None).unwrap();
    assert_eq!(decode(None, missing_type, b"vmid=100&name=a+b&start=1").unwrap(), expected);
    assert_eq!(decode(Some("vmid=100"), BodyKind::Form, b"name=a%20b&start=1\r\n").unwrap(), expected);
    assert_eq!(decode(None, BodyKind::Json, br#"{"vmid":100,"name":"a b","start":true,"pool":null}"#).unwrap(), expected);
    assert_eq!(decode(Some("vmid=100"), BodyKind::Json, br#"{"vmid":"100","name":"a b","start":1}"#).unwrap(), expected);
    for nothing in [&b""[..], b"null", b"{}", b" \n"] {
        assert!(json(nothing).unwrap().is_empty());
    }
    assert_eq!(BodyKind::from_content_type(Some("Application/JSON; charset=utf-8")).unwrap(), BodyKind::Json);
    assert_eq!(BodyKind::from_content_type(Some("multipart/form-data; boundary=x")).unwrap(), BodyKind::Multipart);
    let refused = BodyKind::from_content_type(Some("text/plain")).unwrap_err().reply(None);
    assert_eq!((refused.status, refused.content_type), (506, Some("text/plain;charset=UTF-8")));
}

#[test]
fn lists_come_as_repeated_keys_or_json_arrays() {
    let exec = find("POST", "/nodes/pve/qemu/100/agent/exec");
    for given in [form("command=ls&command=-l").unwrap(), json(br#"{"command":["ls","-l"]}"#).unwrap()] {
        assert_eq!(exec.validate(given).unwrap().list("command"), ["ls", "-l"]);
    }
    let refused = find("POST", "/nodes/pve/qemu").validate(form("vmid=100&name=a&name=b").unwrap()).unwrap_err();
    assert_eq!(refused.0["name"], "takes one value, not a list");
}

#[test]
fn broken_bodies_are_refused_with_their_reason() {
    for (body, kind) in
        [(&b"{\"username\":"[..], BodyKind::Json), (b"[1]", BodyKind::Json), (b"\xff\xfe", BodyKind::Form), (b"a=%ff", BodyKind::Form)]
    {
        assert_eq!(decode(None, kind, body).unwrap_err().status(), 400);
    }
    let nested = decode(None, BodyKind::Json, br#"{"scsi0":{"file":"x"}}"#).unwrap_err().reply(None);
    assert_eq!(serde_json::from_slice::<Json>(&nested.body).unwrap()["errors"]["scsi0"], "must not be an object or a list of lists");
    assert_eq!(form(&"a=1&".repeat(5000)).unwrap_err().message(), "more than 1024 parameters");
    let twice = decode(Some("vmid=100"), BodyKind::Form, b"vmid=101").unwrap_err();
    assert!(twice.message().contains("vmid: is given twice with different values"));
}

#[test]
fn a_parameter_of_the_path_may_be_repeated_but_not_contradicted() {
    let start = find("POST", "/nodes/pve/qemu/100/status/start");
    assert!(start.validate(form("node=pve&vmid=100").unwrap()).is_ok());
    let refused = start.validate(form("node=other&vmid=101").unwrap()).unwrap_err();
    assert_eq!(refused.0.keys().collect::<Vec<_>>(), ["node", "vmid"]);
}

#[test]
fn booleans_and_numbers_have_every_spelling() {
    let list = find("GET", "/nodes/pve/qemu");
    for (text, value) in
        [("1", true), ("ON", true), ("yes", true), ("True", true), ("0", false), ("off", false), ("No", false), ("false", false)]
    {
        assert_eq!(list.validate(form(&format!("full={text}")).unwrap()).unwrap().bool("full"), Some(value));
    }
    let next = find("GET", "/cluster/nextid");
    for bad in ["99", "1000000000", "4294967296", "99999999999999999999", "abc", "", "1.5", "-100", "0x64"] {
        assert!(next.validate(form(&format!("vmid={bad}")).unwrap()).is_err(), "{bad}");
    }
    assert_eq!(next.validate(form("vmid=%31%30%30").unwrap()).unwrap().int("vmid"), Some(100));
}

#[test]
fn a_refused_parameter_shows_in_errors_message_and_reason() {
    let refused = find("POST", "/nodes/pve/qemu").validate(form("vmid=99&cores=x&bogus=1%0a").unwrap()).unwrap_err();
    let reply = Failure::from(refused).reply(Some("*/*"));
    let body: Json = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(body["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["bogus", "cores", "vmid"]);
    assert!(body["data"].is_null());
    let reason = reply.reason.unwrap();
    assert!(reason.starts_with("Parameter verification failed. (bogus: unknown parameter"), "{reason}");
    assert_eq!(body["message"], format!("{reason}\n"));
}

#[test]
fn reasons_are_one_line_of_ascii_whatever_the_message() {
    let reply = Failure::from(&Error::new(ErrorKind::NotFound, "x", format!("ü\r\nSet-Cookie: a=b {}", "x".repeat(1000)))).reply(None);
    let reason = reply.reason.unwrap();
    assert!(reason.len() <= 256 && reason.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{reason}");
    assert_eq!(reply.status, 500);
}

#[test]
fn authentication_failures_have_a_body_only_for_those_who_ask() {
    let quiet = Failure::no_ticket().reply(None);
    assert_eq!((quiet.status, quiet.reason.as_deref(), quiet.body.len(), quiet.content_type), (401, Some("No ticket"), 0, None));
    let asked = Failure::not_authenticated().reply(Some("application/json, text/plain, */*"));
    assert_eq!(serde_json::from_slice::<Json>(&asked.body).unwrap(), json!({"data": null, "message": "Authentication failed!\n"}));
    let login = Failure::login_refused().reply(None);
    assert_eq!(serde_json::from_slice::<Json>(&login.body).unwrap()["message"], "authentication failure\n");
}

#[test]
fn answers_are_enveloped() {
    let reply = Reply::page(&[1, 2], 7);
    assert_eq!(serde_json::from_slice::<Json>(&reply.body).unwrap(), json!({"data": [1, 2], "total": 7}));
    assert_eq!((reply.status, reply.content_type), (200, Some("application/json;charset=UTF-8")));
    assert_eq!(Reply::data(&()).body, br#"{"data":null}"#);
}

#[test]
fn credentials_are_found_in_every_spelling() {
    let ticket = "PVE:root@pam:6B49D200::abc+/==";
    let found = |cookie: Option<&str>, authorization: Option<&str>| match credentials(cookie, authorization) {
        Ok(Credentials::Ticket(t)) => t.expose().clone(),
        Ok(Credentials::Token { id, secret }) => format!("{id}={}", secret.expose()),
        Err(f) => f.message().to_owned(),
    };
    let quoted = "PVE%3Aroot%40pam%3A6B49D200%3A%3Aabc%2B%2F%3D%3D";
    assert_eq!(found(Some(&format!("PVEAuthCookie={ticket}")), None), ticket);
    assert_eq!(found(Some(&format!("Other=1; PVEAuthCookie={quoted}; path=/; secure")), None), ticket);
    assert_eq!(found(None, Some(&format!("PVEAuthCookie={ticket}"))), ticket);
    for header in
        ["PVEAPIToken=root@pam!ci=s-1", "PVEAPIToken root@pam!ci=s-1", "Bearer root@pam!ci=s-1", "PVEAPIToken=root%40pam%21ci=s-1"]
    {
        assert_eq!(found(None, Some(header)), "root@pam!ci=s-1", "{header}");
    }
    assert_eq!(found(Some("Other=1"), None), "No ticket");
    assert_eq!(found(None, Some("Basic cm9vdDpvcmFjbGU=")), "No ticket");
    for garbage in ["PVEAPIToken garbage", "PVEAPIToken=root@pam!none", "PVEAPIToken=root!x=1"] {
        assert_eq!(found(None, Some(garbage)), "Authentication failed!", "{garbage}");
    }
}

#[test]
fn routes_and_parameters_ask_for_their_privileges() {
    let allowed = |who: &Identity, matched: &Matched, text: &str| matched.authorize(&Administrator, who, &form(text).unwrap());
    let create = find("POST", "/nodes/pve/qemu");
    assert_eq!(allowed(&Identity::user(UserId::root()), &create, "vmid=100&args=-x"), Decision::Allowed);
    assert_eq!(allowed(&token(false), &create, "vmid=100&args=-x"), Decision::Allowed);
    let Decision::Denied(why) = allowed(&token(true), &create, "vmid=100") else { panic!() };
    assert_eq!(why.to_string(), "Permission check failed (/vms/100, VM.Allocate)");
    let own = find("GET", "/access/users/root@pam/token");
    assert!(!allowed(&token(true), &own, "").is_allowed());
    assert_eq!(allowed(&token(true), &find("GET", "/version"), ""), Decision::Allowed);
}

#[test]
fn a_parameter_for_root_is_refused_to_others_unless_it_says_no() {
    struct Everything;
    impl gpve_auth::Authority for Everything {
        fn privileges(&self, _: &Identity, _: &gpve_auth::ObjectPath) -> gpve_auth::PrivilegeSet {
            gpve_auth::PrivilegeSet::ALL
        }
    }
    let eve = Identity::user("eve@pve".parse().unwrap());
    let start = find("POST", "/nodes/pve/qemu/100/status/start");
    assert!(start.authorize(&Everything, &eve, &form("skiplock=0").unwrap()).is_allowed());
    assert!(!start.authorize(&Everything, &eve, &form("skiplock=1").unwrap()).is_allowed());
    assert!(!find("POST", "/nodes/pve/qemu").authorize(&Everything, &eve, &form("vmid=100&args=-x").unwrap()).is_allowed());
}

#[test]
fn secrets_are_not_in_errors_or_debug_output() {
    let login = find("POST", "/access/ticket");
    let params = login.validate(form("username=root@pam&password=hunter2").unwrap()).unwrap();
    assert_eq!(params.text("password"), Some("hunter2"));
    assert!(!format!("{params:?}").contains("hunter2"));
    let refused = login.validate(form(&format!("username=root@pam&password={}", "hunter2".repeat(1000))).unwrap()).unwrap_err();
    assert!(!format!("{refused:?}").contains("hunter2"));
}

#[test]
fn engine_errors_become_failures_by_their_kind_and_keep_their_fields() {
    let failure = Failure::from(&Error::new(ErrorKind::NotFound, "x", "snapshot 'nope' does not exist"));
    assert_eq!((failure.status(), failure.message()), (500, "snapshot 'nope' does not exist"));
    let busy = Failure::from(&Error::new(ErrorKind::Unavailable, "x", "the node does not answer")).reply(None);
    assert!(busy.headers.contains(&("retry-after", "1".to_owned())));
    let fields = Failure::from(&Error::field("x", "vmid", "VM 7200 already exists"));
    assert_eq!(fields, Failure::refused(Refused::one("vmid", "VM 7200 already exists")));
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_or_validation_fail_otherwise_than_by_refusing(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}", which in 0_usize..3) {
        let kind = [BodyKind::Form, BodyKind::Json, BodyKind::Multipart][which];
        for bytes in [body.as_slice(), text.as_bytes()] {
            if let Ok(given) = decode(Some(&text), kind, bytes) {
                let _ = find("POST", "/nodes/pve/qemu").validate(given.clone());
                let _ = find("PUT", "/nodes/pve/qemu/100/config").validate(given);
            }
        }
        let _ = router(Dialect::Pve2).find("GET", &text);
        let _ = credentials(Some(&text), Some(&text));
    }

    #[test]
    fn encoded_parameters_decode_to_themselves(pairs in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{0,20}", 0..8)) {
        let percent = |s: &str| s.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={}", percent(v))).collect();
        let expected: Given = pairs.into_iter().collect();
        prop_assert_eq!(form(&text.join("&")).unwrap(), expected);
    }
}
