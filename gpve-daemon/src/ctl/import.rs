//! `gpvectl import`: guests from elsewhere.

use std::io::Read;
use std::path::{Path, PathBuf};

use gpve_api::client::Request;
use gpve_api::pve2::conf::{ConfFile, Imported, Mode, Parsed};
use gpve_api::routes::Operation as Op;
use gpve_api::v1::API_VERSION;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::types::Vmid;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::args::{ImportCommand, PveConf};
use super::{Ctx, input, text, vm};

/// Most files of one run: more guests than a node has.
const MAX_FILES: usize = 10_000;

/// What became of one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    file: String,
    vmid: Vmid,
    name: String,
    /// The guest was made; in a dry run, it could be.
    imported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Settings taken over.
    taken: Vec<String>,
    /// Settings that are kept and shown, and have no effect.
    without_effect: Vec<String>,
    /// Settings that the guest is without, and why.
    refused: Vec<String>,
    /// Lines that Proxmox VE would not take either.
    passed_over: Vec<String>,
    /// Settings that waited for the next start, and are in force now.
    pending: Vec<String>,
    /// Snapshots, which are not taken over.
    snapshots: Vec<String>,
    /// Work on snapshots that the node had not ended.
    unfinished: Vec<String>,
}

pub(super) async fn run(cx: &Ctx, command: ImportCommand) -> Result<()> {
    let ImportCommand::PveConf(switches) = command;
    let files = files(&switches.paths)?;
    if switches.vmid.is_some() && files.len() != 1 {
        return Err(input("--vmid", "is for one file"));
    }
    let mut reports = Vec::new();
    for file in &files {
        let report = one(cx, &switches, file).await?;
        if !cx.output.is_for_programs() {
            show(&report, switches.dry_run);
        }
        reports.push(report);
    }
    if cx.output.is_for_programs() {
        cx.output.document(&reports)?;
    }
    let failed = reports.iter().filter(|r| !r.imported).count();
    match failed {
        0 => Ok(()),
        n => Err(Error::new(ErrorKind::FailedPrecondition, "import", format!("{n} of {} files were not imported", reports.len()))),
    }
}

/// The files that the paths name: files as they are, of folders those called NUMBER.conf.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |e: std::io::Error| input(&path.display().to_string(), e);
        if !std::fs::metadata(path).map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(failed)?.take(MAX_FILES);
        let mut found: Vec<(Vmid, PathBuf)> = Vec::new();
        for entry in entries {
            let file = entry.map_err(failed)?.path();
            found.extend(number(&file).map(|vmid| (vmid, file)));
        }
        if found.is_empty() {
            return Err(input(&path.display().to_string(), "holds no file such as 100.conf"));
        }
        found.sort();
        files.extend(found.into_iter().map(|(_, file)| file));
    }
    Ok(files)
}

fn number(file: &Path) -> Option<Vmid> {
    let is_conf = file.extension().is_some_and(|e| e == "conf");
    file.file_stem().filter(|_| is_conf)?.to_str()?.parse().ok()
}

async fn one(cx: &Ctx, switches: &PveConf, file: &Path) -> Result<Report> {
    let shown = file.display().to_string();
    let given = switches.vmid.map(Vmid::try_from).transpose().map_err(|e| input("--vmid", e))?;
    let vmid = given.or_else(|| number(file)).ok_or_else(|| input(&shown, "is not called NUMBER.conf: say its number with --vmid"))?;
    let mode = if switches.strict { Mode::Strict } else { Mode::Lenient };
    let parsed = ConfFile::parse(vmid, &read(file)?, mode).map_err(|e| input(&shown, format!("line {}: {e}", e.line)))?;
    let imported = parsed.file.import();
    if let Some((key, why)) = imported.refused.first().filter(|_| switches.strict) {
        return Err(input(&shown, format!("{key}: {why}")));
    }
    let mut report = report(shown, vmid, &parsed, &imported);
    match make(cx, switches, vmid, &report.name, &imported).await {
        Ok(()) => report.imported = true,
        // What is wrong with one guest does not keep the others out.
        Err(e) if matches!(e.kind, ErrorKind::Unauthenticated | ErrorKind::Unavailable) => return Err(e),
        Err(e) => report.error = Some(e.to_string()),
    }
    Ok(report)
}

fn read(file: &Path) -> Result<String> {
    let failed = |e: std::io::Error| input(&file.display().to_string(), e);
    let mut bytes = Vec::new();
    let limit = ConfFile::MAX_BYTES as u64 + 1;
    std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| input(&file.display().to_string(), e))
}

fn report(file: String, vmid: Vmid, parsed: &Parsed, imported: &Imported) -> Report {
    let name = imported.definition.name.as_ref().map_or_else(|| format!("vm-{vmid}"), ToString::to_string);
    Report {
        file,
        vmid,
        name,
        imported: false,
        error: None,
        taken: imported.taken.clone(),
        without_effect: imported.without_effect.clone(),
        refused: imported.refused.iter().map(|(key, why)| format!("{key}: {why}")).collect(),
        passed_over: parsed.passed_over.iter().map(|p| format!("line {}: {}", p.line, p.reason)).collect(),
        pending: imported.pending.clone(),
        snapshots: imported.snapshots.clone(),
        unfinished: imported.mended.iter().map(ToString::to_string).collect(),
    }
}

async fn make(cx: &Ctx, switches: &PveConf, vmid: Vmid, name: &str, imported: &Imported) -> Result<()> {
    let mut spec = serde_json::to_value(&imported.definition.spec).map_err(|e| Error::internal("import", e.to_string()))?;
    spec["vmid"] = json!(vmid);
    if let Some(node) = &switches.node {
        spec["node"] = json!(node);
    }
    let document = json!({ "apiVersion": API_VERSION, "kind": "VirtualMachine", "metadata": { "name": name }, "spec": spec });
    let request = Request::to(Op::V1VmCreate)
        .path("namespace", &cx.namespace)
        .param_opt("dryRun", switches.dry_run.then_some("true"))
        .document(&document)
        .idempotent(uuid::Uuid::new_v4().to_string());
    let made = cx.client.send(request).await?;
    if switches.dry_run {
        return Ok(());
    }
    let number = made.pointer("/spec/vmid").map(Json::to_string).unwrap_or_default();
    match vm::task_of(cx, &number).await? {
        Some(id) => cx.follow(&id, &format!("{} created as vm {number}", text(&made, "/metadata/name"))).await,
        None => Ok(()),
    }
}

fn show(report: &Report, dry_run: bool) {
    let outcome = match (&report.error, dry_run) {
        (Some(why), _) => format!("not imported: {why}"),
        (None, true) => "can be imported".to_owned(),
        (None, false) => "imported".to_owned(),
    };
    println!("{}: vm {} ({}) {outcome}; {} settings", report.file, report.vmid, report.name, report.taken.len());
    let lists = [
        ("without effect", &report.without_effect),
        ("were pending, are in force", &report.pending),
        ("snapshots not taken over", &report.snapshots),
    ];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        println!("  {what}: {}", names.join(", "));
    }
    for unfinished in &report.unfinished {
        println!("  {unfinished}");
    }
    for refused in report.refused.iter().chain(&report.passed_over) {
        println!("  left out: {refused}");
    }
}
