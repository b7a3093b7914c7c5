//! A control plane over a node engine over a host in memory, and parts that can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::{Accepted, Call, ControlPlane, CreateGuest};
use gpve_core::node::{NodeBuilder, NodeEngine};
use gpve_core::ports::{
    Clock, Entry, Key, LeaseId, ListRequest, Listing, Revision, Store, StoreError, TaskReport, TaskState, Txn, TxnOutcome, Watch,
    WatchRequest,
};
use gpve_core::testing::mem::{MemHost, MemNetwork, MemQemu, MemSampler, MemStorage};
use gpve_core::types::{ByteSize, DiskOptions, DiskSource, DiskSpec, NicIndex, NicModel, NicSpec, Upid, VmSpec, Vmid};
use gpve_store::MemStore;

/// Longest wait for a state before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) host: MemHost,
    pub(crate) node: NodeEngine,
    pub(crate) bus: Bus,
    pub(crate) plane: ControlPlane,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemStore::new(Arc::new(SystemClock::new())));
        Self::over(store).await
    }

    /// A fresh node `n1` under a control plane over `store`.
    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        let (host, node) = node("n1").await;
        let bus = Bus::new();
        let plane = plane(&store, &node, &bus).await;
        Self { store, host, node, bus, plane }
    }

    /// Ends the control plane and builds it again over the same store and node.
    pub(crate) async fn restart(&mut self) {
        self.plane.shutdown();
        self.plane = plane(&self.store, &self.node, &self.bus).await;
    }

    /// Makes a guest and waits until it is made.
    pub(crate) async fn made(&self, request: CreateGuest) -> Vmid {
        let accepted = self.plane.create(&root(), request).await.unwrap().accepted().unwrap();
        self.done(&accepted.upid).await;
        accepted.vmid
    }

    /// Waits for a task, which must succeed.
    pub(crate) async fn done(&self, upid: &Upid) -> Arc<TaskReport> {
        let task = self.ended(upid).await;
        assert_eq!(task.state, TaskState::Ok, "{upid}");
        task
    }

    pub(crate) async fn ended(&self, upid: &Upid) -> Arc<TaskReport> {
        within(self.plane.wait(upid)).await.unwrap()
    }
}

async fn plane(store: &Arc<dyn Store>, node: &NodeEngine, bus: &Bus) -> ControlPlane {
    let clock = Arc::new(SystemClock::new());
    let builder = ControlPlane::builder(store.clone(), clock, Arc::new(bus.clone()));
    let plane = builder.node(Arc::new(node.clone())).build().await.unwrap();
    assert!(plane.ready(PATIENCE).await.is_empty());
    plane
}

/// A node engine over a host in memory with a storage `local`.
pub(crate) async fn node(name: &str) -> (MemHost, NodeEngine) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let host = MemHost::new(clock.clone());
    let node = NodeBuilder::new(name.parse().unwrap())
        .store(Arc::new(MemStore::new(clock.clone())))
        .driver(Arc::new(MemQemu::new(host.clone())))
        .network(Arc::new(MemNetwork::new(host.clone())))
        .clock(clock)
        .host(Arc::new(MemSampler::new(host.clone(), name.parse().unwrap())))
        .storage(Arc::new(MemStorage::new(host.clone(), "local".parse().unwrap())))
        .build()
        .await
        .unwrap();
    (host, node)
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it did not happen in time")
}

pub(crate) fn root() -> Call {
    Call::by("root@pam".parse().unwrap())
}

/// The smallest machine.
pub(crate) fn tiny() -> VmSpec {
    VmSpec::of("64Mi".parse().unwrap())
}

/// A machine with a disk of 1 GiB on `local` and a card on `vmbr0`.
pub(crate) fn small() -> VmSpec {
    let mut spec = tiny();
    let source = DiskSource::New { storage: "local".parse().unwrap(), size: ByteSize::from_gib(1), format: None };
    let name = "scsi0".parse().unwrap();
    spec.disks.insert(name, DiskSpec { name, source, options: DiskOptions::default() });
    let name = NicIndex::try_from(0).unwrap();
    let bridge = Some("vmbr0".parse().unwrap());
    spec.networks.insert(
        name,
        NicSpec {
            name,
            model: NicModel::Virtio,
            mac_address: None,
            bridge,
            vlan: None,
            trunks: Vec::new(),
            firewall: None,
            link_down: None,
            mtu: None,
            queues: None,
            rate_kb: None,
        },
    );
    spec
}

pub(crate) fn vmid(n: u32) -> Vmid {
    Vmid::try_from(n).unwrap()
}

pub(crate) fn numbered(n: u32, spec: VmSpec) -> CreateGuest {
    CreateGuest { vmid: Some(vmid(n)), ..CreateGuest::of(spec) }
}

pub(crate) async fn accepted(answer: gpve_core::error::Result<gpve_core::control::Answer>) -> Accepted {
    answer.unwrap().accepted().unwrap()
}

/// A store that dies with a given write: it and everything after it fails, as for a daemon that was killed.
pub(crate) struct DyingStore {
    inner: Arc<dyn Store>,
    writes_left: AtomicI64,
    /// Whether the last write happens although nobody hears of it.
    last_happens: bool,
}

impl DyingStore {
    pub(crate) fn new(inner: Arc<dyn Store>, writes_left: i64, last_happens: bool) -> Arc<Self> {
        Arc::new(Self { inner, writes_left: AtomicI64::new(writes_left), last_happens })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) < 0
    }

    /// Returns once it has died.
    pub(crate) async fn dead(&self) {
        while !self.is_dead() {
            tokio::task::yield_now().await;
        }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.is_dead() { Err(StoreError::Unavailable("killed".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for DyingStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.alive()?;
        self.inner.get(key).await
    }

    async fn list(&self, request: ListRequest) -> Result<Listing, StoreError> {
        self.alive()?;
        self.inner.list(request).await
    }

    async fn commit(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let left = self.writes_left.fetch_sub(1, Ordering::SeqCst);
        if left == 0 && self.last_happens {
            self.inner.commit(txn.clone()).await?;
        }
        self.alive()?;
        self.inner.commit(txn).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, StoreError> {
        self.alive()?;
        self.inner.watch(request).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.alive()?;
        self.inner.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.revoke(lease).await
    }

    async fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.compact(through).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.alive()?;
        self.inner.revision().await
    }
}
