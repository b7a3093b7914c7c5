//! The house's rules that a compiler cannot see: which crate may use which, and who may touch processes, clocks and wires.

mod sources;
#[cfg(test)]
mod tests;
mod weight;

use std::fmt;

use crate::failure::{Failure, Result};
use crate::place;
use crate::program::{Program, say};

/// A crate of the workspace and the crates it may depend on, beside the ones that everybody may. `ARCHITECTURE.md` shows the same arrows.
struct Layer {
    name: &'static str,
    uses: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { name: "gpve-core", uses: &[] },
    Layer { name: "gpve-exec", uses: &[] },
    Layer { name: "gpve-auth", uses: &["gpve-core"] },
    Layer { name: "gpve-store", uses: &["gpve-core"] },
    Layer { name: "gpve-net", uses: &["gpve-core", "gpve-exec"] },
    Layer { name: "gpve-qmp", uses: &["gpve-core", "gpve-exec"] },
    Layer { name: "gpve-storage", uses: &["gpve-core", "gpve-exec"] },
    Layer { name: "gpve-api", uses: &["gpve-auth", "gpve-core"] },
    Layer { name: "gpve", uses: &["gpve-api", "gpve-core", "gpve-exec", "gpve-net", "gpve-qmp", "gpve-storage", "gpve-store"] },
    Layer {
        name: "gpve-daemon",
        uses: &["gpve", "gpve-api", "gpve-auth", "gpve-core", "gpve-exec", "gpve-net", "gpve-qmp", "gpve-storage", "gpve-store"],
    },
    // What an embedder may use; the daemon's own parts are not among it.
    Layer {
        name: "gpve-examples",
        uses: &["gpve-api", "gpve-auth", "gpve-core", "gpve-exec", "gpve-net", "gpve-qmp", "gpve-storage", "gpve-store"],
    },
    Layer { name: "xtask", uses: &[] },
];

/// Foreign crates that only some of ours may depend on (for anything but tests and benches).
const FOREIGN: &[(&[&str], &[&str], &str)] = &[
    (&["rusqlite", "redb", "etcd-client"], &["gpve-store"], "only gpve-store makes state durable"),
    (
        &["axum", "hyper", "hyper-util", "reqwest", "tower", "tokio-tungstenite", "http", "tonic"],
        &["gpve-api", "gpve-daemon"],
        "only the API and the daemon know HTTP",
    ),
    (&["qapi", "qapi-spec", "qapi-qmp"], &["gpve-qmp"], "only gpve-qmp knows QMP"),
    (&["rtnetlink", "netlink-packet-route", "nftnl", "mnl"], &["gpve-net"], "only gpve-net talks to the kernel's network"),
    (&["clap", "comfy-table", "tracing-subscriber"], &["gpve-daemon"], "libraries have no command line and no log output of their own"),
    (&["command-fds", "close_fds"], &["gpve-exec"], "only gpve-exec starts programs"),
    (&["ring", "openssl", "openssl-sys", "native-tls"], &[], "one crypto library: aws-lc-rs"),
];

/// A crate that must not have a runtime: it decides, it does not act.
const PURE: &[&str] = &["gpve-auth"];

/// One breach of the rules.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    place: String,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.rule)
    }
}

/// A member of the workspace as `cargo metadata` tells it: its name and what it depends on outside of tests.
struct Member {
    name: String,
    dependencies: Vec<String>,
}

/// Checks the whole workspace; the failure lists every breach.
pub(crate) fn check() -> Result {
    let mut breaches: Vec<Breach> = members()?.iter().flat_map(arrows).collect();
    breaches.extend(sources::breaches(place::root())?);
    breaches.sort();
    if breaches.is_empty() {
        say(format!("gpve-core stands on {} crates", weight::check()?));
        return Ok(());
    }
    let lines: Vec<String> = breaches.iter().map(|breach| format!("  {breach}")).collect();
    Err(Failure::new(format!("{} breaches of the layers:\n{}", breaches.len(), lines.join("\n"))))
}

fn members() -> Result<Vec<Member>> {
    let metadata = Program::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).directory(place::root()).read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let member = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        // A dev-dependency's kind is "dev"; an ordinary one's is null.
        let ours = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        Member { name: text(&package["name"]), dependencies: ours.map(|dependency| text(&dependency["name"])).collect() }
    };
    Ok(packages.iter().map(member).collect())
}

fn arrows(member: &Member) -> Vec<Breach> {
    let breach = |rule: String| Breach { place: format!("{}/Cargo.toml", member.name), rule };
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == member.name) else {
        return vec![breach("this crate has no place in the table of layers (xtask/src/layers.rs)".to_owned())];
    };
    let mut breaches = Vec::new();
    for dependency in &member.dependencies {
        if LAYERS.iter().any(|layer| layer.name == dependency) && !layer.uses.contains(&dependency.as_str()) {
            breaches.push(breach(format!("must not depend on {dependency}; it may use {:?}", layer.uses)));
        }
        let foreign = FOREIGN.iter().find(|(names, owners, _)| names.contains(&dependency.as_str()) && !owners.contains(&layer.name));
        if let Some((_, _, reason)) = foreign {
            breaches.push(breach(format!("must not depend on {dependency}: {reason}")));
        }
        if dependency == "tokio" && PURE.contains(&layer.name) {
            breaches.push(breach("must not depend on tokio: it decides, it does not act".to_owned()));
        }
    }
    breaches
}
