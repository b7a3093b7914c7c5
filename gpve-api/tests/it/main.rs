//! What gpve-api promises, through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod answers;
mod apidoc;
#[cfg(feature = "client")]
mod client;
mod conf;
mod config;
mod documents;
mod native;
mod property;
mod recorded;
mod snapshots;
mod wire;

/// Reference data about Proxmox VE, which is no part of this repository: `GPVE_PVE_DATA`, or beside the checkout.
fn reference(path: &str) -> Option<std::path::PathBuf> {
    let data = std::env::var_os("GPVE_PVE_DATA").map(std::path::PathBuf::from);
    let data = data.unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pve"));
    let found = data.join(path);
    if !found.exists() {
        println!("SKIP: no reference data {} (set GPVE_PVE_DATA)", found.display());
    }
    found.exists().then_some(found)
}
