//! Facts and use of a Linux host, from `/proc`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{Clock, Host, HostDns, NodeInfo};
use gpve_core::types::{ByteSize, NodeName};

/// The host that this process runs on.
pub struct LinuxHost {
    name: NodeName,
    proc: PathBuf,
    clock: Arc<dyn Clock>,
    qemu_version: Option<String>,
    accelerator: Option<String>,
    /// CPU time in ticks at the last sample: all, idle, waiting for devices.
    last: Mutex<Option<[u64; 3]>>,
}

impl LinuxHost {
    /// The host, called `name`.
    pub fn new(name: NodeName, clock: Arc<dyn Clock>) -> Self {
        Self { name, proc: "/proc".into(), clock, qemu_version: None, accelerator: None, last: Mutex::new(None) }
    }

    /// With what is known of QEMU here.
    #[must_use]
    pub fn with_qemu(mut self, version: Option<String>, accelerator: Option<String>) -> Self {
        (self.qemu_version, self.accelerator) = (version, accelerator);
        self
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.proc.join(file);
        std::fs::read_to_string(&path).map_err(|e| Error::new(ErrorKind::Unavailable, "host.sample", format!("{}: {e}", path.display())))
    }

    /// Shares of CPU time in use and waiting since the last call.
    fn cpu_use(&self, stat: &str) -> (f64, f64) {
        let now = cpu_ticks(stat);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(now).unwrap_or([0; 3]);
        let [all, idle, wait] = [0, 1, 2].map(|i| now[i].saturating_sub(before[i]) as f64);
        if all == 0.0 { (0.0, 0.0) } else { (((all - idle) / all).clamp(0.0, 1.0), (wait / all).clamp(0.0, 1.0)) }
    }
}

#[async_trait]
impl Host for LinuxHost {
    async fn sample(&self) -> Result<NodeInfo> {
        let (cpuinfo, meminfo) = (self.read("cpuinfo")?, self.read("meminfo")?);
        let (cpu_used, io_wait) = self.cpu_use(&self.read("stat")?);
        let mem = |key: &str| ByteSize::from_kib(meminfo_kib(&meminfo, key));
        let (memory, swap) = (mem("MemTotal"), mem("SwapTotal"));
        let root = rustix::fs::statvfs("/").map_err(|e| Error::new(ErrorKind::Unavailable, "host.sample", e.to_string()))?;
        let bytes = |blocks: u64| ByteSize::from_bytes(blocks.saturating_mul(root.f_frsize));
        let uname = rustix::system::uname();
        let words = [uname.sysname(), uname.release(), uname.version(), uname.machine()];
        Ok(NodeInfo {
            name: self.name.clone(),
            cpus: u32::try_from(cpuinfo.lines().filter(|l| l.starts_with("processor")).count()).unwrap_or(u32::MAX),
            cpu_sockets: sockets(&cpuinfo),
            cpu_model: field(&cpuinfo, "model name").to_owned(),
            cpu_mhz: field(&cpuinfo, "cpu MHz").parse().unwrap_or(0.0),
            cpu_flags: field(&cpuinfo, "flags").to_owned(),
            cpu_used,
            io_wait,
            memory,
            memory_used: ByteSize::from_bytes(memory.bytes().saturating_sub(mem("MemAvailable").bytes())),
            swap,
            swap_used: ByteSize::from_bytes(swap.bytes().saturating_sub(mem("SwapFree").bytes())),
            root: bytes(root.f_blocks),
            root_used: bytes(root.f_blocks.saturating_sub(root.f_bfree)),
            load: load(&self.read("loadavg")?),
            uptime_s: self.read("uptime")?.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0),
            kernel: words.map(|w| w.to_string_lossy().into_owned()),
            qemu_version: self.qemu_version.clone(),
            accelerator: self.accelerator.clone(),
            dns: std::fs::read_to_string("/etc/resolv.conf").map(|text| dns(&text)).unwrap_or_default(),
            sampled: self.clock.now(),
        })
    }
}

/// What `resolv.conf` says; a resolver of the host alone serves no guest.
fn dns(text: &str) -> HostDns {
    let words = |key: &str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        lines.filter(|(k, _)| *k == key).map(|(_, rest)| rest.trim().to_owned()).collect::<Vec<_>>()
    };
    let is_of_host = |server: &&String| server.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    HostDns {
        servers: words("nameserver").iter().filter(|server| !is_of_host(server)).filter_map(|server| server.parse().ok()).collect(),
        search_domain: words("search").last().or(words("domain").last()).and_then(|domains| domains.parse().ok()),
    }
}

/// All, idle and waiting ticks of the first line of `/proc/stat`.
fn cpu_ticks(stat: &str) -> [u64; 3] {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is counted in user time already.
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0);
    [ticks.iter().take(8).sum(), at(3) + at(4), at(4)]
}

fn meminfo_kib(meminfo: &str, key: &str) -> u64 {
    let line = meminfo.lines().find(|l| l.strip_prefix(key).is_some_and(|r| r.starts_with(':')));
    line.and_then(|l| l.split_whitespace().nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn field<'t>(cpuinfo: &'t str, key: &str) -> &'t str {
    let line = cpuinfo.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key));
    line.and_then(|l| l.split_once(':')).map_or("", |(_, v)| v.trim())
}

fn sockets(cpuinfo: &str) -> u32 {
    let ids: std::collections::BTreeSet<&str> = cpuinfo.lines().filter(|l| l.starts_with("physical id")).collect();
    u32::try_from(ids.len().max(1)).unwrap_or(1)
}

fn load(loadavg: &str) -> [f64; 3] {
    let mut numbers = loadavg.split_whitespace().map(|n| n.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_time_is_not_use() {
        assert_eq!(cpu_ticks("cpu  10 0 5 80 5 0 0 0 3 0\ncpu0 …"), [100, 85, 5]);
    }

    #[test]
    fn the_hosts_name_servers_are_told_to_guests_unless_only_the_host_reaches_them() {
        let told = dns("# made by hand\nsearch lan example.com\nnameserver 127.0.0.53\nnameserver\t9.9.9.9\nnameserver fe80::1%eth0\n");
        assert_eq!(told.servers.iter().map(|s| s.as_str()).collect::<Vec<_>>(), ["9.9.9.9"]);
        assert_eq!(told.search_domain.unwrap().as_str(), "lan example.com");
        assert_eq!(dns(""), HostDns::default());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let meminfo = "MemTotal:  24 kB\nMemAvailable:  10 kB\n";
        assert_eq!((meminfo_kib(meminfo, "MemTotal"), meminfo_kib(meminfo, "Mem")), (24, 0));
        assert_eq!(field("model\t\t: 85\nmodel name\t: Fast CPU\n", "model name"), "Fast CPU");
        assert_eq!(load("0.50 1.25 2.00 1/200 4242"), [0.5, 1.25, 2.0]);
    }
}
