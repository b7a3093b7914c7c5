//! `gpvectl vm`.

use gpve_api::client::Request;
use gpve_api::pve2::config::VmConfig;
use gpve_api::routes::Operation as Op;
use gpve_api::v1::{List, SnapshotView, VmObject};
use gpve_core::error::Result;
use serde_json::{Value as Json, json};

use super::args::{CloudInitCommand, Create, Grace, SnapshotCommand, VmCommand};
use super::{Ctx, create, given, text};

pub(super) async fn run(cx: &Ctx, command: VmCommand) -> Result<()> {
    match command {
        VmCommand::Create(switches) => make(cx, &switches).await,
        VmCommand::List { all, selector } => list(cx, all, selector.as_deref()).await,
        VmCommand::Show { name } => cx.output.document(&cx.client.send(cx.of(Op::V1VmRead, &name)).await?),
        VmCommand::Set { name, settings, delete, revert } => set(cx, &name, &settings, &delete, &revert).await,
        VmCommand::CloudInit { command } => cloud_init(cx, command).await,
        VmCommand::Start { name } => action(cx, "start", &name, "started").await,
        VmCommand::Stop { name } => action(cx, "stop", &name, "stopped").await,
        VmCommand::Reset { name } => action(cx, "reset", &name, "reset").await,
        VmCommand::Pause { name } => action(cx, "pause", &name, "paused").await,
        VmCommand::Resume { name } => action(cx, "resume", &name, "resumed").await,
        VmCommand::Shutdown(grace) => graceful(cx, "shutdown", grace, "shut down").await,
        VmCommand::Reboot(grace) => graceful(cx, "reboot", grace, "rebooted").await,
        VmCommand::Delete { name, force } => {
            let request = cx.of(Op::V1VmDelete, &name).param_opt("force", force.then_some("true"));
            cx.carry_out(request, &format!("{name} deleted")).await
        }
        VmCommand::Clone { name, target, vmid, full, snapshot, storage } => {
            let wanted = [
                ("vmid", vmid.map(Json::from)),
                ("full", full.then_some(Json::Bool(true))),
                ("snapshot", snapshot.map(Json::from)),
                ("storage", storage.map(Json::from)),
            ];
            let body = given(json!({ "name": target }), wanted);
            cx.carry_out(cx.of(Op::V1VmClone, &name).document(&body), &format!("{name} cloned to {target}")).await
        }
        VmCommand::Template { name, disk } => {
            let request = cx.of(Op::V1VmTemplate, &name).param_opt("disk", disk.as_deref());
            let done = disk.map_or_else(|| format!("{name} is a template"), |disk| format!("{disk} of {name} is a base"));
            cx.carry_out(request, &done).await
        }
        VmCommand::Snapshot { command } => snapshot(cx, command).await,
        VmCommand::Resize { name, disk, size } => {
            let body = json!({ "disk": disk, "size": size });
            cx.carry_out(cx.of(Op::V1VmResizeDisk, &name).document(&body), &format!("{disk} of {name} resized")).await
        }
        VmCommand::Vnc { name, listen } => super::vnc::serve(cx, &name, listen).await,
        VmCommand::Console { name, port } => super::console::attach(cx, &name, port).await,
    }
}

/// Changes settings through Proxmox VE's dialect, which has names for all of them.
async fn set(cx: &Ctx, name: &str, settings: &[String], delete: &[String], revert: &[String]) -> Result<()> {
    let mut request = by_number(cx, Op::VmConfigUpdate, name).await?;
    for setting in settings {
        let (key, value) = create::pair("setting", setting)?;
        VmConfig::default().put(&key, &value)?;
        request = request.param(&key, value);
    }
    for (param, names) in [("delete", delete), ("revert", revert)] {
        request = request.param_opt(param, (!names.is_empty()).then(|| names.join(",")));
    }
    cx.client.send(request).await?;
    cx.output.note(&format!("{name} changed"));
    Ok(())
}

/// A request of Proxmox VE's dialect, which knows a guest by node and number.
async fn by_number(cx: &Ctx, operation: Op, name: &str) -> Result<Request> {
    let guest = cx.client.send(cx.of(Op::V1VmRead, name)).await?;
    let vmid = guest.pointer("/spec/vmid").map(Json::to_string).unwrap_or_default();
    Ok(Request::to(operation).path("node", text(&guest, "/status/node")).path("vmid", vmid))
}

async fn cloud_init(cx: &Ctx, command: CloudInitCommand) -> Result<()> {
    match command {
        CloudInitCommand::Dump { name, part } => {
            let dump = cx.client.send(by_number(cx, Op::VmCloudInitDump, &name).await?.param("type", part)).await?;
            cx.output.text(dump.as_str().unwrap_or_default())
        }
        CloudInitCommand::Update { name } => {
            cx.client.send(by_number(cx, Op::VmCloudInitUpdate, &name).await?).await?;
            cx.output.note(&format!("cloud-init drive of {name} written"));
            Ok(())
        }
    }
}

