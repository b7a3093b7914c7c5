//! A guest that runs: the port's [`Live`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{
    Agent, ByteStream, Console, ConsoleKind, Exit, Hotplug, KILL_TIMEOUT, LimitSpec, Live, LiveEvents, LiveSnapshots, LiveStatus, OpCx,
    RunRecord, RunState,
};
use gpve_core::types::{ByteSize, DiskSlot, GuestUsage, NicIndex, SerialPort, Vmid};
use gpve_exec::Signal;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::argv::blockdev::format_node;
use super::argv::compose::has_display;
use super::console::Consoles;
use super::driver::Inner;
use super::fault;
use super::monitor::Monitor;
use super::procfs::{ProcessUse, tap_traffic};
use super::record::Detail;
use super::runtime_dir::RuntimeDir;
use crate::protocol::agent::AgentClient;
use crate::protocol::client::QmpClient;
use crate::protocol::error::QmpError;

/// How long QEMU may take to hear that it should end, and again to write its caches and leave; then it is killed.
const QUIT_GRACE: Duration = Duration::from_secs(2);

/// A live guest. Dropping it leaves the guest running and its monitor to whoever adopts it.
#[derive(Debug)]
pub(super) struct QemuLive {
    record: RunRecord,
    detail: Detail,
    driver: Arc<Inner>,
    monitor: Arc<Monitor>,
    follower: AbortHandle,
    consoles: Consoles,
    agent: Option<AgentClient>,
    current: Mutex<Current>,
    last_sample: Mutex<Option<(Instant, Duration)>>,
}

/// What changes while it runs.
#[derive(Debug)]
struct Current {
    /// Its disks and drives, with the layout of their bytes where there is a medium.
    disks: BTreeMap<DiskSlot, Option<String>>,
    /// Its cards.
    nics: BTreeSet<NicIndex>,
    /// Limits of its process.
    limits: LimitSpec,
}

impl Drop for QemuLive {
    fn drop(&mut self) {
        self.follower.abort();
        self.monitor.forget_connection();
    }
}

impl QemuLive {
    /// Takes up a guest, launched just now or adopted. Call within a tokio runtime.
    pub(super) fn new(record: RunRecord, detail: Detail, monitor: Monitor, driver: Arc<Inner>, is_new: bool) -> Self {
        let dir = RuntimeDir::at(&*record.runtime_dir);
        let sockets = detail.vm.serials.iter().filter(|(_, port)| **port == SerialPort::Socket);
        let serials = sockets.map(|(number, _)| (*number, dir.serial(*number)));
        let consoles = Consoles::new(serials, has_display(&detail.vm).then(|| dir.vnc()));
        let agent = detail.vm.agent.as_ref().map(|_| AgentClient::new(dir.agent(), record.started.millis()));
        let monitor = Arc::new(monitor);
        let (follow, watch) = (Arc::clone(&monitor).follow(is_new), Arc::clone(&monitor).watch());
        let follower = tokio::spawn(async move {
            tokio::select! {
                () = follow => {}
                () = watch => {}
            }
        });
        let follower = follower.abort_handle();
        let format = |slot: &DiskSlot| (*slot, detail.formats.get(slot).cloned());
        let current = Current {
            disks: detail.vm.disks.keys().map(format).collect(),
            nics: detail.vm.networks.keys().copied().collect(),
            limits: detail.limits.clone(),
        };
        Self { record, detail, monitor, follower, consoles, agent, driver, current: Mutex::new(current), last_sample: Mutex::default() }
    }

    pub(super) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    pub(super) fn driver(&self) -> &Inner {
        &self.driver
    }

    pub(super) fn detail(&self) -> &Detail {
        &self.detail
    }

    pub(super) fn vmid(&self) -> Vmid {
        self.record.vmid
    }

    pub(super) fn agent_client(&self) -> Option<&AgentClient> {
        self.agent.as_ref()
    }

    /// The layout of a disk's bytes; `None` without the disk or a medium in it.
    pub(super) fn format(&self, slot: DiskSlot) -> Option<String> {
        self.current().disks.get(&slot).cloned().flatten()
    }

    pub(super) fn has_disk(&self, slot: DiskSlot) -> bool {
        self.current().disks.contains_key(&slot)
    }

