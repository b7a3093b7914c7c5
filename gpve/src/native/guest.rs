//! Guests as objects.

use bytes::Bytes;
use gpve_api::v1::{
    ApplyDocument, CloneRequest, Continue, GuestSummary, LabelSelector, List, MAX_PAGE, ResizeRequest, VmDocument, VmObject,
};
use gpve_core::control::{Answer, Apply, ApplyOutcome, DeleteGuest, GuestEntry, GuestObject, UpdateGuest};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::patch::SpecPatch;
use gpve_core::ports::{ResizeTo, ShutdownOptions};
use gpve_core::types::{ByteSize, Namespace, VmSpec, Vmid};
use serde_json::Value as Json;

use super::{Answered, Asked, PREFIX, document, host_access};

/// The object with its latest figures.
pub(super) fn shown(entry: &GuestEntry) -> VmObject {
    let mut object = VmObject::from(entry.guest.as_ref());
    object.status.usage = entry.usage;
    object
}

/// Whether a list in `namespace` with a label selector has the guest.
pub(super) fn is_selected(guest: &GuestObject, namespace: Option<&Namespace>, labels: Option<&LabelSelector>) -> bool {
    let meta = &guest.object.metadata;
    namespace.is_none_or(|n| *n == meta.namespace) && labels.is_none_or(|l| l.matches(&meta.labels))
}

