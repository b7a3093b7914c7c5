//! `gpvectl apply`, `get` and `delete -f`.

use std::io::Read;
use std::path::Path;

use gpve_api::client::Request;
use gpve_api::routes::Operation as Op;
use gpve_api::v1::WatchType;
use gpve_core::error::{ErrorKind, Result};
use serde_json::Value as Json;

use super::{Ctx, input, text, vm};

/// Largest file of manifests: hundreds of objects.
const FILE_MAX: u64 = 4 << 20;

pub(super) async fn apply(cx: &Ctx, file: &Path, manager: &str, force: bool, dry_run: bool) -> Result<()> {
    for object in read(file)? {
        let (namespace, name) = place(cx, &object)?;
        let request = Request::to(Op::V1VmApply)
            .path("namespace", &namespace)
            .path("name", &name)
            .param("fieldManager", manager)
            .param_opt("force", force.then_some("true"))
            .param_opt("dryRun", dry_run.then_some("true"))
            .document(&object);
        let answer = cx.client.send(request).await?;
        if dry_run {
            cx.output.document(&answer)?;
        } else {
            cx.output
                .note(&format!("virtualmachine {namespace}/{name} applied (vm {})", answer.pointer("/spec/vmid").unwrap_or(&Json::Null)));
        }
    }
    Ok(())
}

pub(super) async fn delete(cx: &Ctx, file: &Path, force: bool) -> Result<()> {
    for object in read(file)? {
        let (namespace, name) = place(cx, &object)?;
        let request =
            Request::to(Op::V1VmDelete).path("namespace", &namespace).path("name", &name).param_opt("force", force.then_some("true"));
        match cx.carry_out(request, &format!("virtualmachine {namespace}/{name} deleted")).await {
            // Deleting what a file names is done when it is not there.
            Err(e) if e.kind == ErrorKind::NotFound => cx.output.note(&format!("virtualmachine {namespace}/{name} is not there")),
            other => other?,
        }
    }
    Ok(())
}

pub(super) async fn get(cx: &Ctx, kind: &str, name: Option<&str>, watch: bool) -> Result<()> {
    if !matches!(kind, "vm" | "vms" | "virtualmachine" | "virtualmachines") {
        return Err(input("kind", format!("'{kind}' is not known: vm")));
    }
    if let Some(name) = name {
        return cx.output.document(&cx.client.send(cx.of(Op::V1VmRead, name)).await?);
    }
    let list = cx.client.list(Some(&cx.namespace), None).await?;
    vm::show(cx, &list)?;
    if !watch {
        return Ok(());
    }
    let mut changes = cx.client.watch(Some(&cx.namespace), None, &list.metadata.resource_version);
    loop {
        let event = changes.next().await?;
        if event.kind == WatchType::Bookmark {
            continue;
        }
        if cx.output.is_for_programs() {
            cx.output.document(&event)?;
        } else if let Some(vm) = &event.object {
            println!("{:?}  {}  {}  {}", event.kind, vm.spec.vmid, vm.metadata.name, vm.status.phase);
        }
    }
}

/// The documents of a file.
fn read(file: &Path) -> Result<Vec<Json>> {
    let failed = |e: &dyn std::fmt::Display| input(&file.display().to_string(), e);
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX).read_to_string(&mut text).map_err(|e| failed(&e))?;
    } else {
        std::fs::File::open(file).and_then(|f| f.take(FILE_MAX).read_to_string(&mut text)).map_err(|e| failed(&e))?;
    }
    let documents: Vec<Json> = serde_saphyr::from_multiple(&text).map_err(|e| failed(&e))?;
    let objects: Vec<Json> = documents.into_iter().filter(|d| !d.is_null()).collect();
    if objects.is_empty() {
        return Err(failed(&"holds no object"));
    }
    Ok(objects)
}

/// Namespace and name of an object.
fn place(cx: &Ctx, object: &Json) -> Result<(String, String)> {
    let kind = text(object, "/kind");
    match kind {
        "VirtualMachine" => {}
        "" => return Err(input("kind", "is missing: it says what the object is, and VirtualMachine is what there is")),
        other => return Err(input("kind", format!("'{other}' is not known: VirtualMachine"))),
    }
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        return Err(input("metadata.name", "is missing"));
    }
    let namespace = Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty()).unwrap_or(&cx.namespace);
    Ok((namespace.to_owned(), name.to_owned()))
}
