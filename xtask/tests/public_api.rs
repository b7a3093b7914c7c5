//! The public API of the libraries, item by item, as recorded in `xtask/public-api`: a change shows in review and decides the next version.
//!
//! `GPVE_BLESS=1 cargo test -p xtask --test public_api` records it anew; look at the difference.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test, which runs rustdoc")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of rustdoc's JSON that the crate `public-api` reads; nightly toolchains of other times write others.
const FORMAT: u64 = 57;

#[test]
fn gpve_core() {
    is_as_recorded("gpve-core", &["testing"]);
}

#[test]
fn gpve_exec() {
    is_as_recorded("gpve-exec", &[]);
}

#[test]
fn gpve_storage() {
    is_as_recorded("gpve-storage", &[]);
}

#[test]
fn gpve_net() {
    is_as_recorded("gpve-net", &[]);
}

#[test]
fn gpve_qmp() {
    is_as_recorded("gpve-qmp", &["testing"]);
}

#[test]
fn gpve_store() {
    is_as_recorded("gpve-store", &[]);
}

#[test]
fn gpve_auth() {
    is_as_recorded("gpve-auth", &[]);
}

#[test]
fn gpve_api() {
    is_as_recorded("gpve-api", &["client"]);
}

#[test]
fn gpve() {
    is_as_recorded("gpve", &[]);
}

#[test]
fn gpve_daemon() {
    is_as_recorded("gpve-daemon", &[]);
}

#[test]
fn every_published_crate_is_recorded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let members = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    for crate_name in members.filter(|name| name.starts_with("gpve") && root.join(name).join("src/lib.rs").is_file()) {
        assert!(root.join(format!("xtask/public-api/{crate_name}.txt")).is_file(), "no test records the public API of {crate_name}");
    }
}

fn is_as_recorded(package: &str, features: &[&str]) {
    let json = match rustdoc(package, features) {
        Ok(json) => json,
        Err(reason) => return println!("SKIP public API of {package}: {reason}"),
    };
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_auto_derived_impls(true)
        .omit_auto_trait_impls(true)
        .omit_blanket_impls(true)
        .build()
        .unwrap();
    let now: String = api.items().fold(String::new(), |mut text, item| {
        writeln!(text, "{item}").unwrap();
        text
    });
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("public-api/{package}.txt"));
    if std::env::var_os("GPVE_BLESS").is_some() {
        fs::write(golden, now).unwrap();
        return;
    }
    let recorded = fs::read_to_string(&golden).unwrap_or_default();
    let only = |a: &str, b: &str, sign: char| -> Vec<String> {
        let there: std::collections::HashSet<&str> = b.lines().collect();
        a.lines().filter(|line| !there.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut changes = only(&recorded, &now, '-');
    changes.extend(only(&now, &recorded, '+'));
    assert!(changes.is_empty(), "the public API of {package} changed; if it shall, bless it:\n{}", changes.join("\n"));
}

/// The file in which a nightly rustdoc describes the package, or why there is none that can be read.
fn rustdoc(package: &str, features: &[&str]) -> Result<PathBuf, String> {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustdoc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        return Err("no nightly toolchain; get it with `rustup toolchain install nightly`".to_owned());
    }
    // Another compiler's target: the two would throw away each other's work.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-api");
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "rustdoc", "--quiet", "--package", package, "--lib", "--features", &features.join(",")]);
    command.args(["--", "-Zunstable-options", "--output-format=json"]);
    command.env("CARGO_TARGET_DIR", &target).env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTFLAGS");
    let output = command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).output().unwrap();
    assert!(output.status.success(), "rustdoc of {package}: {}", String::from_utf8_lossy(&output.stderr));
    let json = target.join("doc").join(format!("{}.json", package.replace('-', "_")));
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    match &written["format_version"] {
        format if *format == FORMAT => Ok(json),
        format => Err(format!("this nightly's rustdoc writes JSON of version {format}, and version {FORMAT} is read")),
    }
}
