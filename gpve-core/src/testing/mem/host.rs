//! The machine under the fakes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::dump::Dump;
use super::fault::{Fault, Plan};
use super::guest::{MemGuest, Script};
use super::image::Image;
use super::process::Process;
use super::volume::MemVolume;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BridgeInfo, Clock, Exit, OpCx, PortId, PortRequest};
use crate::testing::ManualClock;
use crate::types::{BridgeName, StorageId, Timestamp, Vmid, VolumeId, VolumeName};

/// A host in memory. Cheap to clone; all clones are one host.
#[derive(Clone)]
pub struct MemHost(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    plan: Mutex<Plan>,
    crashed: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
}

/// Everything that is on the host.
#[derive(Default)]
pub(super) struct State {
    pub(super) boot: u64,
    pub(super) booted: Timestamp,
    pub(super) last_pid: u32,
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) runtime_dirs: BTreeSet<Vmid>,
    pub(super) scripts: BTreeMap<Vmid, Script>,
    pub(super) storages: BTreeMap<StorageId, BTreeMap<VolumeName, MemVolume>>,
    pub(super) offline: BTreeSet<StorageId>,
    pub(super) files: BTreeMap<std::path::PathBuf, Image>,
    pub(super) file_sizes: BTreeMap<std::path::PathBuf, u64>,
    pub(super) bridges: BTreeMap<BridgeName, BridgeInfo>,
    pub(super) ports: BTreeMap<PortId, MemPort>,
}

/// A port of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemPort {
    pub(super) request: PortRequest,
    pub(super) up: bool,
}

impl MemHost {
    /// A host with one bridge, `vmbr0`, whose time is `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let host = Self(Arc::new(Inner {
            state: Mutex::new(State { boot: 1, booted: clock.now(), last_pid: 1000, ..State::default() }),
            plan: Mutex::new(Plan::default()),
            crashed: watch::Sender::new(false),
            clock,
        }));
        if let Ok(name) = "vmbr0".parse() {
            host.add_bridge(BridgeInfo { name, up: true, mtu: 1500, vlan_aware: true });
        }
        host
    }

    /// Adds a bridge, or changes one.
    pub fn add_bridge(&self, bridge: BridgeInfo) {
        self.state().bridges.insert(bridge.name.clone(), bridge);
    }

    /// Puts a file on the host, to import from.
    pub fn add_file(&self, path: impl Into<std::path::PathBuf>, bytes: &[u8]) {
        let path = path.into();
        let mut state = self.state();
        state.files.insert(path.clone(), Image::of(bytes));
        state.file_sizes.insert(path, bytes.len() as u64);
    }

    /// Makes a storage answer or not; its volumes stay.
    pub fn set_storage_online(&self, storage: &StorageId, online: bool) {
        let mut state = self.state();
        if online {
            state.offline.remove(storage)
        } else {
            state.offline.insert(storage.clone())
        };
    }

    /// Decides how guest `vmid` behaves from its next launch on.
    pub fn script(&self, vmid: Vmid, script: Script) {
        self.state().scripts.insert(vmid, script);
    }

    /// The running guest `vmid`, seen from inside.
    pub fn guest(&self, vmid: Vmid) -> Option<MemGuest> {
        let pid = self.state().processes.values().find(|p| p.vmid() == vmid)?.id.pid;
        Some(MemGuest::new(self.clone(), pid))
    }

    /// How many guests run or are halted in memory.
    pub fn guest_count(&self) -> usize {
        self.state().processes.len()
    }

    /// Bytes of a volume, as whoever has it attached would read them.
    pub fn read(&self, volume: &VolumeId, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut state = self.state();
        Ok(state.volume("host.read", volume)?.image.read(offset, len))
    }

    /// Writes bytes into a volume. Refused for a base and beyond the end.
    pub fn write(&self, volume: &VolumeId, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let found = state.volume("host.write", volume)?;
        if found.base {
            return Err(Error::precondition("host.write", format!("{volume} is a base: it is read-only")).on(volume));
        }
        if offset.saturating_add(bytes.len() as u64) > found.size.bytes() {
            return Err(Error::field("host.write", "offset", format!("the volume ends at {}", found.size)).on(volume));
        }
        found.image.write(offset, bytes);
        Ok(())
    }

    /// The `nth` effect from now, counted from 1, meets `fault`. Only calls that change something are counted.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        self.plan().at(nth, fault);
    }

    /// The next call of `op` (`volume.create`, `guest.launch`, `port.attach`, …) meets `fault`.
    pub fn fail_on(&self, op: &str, fault: Fault) {
        self.plan().on(op, fault);
    }

    /// Forgets faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.plan().clear();
    }

    /// How many effects were asked for since the host was made.
    pub fn effects(&self) -> u64 {
        self.plan().count()
    }

    /// The latest effects, oldest first, as `op subject`.
    pub fn journal(&self) -> Vec<String> {
        self.plan().journal()
    }

    /// Returns once a fault has crashed the daemon. Cancel safe.
    pub async fn crashed(&self) {
        let mut crashed = self.0.crashed.subscribe();
        // The sender lives as long as this host.
        let _ = crashed.wait_for(|c| *c).await;
    }

    /// Lets effects work again, for the next daemon. Those that hang in the crashed one stay so.
    pub fn recover(&self) {
        self.clear_faults();
        self.0.crashed.send_replace(false);
    }

    /// Power loss: all guests are gone, and so are ports, attachments and runtime directories; volumes stay.
    pub fn reboot(&self) {
        let mut state = self.state();
        let pids: Vec<u32> = state.processes.keys().copied().collect();
        for pid in pids {
            state.end(pid, Exit::Crashed("the host rebooted".to_owned()));
        }
        state.boot += 1;
        state.booted = self.now();
        state.runtime_dirs.clear();
        state.ports.clear();
        for volume in state.storages.values_mut().flat_map(BTreeMap::values_mut) {
            volume.attached = None;
        }
    }

    /// Everything on the host that can leak, to compare before and after.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.state())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn booted(&self) -> Timestamp {
        self.state().booted
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `act`, unless a fault, the deadline or a cancellation comes first.
    pub(super) async fn effect<T>(
        &self,
        cx: &OpCx,
        op: &str,
        subject: impl std::fmt::Display,
        act: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T> {
        let subject = subject.to_string();
        cx.run(op, async {
            self.alive().await;
            let fault = self.plan().effect(op, &subject);
            let crash_after = matches!(fault, Some(Fault::CrashAfter));
            self.meet(fault).await?;
            let result = act(&mut self.state());
            if crash_after {
                self.die::<()>().await;
            }
            result.map_err(|e| if e.subject.is_empty() { e.on(&subject) } else { e })
        })
        .await
    }

    /// Looks something up, unless a fault, the deadline or a cancellation comes first.
    pub(super) async fn look<T>(&self, cx: &OpCx, op: &str, act: impl FnOnce(&mut State) -> Result<T> + Send) -> Result<T> {
        cx.run(op, async {
            self.alive().await;
            let fault = self.plan().read(op);
            self.meet(fault).await?;
            act(&mut self.state())
        })
        .await
    }

    /// Returns unless the daemon that asks is dead. Yields, as a real effect would.
    async fn alive(&self) {
        tokio::task::yield_now().await;
        if *self.0.crashed.borrow() {
            std::future::pending::<()>().await;
        }
    }

    async fn meet(&self, fault: Option<Fault>) -> Result<()> {
        match fault {
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) | None => Ok(()),
        }
    }

    async fn die<T>(&self) -> T {
        self.0.crashed.send_replace(true);
        std::future::pending().await
    }
}

