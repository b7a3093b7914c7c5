//! Messages that clients of Proxmox VE look for, word by word.
//!
//! Errors of the engine say the same in gpve's own words; a server of this dialect puts these in their place. Each is the
//! whole message and, through [`Failure`], the reason phrase.

use gpve_core::error::{Error, ErrorKind};
use gpve_core::types::{NodeName, StorageId, Vmid};

use super::Failure;
use crate::route::Refused;

/// go-proxmox waits for an agent until the status line is not exactly this.
pub const AGENT_NOT_RUNNING: &str = "QEMU guest agent is not running";
/// The guest's configuration does not enable the agent.
pub const NO_AGENT: &str = "No QEMU guest agent configured";
/// A change was made on another state than the present.
pub const DIGEST_MISMATCH: &str = "checksum mismatch (file change by other user?)";
/// A running guest cannot become a template.
pub const TEMPLATE_RUNNING: &str = "you can't convert a VM to template if VM is running";

/// There is no such guest.
pub fn no_guest(node: &NodeName, vmid: Vmid) -> String {
    format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
}

/// The number of a guest to be made is taken.
pub fn guest_exists(node: &NodeName, vmid: Vmid) -> String {
    format!("unable to create VM {vmid} - VM {vmid} already exists on node '{node}'")
}

/// The guest does not run.
pub fn not_running(vmid: Vmid) -> String {
    format!("VM {vmid} not running")
}

/// The guest runs, and was to be started.
pub fn already_running(vmid: Vmid) -> String {
    format!("VM {vmid} already running")
}

/// A running guest was to be removed.
pub fn destroy_running(vmid: Vmid) -> String {
    format!("VM {vmid} is running - destroy failed")
}

/// The guest is locked.
pub fn locked(lock: &str) -> String {
    format!("VM is locked ({lock})")
}

/// There is no such snapshot.
pub fn no_snapshot(name: &str) -> String {
    format!("snapshot '{name}' does not exist")
}

/// There is no such storage.
pub fn no_storage(storage: &str) -> String {
    format!("storage '{storage}' does not exist")
}

/// The status of a storage that does not exist; a field is refused there.
pub fn no_storage_status() -> Failure {
    Failure::refused(Refused::one("storage", "No such storage."))
}

/// A storage is disabled.
pub fn storage_disabled(storage: &StorageId) -> String {
    format!("storage '{storage}' is disabled")
}

/// There is no such volume.
pub fn no_volume(volume: &str) -> String {
    format!("volume '{volume}' does not exist")
}

/// There is no such token.
pub fn no_token(name: &str, user: &str) -> String {
    format!("no such token '{name}' for user '{user}'")
}

/// A token of this name exists; a field is refused.
pub fn token_exists() -> Failure {
    Failure::refused(Refused::one("tokenid", "Token already exists."))
}

/// `nextid` was asked about a number that is taken; a field is refused.
pub fn id_taken(vmid: Vmid) -> Failure {
    Failure::refused(Refused::one("vmid", format!("VM {vmid} already exists")))
}

/// There is no such task; a field is refused.
pub fn no_task() -> Failure {
    Failure::refused(Refused::one("upid", "no such task"))
}

/// The name `current` is the present state and cannot be given to a snapshot.
pub fn reserved_snapshot(name: &str) -> String {
    format!("unable to use snapshot name '{name}' (reserved name)")
}

/// The failure for an engine's error about guest `vmid` on `node`: Proxmox VE's words where clients look for them, the
/// engine's own otherwise.
pub fn about_guest(e: &Error, node: &NodeName, vmid: Vmid) -> Failure {
    let subject = e.subject == format!("vm {vmid}");
    match e.kind {
        ErrorKind::NotFound if subject => Failure::new(500, &no_guest(node, vmid)),
        ErrorKind::AlreadyExists if subject => Failure::new(500, &guest_exists(node, vmid)),
        ErrorKind::Conflict => Failure::new(500, DIGEST_MISMATCH),
        _ => Failure::from(e),
    }
}
