//! The native dialect: documents, lists, streams, errors.

use gpve_api::route::Dialect;
use gpve_api::routes::router;
use gpve_api::v1::{ApplyDocument, Continue, Frames, LabelSelector, List, Problem, Rfc3339, VmDocument, WatchEvent, WatchType};
use gpve_core::control::PowerState;
use gpve_core::error::{Error, ErrorKind, Retry};
use gpve_core::types::{Labels, Timestamp, Vmid};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn document(spec: Json) -> Vec<u8> {
    json!({"apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})
        .to_string()
        .into_bytes()
}

#[test]
fn a_document_becomes_the_guest_that_it_asks_for() {
    let body = document(json!({"vmid": 123, "powerState": "Running", "memory": {"size": "2Gi"}, "cpu": {"cores": 2}}));
    let create = VmDocument::parse(&body).unwrap().create("default".parse().unwrap()).unwrap();
    assert_eq!((create.vmid.unwrap().get(), create.start, create.power_state), (123, true, Some(PowerState::Running)));
    assert_eq!((create.spec.cpu.cores, create.labels["app"].as_str()), (2, "web"));
    assert_eq!(create.object_name.unwrap().as_str(), "web");
}

#[test]
fn what_is_wrong_with_a_document_is_named_by_its_path() {
    let field = |body: &[u8]| VmDocument::parse(body).map(drop).unwrap_err().fields[0].clone();
    for (body, path, why) in [
        (document(json!({"memory": {"size": "2Gi"}, "cpuu": 1})), "spec", "cpuu"),
        (document(json!({"memory": {"size": "2Gi"}, "vmid": 7})), "spec.vmid", "100 to 999999999"),
        (document(json!({"memory": {"size": "2Gi"}, "powerState": "On"})), "spec.powerState", "Running"),
        (document(json!({})), "spec", "memory"),
        (br#"{"kind":"Pod"}"#.to_vec(), "kind", "VirtualMachine"),
        (br#"{"apiVersion":"v1"}"#.to_vec(), "apiVersion", "gpve.io/v1"),
        (br#"{"metadata":{"name":"a b"}}"#.to_vec(), "metadata", "guest name"),
        (b"{".to_vec(), "body", "EOF"),
    ] {
        let refused = field(&body);
        assert_eq!(refused.field, path, "{refused:?}");
        assert!(refused.reason.contains(why), "{refused:?}");
    }
    let elsewhere = VmDocument::parse(br#"{"metadata":{"namespace":"a"},"spec":{"memory":{"size":"1Gi"}}}"#).unwrap();
    assert_eq!(elsewhere.create("b".parse().unwrap()).unwrap_err().fields[0].field, "metadata.namespace");
}

#[test]
fn an_applied_document_gets_its_place_from_the_path() {
    let body = document(json!({"cpu": {"cores": 4}}));
    let manifest = ApplyDocument::parse(&body).unwrap().manifest(&"team".parse().unwrap(), &"web".parse().unwrap()).unwrap();
    assert_eq!(manifest["metadata"], json!({"name": "web", "namespace": "team", "labels": {"app": "web"}}));
    assert_eq!(manifest["spec"], json!({"cpu": {"cores": 4}}));
    let other = ApplyDocument::parse(&body).unwrap().manifest(&"team".parse().unwrap(), &"db".parse().unwrap()).unwrap_err();
    assert_eq!(other.fields[0].field, "metadata.name");
}

#[test]
fn a_list_is_read_page_by_page_without_gaps() {
    let ids: Vec<Vmid> = (100..250).map(|n| Vmid::try_from(n).unwrap()).collect();
    let (mut read, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = List::new("X", 7, ids.clone()).page(from, 60, |id| *id);
        assert_eq!(page.metadata.resource_version, "7");
        read.extend(page.items);
        pages += 1;
        match page.metadata.continue_ {
            Some(next) => from = Some(next.parse::<Continue>().unwrap()),
            None => break,
        }
    }
    assert_eq!((read, pages), (ids, 3));
    assert!("after-7".parse::<Continue>().is_err());
}

#[test]
fn labels_select_objects() {
    let labels: Labels = [("app", "web"), ("tier", "test")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    for (selector, selected) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier!=prod", true),
        ("app=db", false),
        ("tier", true),
        ("!tier", false),
        ("!old,app", true),
    ] {
        assert_eq!(selector.parse::<LabelSelector>().unwrap().matches(&labels), selected, "{selector}");
    }
    for bad in ["=x", "!", "a b", "a=b=c"] {
        assert!(bad.parse::<LabelSelector>().is_err(), "{bad}");
    }
}

#[test]
fn errors_travel_and_come_back_with_their_kind() {
    for kind in ErrorKind::ALL {
        let sent = Error::new(kind, "x", "what happened").on("vm 100").retry(Retry::Later);
        let wire = serde_json::to_string(&Problem::from(&sent).traced("t-1")).unwrap();
        let back = serde_json::from_str::<Problem>(&wire).unwrap().to_error();
        assert_eq!((back.kind, back.message, back.subject, back.retry), (kind, sent.message, sent.subject, sent.retry));
    }
    let missing = Problem::from(router(Dialect::V1).find("GET", "/nosuch").unwrap_err());
    assert_eq!((missing.status, missing.code.as_str()), (404, "NotFound"));
}

#[test]
fn times_are_rfc_3339() {
    let at = Rfc3339(Timestamp::from_millis(1_795_204_890_123));
    let text = serde_json::to_string(&at).unwrap();
    assert_eq!(text, "\"2026-11-20T20:01:30.123Z\"");
    assert_eq!(serde_json::from_str::<Rfc3339>(&text).unwrap(), at);
    assert!(serde_json::from_str::<Rfc3339>("\"yesterday\"").is_err());
}

proptest! {
    #[test]
    fn events_come_out_of_a_stream_however_it_is_cut(versions in proptest::collection::vec(0_u64..1000, 1..8), cut in 1_usize..40) {
        let events: Vec<WatchEvent<Json>> = versions.iter().map(|v| WatchEvent::new(WatchType::Bookmark, v)).collect();
        let stream: String = events.iter().map(|e| format!(": keep-alive\n\n{}", e.to_sse())).collect();
        let (mut frames, mut read) = (Frames::default(), Vec::new());
        for chunk in stream.as_bytes().chunks(cut) {
            frames.push(chunk).unwrap();
            while let Some(data) = frames.next_data() {
                read.push(serde_json::from_str::<WatchEvent<Json>>(&data).unwrap());
            }
        }
        prop_assert_eq!(read, events);
    }

    #[test]
    fn no_body_makes_a_document_fail_otherwise_than_by_refusing(body in "\\PC{0,200}") {
        let _ = VmDocument::parse(body.as_bytes());
        let _ = body.parse::<LabelSelector>();
        let _ = body.parse::<Continue>();
    }
}