    pub(super) fn has_nic(&self, index: NicIndex) -> bool {
        self.current().nics.contains(&index)
    }

    pub(super) fn disk_added(&self, slot: DiskSlot, format: Option<String>) {
        self.current().disks.insert(slot, format);
    }

    pub(super) fn disk_removed(&self, slot: DiskSlot) {
        self.current().disks.remove(&slot);
    }

    pub(super) fn nic_added(&self, index: NicIndex) {
        self.current().nics.insert(index);
    }

    pub(super) fn nic_removed(&self, index: NicIndex) {
        self.current().nics.remove(&index);
    }

    /// Reads from QEMU what hardware there is: it may have changed since the record was written.
    pub(super) async fn refresh(&self) -> Result<(), QmpError> {
        let client = self.monitor.client().await?;
        let path = json!({"path": "/machine/peripheral"});
        let devices: Vec<Value> = client.raw("qom-list", &path).returning().send().await?;
        let flat = json!({"flat": true});
        let nodes: Vec<Value> = client.raw("query-named-block-nodes", &flat).returning().send().await?;
        let names = || devices.iter().filter_map(|device| device["name"].as_str());
        let format = |slot: DiskSlot| {
            let name = format_node(&slot.to_string());
            let node = nodes.iter().find(|node| node["node-name"] == name)?;
            Some(node["drv"].as_str()?.to_owned())
        };
        let mut current = self.current();
        current.disks = names().filter_map(|name| name.parse().ok()).map(|slot| (slot, format(slot))).collect();
        current.nics = names().filter_map(|name| name.parse().ok()).collect();
        Ok(())
    }

    /// Puts the process under other CPU limits.
    pub(super) fn limit_cpu(&self, cpu_milli: Option<u32>, cpu_units: Option<u32>) -> Result<()> {
        let mut current = self.current();
        let limits = LimitSpec { cpu_milli, cpu_units, ..current.limits.clone() };
        let applied = self.driver.cgroups.apply(self.vmid(), self.record.process.pid, &limits);
        applied.map_err(|error| Error::new(ErrorKind::Unsupported, "guest.limit", error.to_string()))?;
        current.limits = limits;
        Ok(())
    }

    /// Runs `work` with the guest's monitor under the operation's deadline and cancellation.
    pub(super) async fn with_client<T, F: Future<Output = Result<T>>>(
        &self,
        cx: &OpCx,
        op: &'static str,
        work: impl FnOnce(QmpClient) -> F,
    ) -> Result<T> {
        cx.run(op, async {
            let client = self.monitor.client().await.map_err(|error| fault::qmp(op, &error))?;
            work(client).await
        })
        .await
        .map_err(|error| error.on(self.vmid()))
    }

    async fn command(&self, cx: &OpCx, op: &'static str, command: &str) -> Result<Value> {
        self.with_client(cx, op, async |client| client.raw(command, &json!({})).send().await.map_err(|error| fault::qmp(op, &error))).await
    }

    /// Asks QEMU to end and helps when it does not.
    async fn end(&self) {
        let ask = async {
            if let Ok(client) = self.monitor.client().await {
                // Its answer and its end race; neither matters if the process goes.
                let _ = client.raw("quit", &json!({})).send().await;
            }
        };
        // Reaching a monitor that hangs can take longer than the grace.
        let _ = tokio::time::timeout(QUIT_GRACE, ask).await;
        if tokio::time::timeout(QUIT_GRACE, self.monitor.process.exited()).await.is_ok() {
            return;
        }
        if let Err(error) = self.monitor.process.signal(Signal::KILL) {
            tracing::warn!(vmid = %self.vmid(), %error, "QEMU cannot be killed");
        }
    }

