//! Nodes.

use serde::Serialize;

/// Version of the API. Clients parse `version` as dotted numbers and switch features by it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Version {
    /// `9.2.11`
    pub version: &'static str,
    /// `9.2`
    pub release: &'static str,
    /// Which build.
    pub repoid: &'static str,
}

impl Version {
    /// The version of Proxmox VE's API that this dialect follows.
    pub const FOLLOWED: Self = Self { version: "9.2.11", release: "9.2", repoid: "67707665" };
}

/// A node in a list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NodeEntry {
    /// Name.
    pub node: String,
    /// `node/pve`
    pub id: String,
    /// `node`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `online`, `offline` or `unknown`.
    pub status: &'static str,
    /// Empty.
    pub level: &'static str,
    /// SHA-256 of its certificate, as pairs of hex digits joined by colons.
    pub ssl_fingerprint: String,
    /// Share of its processors in use.
    pub cpu: f64,
    /// Processors.
    pub maxcpu: u32,
    /// Memory in use.
    pub mem: u64,
    /// Memory in all.
    pub maxmem: u64,
    /// Bytes used of its root file system.
    pub disk: u64,
    /// Size of its root file system.
    pub maxdisk: u64,
    /// Seconds since it started.
    pub uptime: u64,
}

/// Use and hardware of a node. The load is three texts.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as in /proc")]
pub struct NodeStatus {
    pub boot_info: BootInfo,
    pub cpu: f64,
    pub cpuinfo: CpuInfo,
    pub current_kernel: Kernel,
    pub idle: f64,
    pub ksm: Ksm,
    pub kversion: String,
    pub loadavg: [String; 3],
    pub memory: MemoryInfo,
    pub pveversion: String,
    pub rootfs: RootFs,
    pub swap: Swap,
    pub uptime: u64,
    pub wait: f64,
}

/// How the node was booted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BootInfo {
    /// `efi` or `legacy-bios`.
    pub mode: &'static str,
}

/// Shared pages.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Ksm {
    /// Bytes saved.
    pub shared: u64,
}

/// Processors of a node.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "as in /proc/cpuinfo")]
pub struct CpuInfo {
    pub cores: u32,
    pub cpus: u32,
    pub sockets: u32,
    pub model: String,
    pub vendor: String,
    pub family: String,
    pub mhz: String,
    pub flags: String,
    /// `1` with hardware virtualization, else empty.
    pub hvm: String,
    pub user_hz: u32,
}

/// The kernel that runs.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "as in uname")]
pub struct Kernel {
    pub machine: String,
    pub release: String,
    pub sysname: String,
    pub version: String,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(missing_docs, reason = "as in /proc/meminfo")]
pub struct MemoryInfo {
    pub available: u64,
    pub free: u64,
    pub total: u64,
    pub used: u64,
}

/// The root file system in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(missing_docs, reason = "as in statvfs")]
pub struct RootFs {
    pub avail: u64,
    pub free: u64,
    pub total: u64,
    pub used: u64,
}

/// Swap in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(missing_docs, reason = "as in /proc/meminfo")]
pub struct Swap {
    pub free: u64,
    pub total: u64,
    pub used: u64,
}
