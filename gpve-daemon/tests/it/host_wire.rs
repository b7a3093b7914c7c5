//! Recorded answers of real Proxmox VE, replayed against the real server: QEMU, a folder storage, a bridge.
//!
//! The recordings are no part of this repository: `GPVE_WIRE_TOOLS` names the folder of `replay.py` and `compare.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::support::{Daemon, PASSWORD};

/// Parts of the recordings that touch what this version has.
const PARTS: [&str; 11] =
    ["paths", "cluster", "node", "tasks", "storage", "vm-create", "vm-create-bad", "vm-config", "vm-status", "snapshot", "vm-agent"];
/// Share of the answers of existing endpoints that must agree.
const BAR: f64 = 0.80;

#[tokio::test]
async fn answers_agree_with_those_of_proxmox_ve() {
    let Some(tools) = std::env::var_os("GPVE_WIRE_TOOLS").map(PathBuf::from) else {
        println!("SKIP answers_agree_with_those_of_proxmox_ve: GPVE_WIRE_TOOLS does not name the folder of replay.py");
        return;
    };
    for need in ["/usr/bin/qemu-system-x86_64", "/dev/net/tun", "/sys/class/net/vmbr0"] {
        if !Path::new(need).exists() {
            println!("SKIP answers_agree_with_those_of_proxmox_ve: there is no {need}");
            return;
        }
    }
    let work = tempfile::Builder::new().prefix("gw").tempdir_in("/tmp").unwrap();
    let runtime = work.path().join("run");
    let daemon = Daemon::start_with(&["--runtime-dir", runtime.to_str().unwrap()]);
    let recording = work.path().join("rec");
    for part in PARTS {
        replay(&tools, &daemon, work.path(), &recording, part);
    }
    let result = work.path().join("result.json");
    // Its exit status says whether everything agreed.
    let _ =
        Command::new("python3").arg(tools.join("compare.py")).arg(&recording).args(["--set", "A", "--json"]).arg(&result).output().unwrap();
    let differences: Vec<Json> = serde_json::from_slice(&std::fs::read(&result).unwrap()).unwrap();
    report(&answers(&recording), &differences);
}

fn replay(tools: &Path, daemon: &Daemon, work: &Path, recording: &Path, part: &str) {
    let output = Command::new("python3")
        .arg(tools.join("replay.py"))
        .args(["--url", &daemon.url(), "--password", PASSWORD, "--set", "A", "--fast", "--part", part, "--dir"])
        .arg(work.join("storages"))
        .arg("--out")
        .arg(recording)
        .output()
        .unwrap();
    assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Answers by id: whether the endpoint exists here.
fn answers(recording: &Path) -> BTreeMap<String, bool> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(recording).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for answer in text.lines().filter_map(|l| serde_json::from_str::<Json>(l).ok()) {
            let Some(id) = answer["id"].as_str() else { continue };
            let missing = answer["status"] == 501 && answer["reason"].as_str().is_some_and(|r| r.ends_with("not implemented"));
            all.insert(id.to_owned(), !missing);
        }
    }
    all
}

fn report(answers: &BTreeMap<String, bool>, differences: &[Json]) {
    let failed = differences.iter().filter(|d| d["passed"] == false && answers.get(d["id"].as_str().unwrap_or_default()) == Some(&true));
    let failed: Vec<&Json> = failed.collect();
    for one in &failed {
        println!("differs: {} {} {}", one["id"], one["do"], one["differences"]);
    }
    let existing = answers.values().filter(|exists| **exists).count();
    let share = 1.0 - failed.len() as f64 / existing.max(1) as f64;
    println!("{} of {existing} answers of existing endpoints agree ({:.1} %)", existing - failed.len(), share * 100.0);
    assert!(share >= BAR, "only {:.1} % agree", share * 100.0);
}
