//! Recorded requests to a real Proxmox VE: what it refused for its parameters is refused here, for the same parameters,
//! and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use gpve_api::pve2::config::{Edit, VmConfig};
use gpve_api::pve2::request::{BodyKind, decode};
use gpve_api::route::{Dialect, Given, Router};
use gpve_api::routes::{Operation, router};
use serde_json::Value as Json;

/// Parts whose endpoints are served.
const PARTS: &[&str] = &[
    "paths", "ticket", "token", "cluster", "node", "tasks", "storage", "vm-create", "vm-create-bad", "vm-config", "vm-status", "snapshot",
    "vm-agent",
];

/// Refusals that only the state of the server gives, by step.
fn is_about_state(text: &str) -> bool {
    ["already exists", "no such task", "No such storage", "wrong file extension", "Token already exists", "unable to associate path"]
        .iter()
        .any(|known| text.contains(known))
}

/// Where gpve differs on purpose, with the reason.
const ON_PURPOSE: &[(&str, &str)] = &[
    ("paths.012", "an unknown node is found before its name is looked at; the server does that, not the table"),
    ("vm-create-bad.088", "99,999 cores are refused at once, not when the guest starts"),
];

struct Step {
    id: String,
    method: String,
    path: String,
    query: Option<String>,
    kind: BodyKind,
    body: Vec<u8>,
}

fn fill(text: &str, vars: &BTreeMap<String, String>) -> String {
    let mut out = text.to_owned();
    for (name, value) in vars {
        out = out.replace(&format!("${{{name}}}"), value).replace(&format!("${{{name}_quoted}}"), &value.replace(':', "%3A"));
    }
    out
}

fn encode(pairs: &Json, vars: &BTreeMap<String, String>) -> String {
    let percent = |s: &str| {
        s.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    let pair = |(k, v): (&String, &Json)| {
        let texts: Vec<String> = match v {
            Json::Array(items) => items.iter().map(|i| i.as_str().unwrap_or_default().to_owned()).collect(),
            Json::String(s) => vec![s.clone()],
            other => vec![other.to_string()],
        };
        texts.iter().map(|t| format!("{}={}", percent(k), percent(&fill(t, vars)))).collect::<Vec<_>>().join("&")
    };
    pairs.as_object().unwrap().iter().map(pair).collect::<Vec<_>>().join("&")
}

fn step(s: &Json, vars: &BTreeMap<String, String>) -> Option<Step> {
    let (method, path) = s["do"].as_str()?.split_once(' ').unwrap_or(("GET", ""));
    let path = fill(path, vars);
    let (path, query) = path.split_once('?').map_or((path.clone(), None), |(p, q)| (p.to_owned(), Some(q.to_owned())));
    let mut step =
        Step { id: s["id"].as_str()?.to_owned(), method: method.to_owned(), path, query, kind: BodyKind::Form, body: Vec::new() };
    if s["form"].is_object() {
        let text = encode(&s["form"], vars);
        if matches!(method, "GET" | "DELETE") { step.query = Some(text) } else { step.body = text.into_bytes() }
    } else if s["json"].is_object() {
        step.kind = BodyKind::Json;
        step.body = fill(&s["json"].to_string(), vars).into_bytes();
    } else if let Some(raw) = s["raw"].as_str() {
        step.kind = BodyKind::from_content_type(s["headers"]["Content-Type"].as_str()).ok()?;
        let tail = s["fill"].as_str().unwrap_or_default().repeat(usize::try_from(s["fill_count"].as_u64().unwrap_or(0)).unwrap());
        step.body = (fill(raw, vars) + &tail).into_bytes();
    } else if s["multipart"].is_object() {
        let mut fields = s["multipart"]["fields"].clone();
        fields["filename"] = s["multipart"]["files"][0]["name"].clone();
        step.body = encode(&fields, vars).into_bytes();
    }
    Some(step)
}

/// The fields that are refused; none when the request is fine as far as its parameters tell. `Err` is a route that is not
/// served, or no parameters at all.
fn refused_fields(router: &Router, step: &Step) -> Result<BTreeSet<String>, String> {
    let matched = router.find(&step.method, &step.path).map_err(|e| e.to_string())?;
    let given: Given = decode(step.query.as_deref(), step.kind, &step.body).map_err(|f| f.message().to_owned())?;
    let params = match matched.validate(given) {
        Ok(params) => params,
        Err(refused) => return Ok(refused.0.into_keys().collect()),
    };
    let result = match matched.route.operation {
        Operation::VmCreate => VmConfig::from_params(&params).define_new(uuid::Uuid::nil(), uuid::Uuid::nil()).map(|_| ()),
        Operation::VmConfigUpdate | Operation::VmConfigUpdateAsync => {
            Edit::from_params(&params).and_then(|edit| edit.set.define_new(uuid::Uuid::nil(), uuid::Uuid::nil())).map(|_| ())
        }
        _ => Ok(()),
    };
    Ok(result.err().map(|e| e.fields.into_iter().map(|f| f.field).collect()).unwrap_or_default())
}

#[test]
fn parameters_are_refused_exactly_where_proxmox_ve_refuses_them() {
    let (mut checked, mut bad) = (0, Vec::new());
    let router = router(Dialect::Pve2);
    for part in PARTS {
        let Some(scenario) = crate::reference(&format!("oracle/scenario/{part}.jsonl")) else { return };
        let reference = crate::reference(&format!("oracle/reference/{part}.jsonl")).unwrap();
        let read = |p| std::fs::read_to_string(p).unwrap().lines().map(|l| serde_json::from_str::<Json>(l).unwrap()).collect::<Vec<_>>();
        let references = read(reference);
        let mut vars: BTreeMap<String, String> = references[0]["vars"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
            .collect();
        vars.insert("bad".into(), "UPID:pve:000000F6:000B91B2:6B00A71A:qmstart:7420:root@pam:".into());
        for (name, value) in [("password", "secret"), ("user_name", "root"), ("user_realm", "pam"), ("user", "root@pam")] {
            vars.insert(name.into(), value.into());
        }
        vars.insert("digest".into(), "0".repeat(40));
        for s in read(scenario).iter().filter(|s| s["phase"].is_null()) {
            let Some(step) = step(s, &vars) else { continue };
            let Some(reference) = references.iter().find(|r| r["id"] == s["id"]) else { continue };
            let expected: BTreeSet<String> =
                reference["json"]["errors"].as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect();
            if reference["json"]["errors"].as_object().is_some_and(|e| e.values().all(|v| is_about_state(v.as_str().unwrap_or_default())))
                && !step.id.ends_with("bad.024")
            {
                continue;
            }
            if ON_PURPOSE.iter().any(|(id, _)| *id == step.id) {
                continue;
            }
            match refused_fields(&router, &step) {
                Ok(fields) if fields == expected => checked += 1,
                Ok(fields) => bad.push(format!("{} {} {}: refused {fields:?}, Proxmox VE {expected:?}", step.id, step.method, step.path)),
                // A route of a later version of gpve, or a body that has no form at all; Proxmox VE refused the latter too.
                Err(_) => {}
            }
        }
    }
    assert!(bad.is_empty(), "{}\n{checked} agree", bad.join("\n"));
    assert!(checked > 200, "only {checked} requests were compared");
    println!("{checked} recorded requests agree");
}
