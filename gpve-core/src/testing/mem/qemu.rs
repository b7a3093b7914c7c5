//! The fake hypervisor.

use async_trait::async_trait;

use super::host::{MemHost, State};
use super::live::MemLive;
use super::process::Process;
use crate::error::{Error, Result};
use crate::ports::{GuestDriver, Live, OpCx, ProcessId, RunRecord, VolumeAccess, Wired};
use crate::types::Vmid;

/// Launches guests in memory. Holds nothing: a new one over the same host adopts what an old one launched.
#[derive(Debug, Clone)]
pub struct MemQemu {
    host: MemHost,
}

impl MemQemu {
    /// A driver on `host`.
    pub fn new(host: MemHost) -> Self {
        Self { host }
    }

    fn live(&self, process: &Process) -> Box<dyn Live> {
        let record = RunRecord {
            vmid: process.vmid(),
            process: process.id.clone(),
            started: process.launched,
            runtime_dir: format!("/run/gpve/mem/{}", process.vmid()),
            ports: process.ports.values().map(|p| p.port.id).collect(),
            detail: serde_json::Value::Null,
        };
        Box::new(MemLive::new(self.host.clone(), record, process))
    }
}

#[async_trait]
impl GuestDriver for MemQemu {
    fn name(&self) -> &str {
        "mem"
    }

    async fn launch(&self, cx: &OpCx, guest: Wired) -> Result<Box<dyn Live>> {
        let vmid = guest.vm().vmid;
        let now = self.host.now();
        self.host
            .effect(cx, "guest.launch", format!("vm {vmid}"), |state| {
                check_wiring(state, &guest)?;
                if state.processes.values().any(|p| p.vmid() == vmid) {
                    return Err(Error::already_exists("guest.launch", format!("process of vm {vmid}")));
                }
                state.last_pid += 1;
                let pid = state.last_pid;
                let id = ProcessId { pid, start_ticks: u64::from(pid) * 100, boot_id: state.boot_id() };
                let script = state.scripts.get(&vmid).cloned().unwrap_or_default();
                let process = Process::launch(id, guest, script, now);
                let live = self.live(&process);
                state.processes.insert(pid, process);
                state.runtime_dirs.insert(vmid);
                Ok(live)
            })
            .await
    }

    async fn adopt(&self, cx: &OpCx, record: &RunRecord) -> Result<Option<Box<dyn Live>>> {
        self.host
            .look(cx, "guest.adopt", |state| {
                let process = state.processes.get(&record.process.pid);
                Ok(process.filter(|p| p.id == record.process && p.vmid() == record.vmid).map(|p| self.live(p)))
            })
            .await
    }

    async fn strays(&self, cx: &OpCx, known: &[RunRecord]) -> Result<Vec<Box<dyn Live>>> {
        let known: std::collections::BTreeSet<u32> = known.iter().map(|r| r.process.pid).collect();
        self.host
            .look(cx, "guest.strays", |state| {
                Ok(state.processes.values().filter(|p| !known.contains(&p.id.pid)).map(|p| self.live(p)).collect())
            })
            .await
    }

    async fn clean(&self, cx: &OpCx, vmid: Vmid) -> Result<()> {
        self.host
            .effect(cx, "guest.clean", format!("vm {vmid}"), |state| {
                if state.processes.values().any(|p| p.vmid() == vmid) {
                    return Err(Error::precondition("guest.clean", format!("vm {vmid} still runs")));
                }
                state.runtime_dirs.remove(&vmid);
                Ok(())
            })
            .await
    }
}

/// A process opens its volumes and ports at launch; what is not there cannot be opened.
fn check_wiring(state: &mut State, guest: &Wired) -> Result<()> {
    for attached in guest.volumes().values() {
        if !matches!(attached.access, VolumeAccess::Memory { .. }) {
            continue;
        }
        if state.volume("guest.launch", &attached.volume)?.attached.is_none() {
            return Err(Error::precondition("guest.launch", format!("volume {} is not attached", attached.volume)));
        }
    }
    for attached in guest.ports().values() {
        if attached.port.access == crate::ports::PortAccess::Memory && !state.ports.contains_key(&attached.port.id) {
            return Err(Error::not_found("guest.launch", format!("port {}", attached.port.id)));
        }
    }
    Ok(())
}