async fn make(cx: &Ctx, switches: &Create) -> Result<()> {
    let request = Request::to(Op::V1VmCreate)
        .path("namespace", &cx.namespace)
        .param_opt("dryRun", switches.dry_run.then_some("true"))
        .document(&create::document(switches)?)
        .idempotent(uuid::Uuid::new_v4().to_string());
    let made = cx.client.send(request).await?;
    if switches.dry_run {
        return cx.output.document(&made);
    }
    let name = text(&made, "/metadata/name").to_owned();
    let vmid = made.pointer("/spec/vmid").map(Json::to_string).unwrap_or_default();
    let node = text(&made, "/spec/node").to_owned();
    // The object is there; its task tells when the guest is.
    match task_of(cx, &vmid).await? {
        Some(id) => cx.follow(&id, &format!("{name} created as vm {vmid} on {node}")).await?,
        None => cx.output.note(&format!("{name} created as vm {vmid} on {node}")),
    }
    if cx.output.is_for_programs() { cx.output.document(&cx.client.send(cx.of(Op::V1VmRead, &name)).await?) } else { Ok(()) }
}

/// The task that makes a guest, while it is among the newest.
pub(super) async fn task_of(cx: &Ctx, vmid: &str) -> Result<Option<String>> {
    let tasks: List<gpve_api::v1::Task> = cx.client.get(Request::to(Op::V1TaskList).param("limit", 200)).await?;
    let made = tasks.items.iter().find(|t| t.vmid.to_string() == vmid && t.kind == "qmcreate");
    Ok(made.map(|t| t.id.to_string()))
}

async fn list(cx: &Ctx, all: bool, selector: Option<&str>) -> Result<()> {
    let namespace = (!all).then_some(cx.namespace.as_str());
    show(cx, &cx.client.list(namespace, selector).await?)
}

/// A list of guests.
pub(super) fn show(cx: &Ctx, list: &List<VmObject>) -> Result<()> {
    let rows = list.items.iter().map(row).collect();
    cx.output.rows(list, &["vmid", "name", "namespace", "phase", "node", "cpus", "memory", "cpu use", "memory use"], rows)
}

fn row(vm: &VmObject) -> Vec<String> {
    let (spec, usage) = (&vm.spec.vm, &vm.status.usage);
    vec![
        vm.spec.vmid.to_string(),
        vm.metadata.name.clone(),
        vm.metadata.namespace.to_string(),
        vm.status.phase.to_string(),
        vm.status.node.to_string(),
        spec.cpu.total().to_string(),
        spec.memory.size.to_string(),
        format!("{:.0} %", usage.cpu_cores * 100.0),
        format!("{} MiB", usage.memory.bytes() >> 20),
    ]
}

async fn action(cx: &Ctx, verb: &str, name: &str, done: &str) -> Result<()> {
    cx.carry_out(cx.of(Op::V1VmAction, name).verb(verb), &format!("{name} {done}")).await
}

async fn graceful(cx: &Ctx, verb: &str, grace: Grace, done: &str) -> Result<()> {
    let Grace { name, timeout, force } = grace;
    let request = cx.of(Op::V1VmAction, &name).verb(verb).param_opt("timeoutSeconds", timeout).param_opt("force", force.then_some("true"));
    cx.carry_out(request, &format!("{name} {done}")).await
}

async fn snapshot(cx: &Ctx, command: SnapshotCommand) -> Result<()> {
    match command {
        SnapshotCommand::Create { name, snapshot, description } => {
            let body = json!({ "name": snapshot, "description": description });
            cx.carry_out(cx.of(Op::V1SnapshotCreate, &name).document(&body), &format!("snapshot {snapshot} of {name} taken")).await
        }
        SnapshotCommand::List { name } => {
            let list: List<SnapshotView> = cx.client.get(cx.of(Op::V1SnapshotList, &name)).await?;
            let row = |s: &SnapshotView| {
                let parent = s.parent.as_ref().map(ToString::to_string).unwrap_or_default();
                vec![s.name.to_string(), s.time.0.to_string(), parent, s.description.clone()]
            };
            let rows = list.items.iter().map(row).collect();
            cx.output.rows(&list, &["name", "time", "parent", "description"], rows)
        }
        SnapshotCommand::Describe { name, snapshot, description } => {
            let body = json!({ "description": description });
            let request = cx.of(Op::V1SnapshotDescribe, &name).path("snapshot", &snapshot).document(&body);
            cx.carry_out(request, &format!("snapshot {snapshot} of {name} described")).await
        }
        SnapshotCommand::Rollback { name, snapshot } => {
            let request = cx.of(Op::V1SnapshotRollback, &name).path("snapshot", &snapshot);
            cx.carry_out(request, &format!("{name} is back at {snapshot}")).await
        }
        SnapshotCommand::Delete { name, snapshot } => {
            let request = cx.of(Op::V1SnapshotDelete, &name).path("snapshot", &snapshot);
            cx.carry_out(request, &format!("snapshot {snapshot} of {name} deleted")).await
        }
    }
}