fn page<T>(cx: &Asked, kind: &str, make: impl Fn(&GuestEntry) -> T, number: impl Fn(&T) -> Vmid) -> Result<List<T>> {
    let (namespace, labels) = (cx.params.parse_opt::<Namespace>("namespace")?, cx.params.parse_opt::<LabelSelector>("labelSelector")?);
    let from = cx.params.parse_opt::<Continue>("continue")?;
    let limit = cx.params.count("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::from(MAX_PAGE));
    let snapshot = cx.plane.guests();
    let chosen = snapshot.iter().filter(|e| is_selected(&e.guest, namespace.as_ref(), labels.as_ref()));
    // One more than a page, so that the list knows whether it goes on.
    let items = chosen.filter(|e| from.is_none_or(|Continue(last)| e.guest.object.spec.vmid > last)).take(limit + 1).map(make).collect();
    Ok(List::new(kind, snapshot.revision(), items).page(from, limit, number))
}

pub(super) fn summaries(cx: &Asked) -> Result<Answered> {
    let summary = |e: &GuestEntry| GuestSummary { usage: e.usage, ..GuestSummary::from(e.guest.as_ref()) };
    Ok(document(200, &page(cx, "Guest", summary, |g| g.vmid)?))
}

pub(super) fn list(cx: &Asked) -> Result<Answered> {
    Ok(document(200, &page(cx, "VirtualMachine", shown, |g| g.spec.vmid)?))
}

pub(super) fn read(cx: &Asked) -> Result<Answered> {
    object(cx, 200, cx.vmid()?)
}

fn object(cx: &Asked, status: u16, vmid: Vmid) -> Result<Answered> {
    let gone = || Error::not_found("vm.read", format!("vm {vmid}"));
    Ok(document(status, &shown(cx.plane.guests().get(vmid).ok_or_else(gone)?)))
}

/// The object that was made or changed, with the tasks that carry it out.
fn changed(cx: &Asked, status: u16, vmid: Vmid, tasks: &[String]) -> Result<Answered> {
    let answered = object(cx, status, vmid)?.with_header("gpve-task", tasks.join(", "));
    if status != 201 {
        return Ok(answered);
    }
    let place = cx.plane.guest(vmid).map(|g| {
        let meta = &g.object.metadata;
        format!("{PREFIX}/namespaces/{}/virtualmachines/{}", meta.namespace, meta.name)
    });
    Ok(answered.with_header("location", place.unwrap_or_default()))
}

/// Settings that reach the host itself are for the administrator.
fn check_host_access(cx: &Asked, spec: &VmSpec) -> Result<()> {
    let spec = serde_json::to_value(spec).map_err(|e| Error::internal("vm.write", e.to_string()))?;
    refuse_host_access(cx, &spec, "vm.write")
}

fn refuse_host_access(cx: &Asked, spec: &Json, operation: &'static str) -> Result<()> {
    match host_access::asked(spec) {
        Some(field) if !cx.is_root => {
            Err(Error::new(ErrorKind::PermissionDenied, operation, format!("only root@pam may set spec.{field}")))
        }
        _ => Ok(()),
    }
}

pub(super) async fn create(cx: &Asked) -> Result<Answered> {
    let request = VmDocument::parse(&cx.body)?.create(cx.namespace()?)?;
    check_host_access(cx, &request.spec)?;
    match cx.plane.create(&cx.call, request).await? {
        Answer::Accepted(a) => changed(cx, 201, a.vmid, &[a.upid.to_string()]),
        Answer::Unchanged(vmid) => object(cx, 200, vmid),
        Answer::Plan(plan) => Ok(document(200, &plan)),
    }
}

pub(super) async fn replace(cx: &Asked) -> Result<Answered> {
    let (guest, document_) = (cx.guest()?, VmDocument::parse(&cx.body)?);
    check_host_access(cx, &document_.spec)?;
    document_.metadata.check_place(&cx.namespace()?, Some(&guest.object.metadata.name))?;
    document_.metadata.check_state(&guest)?;
    let mut spec = document_.spec;
    // How the other dialect spelled settings is not part of the document.
    for (key, value) in guest.spec().other.iter().filter(|(k, _)| k.as_str() == gpve_api::pve2::config::SPELLING) {
        spec.other.insert(key.clone(), value.clone());
    }
    // The document does not show the password.
    if spec.cloud_init.password.is_none() {
        spec.cloud_init.password.clone_from(&guest.spec().cloud_init.password);
    }
    let patch = SpecPatch::between(guest.spec(), &spec)?;
    let vmid = guest.object.spec.vmid;
    match cx.plane.update(&cx.call, vmid, UpdateGuest { patch, wait: true, ..UpdateGuest::default() }).await? {
        Answer::Accepted(a) => changed(cx, 200, vmid, &[a.upid.to_string()]),
        Answer::Unchanged(vmid) => object(cx, 200, vmid),
        Answer::Plan(plan) => Ok(document(200, &plan)),
    }
}

pub(super) async fn apply(cx: &Asked) -> Result<Answered> {
    let applied = ApplyDocument::parse(&if cx.is_yaml { from_yaml(&cx.body)? } else { cx.body.clone() })?;
    refuse_host_access(cx, &Json::Object(applied.spec.clone()), "vm.apply")?;
    let manifest = applied.manifest(&cx.namespace()?, &cx.params.parse("name")?)?;
    let request = Apply { manifest, manager: cx.params.parse("fieldManager")?, force: cx.params.flag("force") };
    let applied = cx.plane.apply(&cx.call, request).await?;
    if let Some(plan) = applied.plan {
        return Ok(document(200, &plan));
    }
    let tasks: Vec<String> = applied.tasks.iter().map(|t| t.upid.to_string()).collect();
    let (status, word) = match applied.outcome {
        ApplyOutcome::Created => (201, "created"),
        ApplyOutcome::Configured => (200, "configured"),
        ApplyOutcome::Unchanged => (200, "unchanged"),
    };
    Ok(changed(cx, status, applied.vmid, &tasks)?.with_header("gpve-outcome", word.to_owned()))
}

fn from_yaml(body: &[u8]) -> Result<Bytes> {
    let refused = |e: &dyn std::fmt::Display| Error::field("vm.apply", "body", e.to_string());
    let text = std::str::from_utf8(body).map_err(|e| refused(&e))?;
    let document: Json = serde_saphyr::from_str(text).map_err(|e| refused(&e))?;
    Ok(document.to_string().into())
}

pub(super) async fn delete(cx: &Asked) -> Result<Answered> {
    let request = DeleteGuest { purge: true, destroy_unreferenced: false, stop_first: cx.params.flag("force") };
    cx.task(cx.plane.delete(&cx.call, cx.vmid()?, request).await?).await
}

pub(super) async fn action(cx: &Asked) -> Result<Answered> {
    let (plane, call, vmid) = (&cx.plane, &cx.call, cx.vmid()?);
    let mut grace = ShutdownOptions { force: cx.params.flag("force"), ..ShutdownOptions::default() };
    if let Some(seconds) = cx.params.count("timeoutSeconds") {
        grace.timeout_s = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    let answer = match cx.matched.route.verb {
        Some("start") => plane.start(call, vmid).await?,
        Some("stop") => plane.stop(call, vmid).await?,
        Some("shutdown") => plane.shutdown_guest(call, vmid, grace).await?,
        Some("reboot") => plane.reboot(call, vmid, grace).await?,
        Some("reset") => plane.reset(call, vmid).await?,
        Some("pause") => plane.pause(call, vmid).await?,
        Some("resume") => plane.resume(call, vmid).await?,
        other => return Err(Error::internal("vm.action", format!("no action {other:?}"))),
    };
    cx.task(answer).await
}

pub(super) async fn clone(cx: &Asked) -> Result<Answered> {
    let request = cx.document::<CloneRequest>()?.of(cx.vmid()?);
    cx.task(cx.plane.clone_guest(&cx.call, request).await?).await
}

pub(super) async fn template(cx: &Asked) -> Result<Answered> {
    cx.task(cx.plane.template(&cx.call, cx.vmid()?, cx.params.parse_opt("disk")?).await?).await
}

pub(super) async fn resize(cx: &Asked) -> Result<Answered> {
    let ResizeRequest { disk, size } = cx.document()?;
    let bytes = |text: &str| text.parse::<ByteSize>().map_err(|e| Error::field("vm.resize", "size", e.to_string()));
    let to = match size.strip_prefix('+') {
        Some(more) => ResizeTo::Grow(bytes(more)?),
        None => ResizeTo::Absolute(bytes(&size)?),
    };
    cx.task(cx.plane.resize(&cx.call, cx.vmid()?, disk, to, None).await?).await
}