impl Default for MemHost {
    /// A host whose time stands still at the epoch.
    fn default() -> Self {
        Self::new(Arc::new(ManualClock::default()))
    }
}

impl std::fmt::Debug for MemHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemHost").field("guests", &self.guest_count()).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn boot_id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.boot)
    }

    pub(super) fn storage(&mut self, op: &str, storage: &StorageId) -> Result<&mut BTreeMap<VolumeName, MemVolume>> {
        if self.offline.contains(storage) {
            let message = format!("storage {storage} does not answer");
            return Err(Error::new(ErrorKind::Unavailable, op, message).on(storage));
        }
        Ok(self.storages.entry(storage.clone()).or_default())
    }

    pub(super) fn volume(&mut self, op: &str, volume: &VolumeId) -> Result<&mut MemVolume> {
        let found = self.storage(op, volume.storage())?.get_mut(volume.name());
        found.ok_or_else(|| Error::not_found(op, format!("volume {volume}")))
    }

    /// The guest that has a volume open, if one.
    pub(super) fn user_of(&self, volume: &VolumeId) -> Option<Vmid> {
        self.processes.values().find(|p| p.volumes.values().any(|v| v.volume == *volume)).map(Process::vmid)
    }

    pub(super) fn process(&mut self, op: &str, pid: u32) -> Result<&mut Process> {
        self.processes.get_mut(&pid).ok_or_else(|| Error::precondition(op, "the guest's process is gone"))
    }

    /// Ends a process; whoever waits for it hears of it.
    pub(super) fn end(&mut self, pid: u32, exit: Exit) {
        if let Some(process) = self.processes.remove(&pid) {
            process.end(exit);
        }
    }
}
