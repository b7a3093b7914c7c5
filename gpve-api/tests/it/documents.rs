//! Documents made from the table. `GPVE_BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::path::Path;

use gpve_api::error::wire;
use gpve_api::openapi::openapi;
use gpve_api::route::{Access, Answer, Body, Dialect, Kind, Method};
use gpve_api::routes::routes;
use gpve_core::error::ErrorKind;
use serde_json::Value as Json;

fn golden(file: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("GPVE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == now, "{} is out of date: run this test with GPVE_BLESS=1 and look at the difference", path.display());
}

fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn openapi_documents_are_up_to_date() {
    golden("openapi/pve2.json", &pretty(&openapi(Dialect::Pve2)));
    golden("openapi/v1.json", &pretty(&openapi(Dialect::V1)));
}

#[test]
fn the_reference_pages_are_up_to_date() {
    golden("openapi/pve2.md", &gpve_api::docs::reference(Dialect::Pve2));
    golden("openapi/v1.md", &gpve_api::docs::reference(Dialect::V1));
}

#[test]
fn the_schema_in_proxmox_ves_shape_has_every_route_once() {
    fn count(node: &Json) -> usize {
        let children = node["children"].as_array().into_iter().flatten();
        assert_eq!(node["leaf"] == 1, node["children"].is_null(), "{}", node["path"]);
        node["info"].as_object().unwrap().len() + children.map(count).sum::<usize>()
    }
    let schema = gpve_api::schema::schema();
    let methods: usize = schema.as_array().unwrap().iter().map(count).sum();
    assert_eq!(methods, routes().filter(|r| r.dialect == Dialect::Pve2 && r.path != "/").count());
    let nodes = schema.as_array().unwrap().iter().find(|n| n["path"] == "/nodes").unwrap();
    let create = &nodes["children"][0]["children"].as_array().unwrap().iter().find(|n| n["text"] == "qemu").unwrap()["info"]["POST"];
    let properties = &create["parameters"]["properties"];
    assert_eq!(properties["vmid"]["minimum"], 100);
    assert_eq!(properties["net[n]"]["format"]["virtio"]["keyAlias"], "model");
    assert_eq!(properties["scsi[n]"]["optional"], 1);
}

#[test]
fn every_reference_in_an_openapi_document_has_its_schema() {
    fn references(value: &Json, into: &mut BTreeSet<String>) {
        match value {
            Json::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Json::as_str).map(str::to_owned));
                fields.values().for_each(|v| references(v, into));
            }
            Json::Array(items) => items.iter().for_each(|v| references(v, into)),
            _ => {}
        }
    }
    for dialect in [Dialect::Pve2, Dialect::V1] {
        let document = openapi(dialect);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for name in found {
            let pointer = name.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{dialect:?}: nothing at {name}");
        }
    }
}

#[test]
fn every_route_is_complete() {
    let mut ids = BTreeSet::new();
    for route in routes() {
        let id = route.id();
        assert!(ids.insert(id.clone()), "{id} is twice in the table");
        assert!(route.summary.ends_with('.'), "{id}: a summary is a sentence");
        for name in route.path_params() {
            assert!(route.param(name).is_some_and(|p| !p.optional), "{id}: path parameter {name} is not declared");
        }
        let mut names = BTreeSet::new();
        for param in route.all_params() {
            assert!(names.insert(param.shown_name()), "{id}: {} is twice", param.name);
            assert!(param.text.ends_with('.'), "{id}: {} has no sentence", param.name);
            if let Some(other) = param.requires {
                assert!(route.param(other).is_some(), "{id}: {} requires {other}, which is not there", param.name);
            }
            if let Kind::Property(format) = param.kind {
                for key in format.keys.iter().filter_map(|k| k.alias_of) {
                    assert!(format.keys.iter().any(|k| k.name == key), "{id}: {} has an alias of {key}", param.name);
                }
            }
        }
        // Whoever may call without login must be on this list.
        let public = ["/access/ticket", "/access/domains", "/openapi.json"];
        assert_eq!(matches!(route.access, Access::Public), public.contains(&route.path), "{id}");
        // Nothing but reads that show each caller what it may see is open to any identity.
        if matches!(route.access, Access::Anyone) {
            assert!(route.method == Method::Get || route.path.contains("/tasks/"), "{id}: a write without a privilege");
        }
        if route.method == Method::Get {
            assert!(route.body == Body::Params && route.answer != Answer::Nothing || route.path == "/access/ticket", "{id}");
        }
    }
}

#[test]
fn every_error_kind_has_one_row_in_the_table() {
    let table: String = ErrorKind::ALL
        .iter()
        .map(|kind| {
            let w = wire(*kind);
            format!(
                "{:<19} pve {} native {} exit {:>2} {}{}\n",
                w.code,
                w.pve,
                w.native,
                w.exit,
                kind,
                if w.retryable { ", retryable" } else { "" }
            )
        })
        .collect();
    golden("tests/golden/errors.txt", &table);
    let codes: BTreeSet<&str> = ErrorKind::ALL.iter().map(|k| wire(*k).code).collect();
    let exits: BTreeSet<u8> = ErrorKind::ALL.iter().map(|k| wire(*k).exit).collect();
    assert_eq!((codes.len(), exits.len()), (ErrorKind::ALL.len(), ErrorKind::ALL.len()));
    for kind in ErrorKind::ALL {
        assert!([400, 401, 403, 500, 501].contains(&wire(kind).pve), "{kind}: clients take other codes as success");
        assert_eq!(gpve_api::error::kind_of_code(wire(kind).code), Some(kind));
    }
}
