//! Guests: lists and current state.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

/// A guest in the list of a node.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GuestEntry {
    /// Number.
    pub vmid: u32,
    /// Name; `VM 100` for a guest without one.
    pub name: String,
    /// `running` or `stopped`. A paused guest is running; see `qmpstatus`.
    pub status: &'static str,
    /// `a;b`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// 1 for a template, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<u8>,
    /// Why changes are refused, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Processors.
    pub cpus: u32,
    /// Processors in use.
    pub cpu: f64,
    /// Memory in bytes.
    pub maxmem: u64,
    /// Memory in use, as the guest tells.
    pub mem: u64,
    /// Memory of the host in use.
    pub memhost: u64,
    /// Size of the boot disk.
    pub maxdisk: u64,
    /// Always 0 for virtual machines.
    pub disk: u64,
    /// Bytes received.
    pub netin: u64,
    /// Bytes sent.
    pub netout: u64,
    /// Seconds since start; 0 when stopped.
    pub uptime: u64,
    /// 1 if it has a serial port, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u8>,
    /// Smallest memory in bytes that ballooning may leave, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balloon_min: Option<u64>,
    /// Weight in ballooning, if `balloon_min` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u32>,
    /// State in QEMU's words, when asked for in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qmpstatus: Option<String>,
    /// Of a running guest.
    #[serde(flatten)]
    pub running: Option<GuestNow>,
}

/// Process and pressure of a running guest.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GuestNow {
    /// Process.
    pub pid: u32,
    /// Pressure.
    #[serde(flatten)]
    pub pressure: Pressure,
}

/// Share of time that tasks of the guest waited, in percent.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(missing_docs, reason = "some: at least one task waited; full: all did")]
pub struct Pressure {
    pub pressurecpusome: f64,
    pub pressurecpufull: f64,
    pub pressureiosome: f64,
    pub pressureiofull: f64,
    pub pressurememorysome: f64,
    pub pressurememoryfull: f64,
}

/// Current state of one virtual machine. `qmpstatus` of the entry is always set.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VmCurrent {
    /// As in the list.
    #[serde(flatten)]
    pub entry: GuestEntry,
    /// High availability.
    pub ha: Json,
    /// 1 if the guest agent is enabled, else absent.
    #[serde(flatten)]
    pub agent: AgentFlag,
    /// Of a running guest.
    #[serde(flatten)]
    pub running: Option<GuestRunning>,
}

/// 1 if the guest agent is enabled, else absent.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct AgentFlag {
    /// See the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<u8>,
}

/// What only QEMU knows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GuestRunning {
    /// Target of the balloon in bytes; absent without a balloon device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balloon: Option<u64>,
    /// What the balloon device tells: at least `actual` and `max_mem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballooninfo: Option<Json>,
    /// QEMU's statistics by drive, as `query-blockstats` gives them.
    pub blockstat: BTreeMap<String, Json>,
    /// Bytes read from disks.
    pub diskread: u64,
    /// Bytes written to disks.
    pub diskwrite: u64,
    /// `{netin, netout}` by host interface.
    pub nics: BTreeMap<String, Json>,
    /// QEMU's version.
    #[serde(rename = "running-qemu")]
    pub running_qemu: String,
    /// Machine type with version.
    #[serde(rename = "running-machine")]
    pub running_machine: String,
    /// Extras of Proxmox VE's own QEMU.
    #[serde(rename = "proxmox-support")]
    pub proxmox_support: ProxmoxSupport,
}

/// Extras of Proxmox VE's own QEMU. gpve runs the distribution's, which has none of them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "names of another project's features, all off")]
pub struct ProxmoxSupport {
    pub backup_access_api: bool,
    pub backup_fleecing: bool,
    pub backup_max_workers: bool,
    pub pbs_dirty_bitmap: bool,
    pub pbs_dirty_bitmap_migration: bool,
    pub pbs_dirty_bitmap_savevm: bool,
    pub pbs_library_version: String,
    pub pbs_masterkey: bool,
    pub query_bitmap_info: bool,
}
