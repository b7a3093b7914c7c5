//! Facts and use of the host.

use std::time::Duration;

use async_trait::async_trait;

use super::host::MemHost;
use crate::error::Result;
use crate::ports::{Host, NodeInfo};
use crate::types::{ByteSize, NodeName};

/// The [`Host`] port over a [`MemHost`]: a machine large enough for 5,000 guests, busy with what its guests use.
#[derive(Debug, Clone)]
pub struct MemSampler {
    host: MemHost,
    node: NodeName,
}

impl MemSampler {
    const CPUS: u32 = 1024;
    const MEMORY: ByteSize = ByteSize::from_gib(16 * 1024);

    /// Samples `host` as node `node`.
    pub fn new(host: MemHost, node: NodeName) -> Self {
        Self { host, node }
    }
}

#[async_trait]
impl Host for MemSampler {
    async fn sample(&self) -> Result<NodeInfo> {
        let now = self.host.now();
        let usages: Vec<_> = self.host.state().processes.values().map(|p| p.usage(now)).collect();
        let cores: f64 = usages.iter().map(|u| u.cpu_cores).sum();
        Ok(NodeInfo {
            name: self.node.clone(),
            cpus: Self::CPUS,
            cpu_sockets: 2,
            cpu_model: "gpve simulated processor".to_owned(),
            cpu_mhz: 3000.0,
            cpu_flags: String::new(),
            cpu_used: (cores / f64::from(Self::CPUS)).min(1.0),
            io_wait: 0.0,
            memory: Self::MEMORY,
            memory_used: usages.iter().map(|u| u.memory).sum(),
            swap: ByteSize::ZERO,
            swap_used: ByteSize::ZERO,
            root: ByteSize::from_gib(100),
            root_used: ByteSize::from_gib(10),
            load: [cores; 3],
            uptime_s: now.since(self.host.booted()).max(Duration::from_secs(1)).as_secs(),
            kernel: ["Linux", "0-sim", "#1", "x86_64"].map(str::to_owned),
            qemu_version: None,
            accelerator: None,
            dns: crate::ports::HostDns::default(),
            sampled: now,
        })
    }
}