    fn sample_cores(&self, cpu_time: Duration) -> f64 {
        let now = Instant::now();
        let mut last = self.last_sample.lock().unwrap_or_else(PoisonError::into_inner);
        let cores = last.map_or(0.0, |(then, before)| {
            let elapsed = now.duration_since(then).as_secs_f64();
            if elapsed > 0.0 { cpu_time.saturating_sub(before).as_secs_f64() / elapsed } else { 0.0 }
        });
        *last = Some((now, cpu_time));
        cores
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Live for QemuLive {
    fn record(&self) -> &RunRecord {
        &self.record
    }

    async fn pause(&self, cx: &OpCx) -> Result<()> {
        self.command(cx, "guest.pause", "stop").await.map(drop)
    }

    async fn resume(&self, cx: &OpCx) -> Result<()> {
        self.command(cx, "guest.resume", "cont").await.map(drop)
    }

    async fn reset(&self, cx: &OpCx) -> Result<()> {
        self.command(cx, "guest.reset", "system_reset").await.map(drop)
    }

    async fn request_shutdown(&self, cx: &OpCx) -> Result<()> {
        self.command(cx, "guest.shutdown", "system_powerdown").await.map(drop)
    }

    async fn kill(&self, cx: &OpCx) -> Result<()> {
        self.monitor.mark_killed();
        let ended = async {
            if self.monitor.process.is_running() {
                self.end().await;
            }
            self.monitor.ended().await
        };
        let late = |_| Error::new(ErrorKind::Timeout, "guest.kill", "QEMU does not end: a device of the host holds it").on(self.vmid());
        cx.run("guest.kill", async { tokio::time::timeout(KILL_TIMEOUT, ended).await.map(drop).map_err(late) }).await
    }

    async fn wait(&self) -> Exit {
        self.monitor.ended().await
    }

    async fn observe(&self, cx: &OpCx) -> Result<LiveStatus> {
        const OP: &str = "guest.observe";
        let (status, blocks) = self
            .with_client(cx, OP, async |client| {
                let nothing = json!({});
                let status = client.raw("query-status", &nothing).send();
                let blocks = client.raw("query-blockstats", &nothing).send();
                futures::try_join!(status, blocks).map_err(|error| fault::qmp(OP, &error))
            })
            .await?;
        let process = ProcessUse::of(self.record.process.pid).map_err(|error| fault::io(OP, "the guest's process", &error))?;
        let traffic = self.detail.taps.iter().map(|tap| tap_traffic(tap)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let usage = GuestUsage {
            cpu_time_ms: u64::try_from(process.cpu_time.as_millis()).unwrap_or(u64::MAX),
            cpu_cores: self.sample_cores(process.cpu_time),
            memory: ByteSize::from_bytes(process.resident_bytes),
            disk_read: transferred(&blocks, "rd_bytes"),
            disk_write: transferred(&blocks, "wr_bytes"),
            net_in: ByteSize::from_bytes(traffic.0),
            net_out: ByteSize::from_bytes(traffic.1),
        };
        Ok(LiveStatus { state: state(status["status"].as_str().unwrap_or_default()), usage, trouble: self.monitor.trouble() })
    }

    fn events(&self) -> Box<dyn LiveEvents> {
        self.monitor.subscribe()
    }

    fn hotplug(&self) -> Option<&dyn Hotplug> {
        Some(self)
    }

    fn snapshots(&self) -> Option<&dyn LiveSnapshots> {
        Some(self)
    }

    fn agent(&self) -> Option<&dyn Agent> {
        self.agent.is_some().then_some(self as &dyn Agent)
    }

    fn console(&self) -> Option<&dyn Console> {
        Some(self)
    }
}

#[async_trait]
impl Console for QemuLive {
    async fn open(&self, cx: &OpCx, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        self.consoles.open(cx, kind).await.map_err(|error| error.on(self.vmid()))
    }
}

/// Bytes that all disks have moved.
fn transferred(blocks: &Value, counter: &str) -> ByteSize {
    let devices = blocks.as_array().map(Vec::as_slice).unwrap_or_default();
    ByteSize::from_bytes(devices.iter().filter_map(|device| device["stats"][counter].as_u64()).sum())
}

/// QEMU's run state in the port's words.
fn state(status: &str) -> RunState {
    match status {
        "running" => RunState::Running,
        "paused" => RunState::Paused,
        "prelaunch" => RunState::Prelaunch,
        "io-error" => RunState::IoError,
        "guest-panicked" => RunState::Panicked,
        "suspended" => RunState::Suspended,
        "shutdown" => RunState::Shutdown,
        _ => RunState::Halted,
    }
}
