//! A node engine over a host in memory, and words to drive it.

use std::sync::Arc;
use std::time::Duration;

use gpve_core::clock::SystemClock;
use gpve_core::node::{NodeBuilder, NodeEngine};
use gpve_core::ports::{GuestReport, Node, Operation, OperationRequest, Store, TaskReport, TaskState};
use gpve_core::testing::mem::{MemHooks, MemHost, MemNetwork, MemQemu, MemSampler, MemStorage};
use gpve_core::types::{GuestPhase, UserId, VmSpec, Vmid};
use gpve_store::MemStore;

/// How long a test waits for a state before it is a failure; generous, for a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The pieces that outlive an engine, and the engine.
pub(super) struct Rig {
    pub(super) host: MemHost,
    pub(super) hooks: MemHooks,
    pub(super) store: Arc<dyn Store>,
    pub(super) node: NodeEngine,
}

pub(super) fn vmid(n: u32) -> Vmid {
    Vmid::try_from(n).unwrap()
}

pub(super) fn root() -> UserId {
    "root@pam".parse().unwrap()
}

/// A machine with a disk to be made, a card with a fixed address and everything that makes runs comparable.
pub(super) fn spec() -> VmSpec {
    serde_json::from_value(serde_json::json!({
        "memory": {"size": "64Mi"},
        "disks": [{"name": "scsi0", "source": {"new": {"storage": "local", "size": "1Gi"}}}],
        "networks": [{"name": "net0", "bridge": "vmbr0", "macAddress": "02:67:70:00:00:01"}],
        "serials": {"0": "socket"},
        "agent": {"enabled": true},
        "uuid": "00000000-0000-4000-8000-000000000001",
    }))
    .unwrap()
}

pub(super) fn create(start: bool) -> Operation {
    Operation::Create { uid: uuid::Uuid::nil(), name: None, spec: Box::new(spec()), start }
}

async fn engine(host: &MemHost, hooks: &MemHooks, store: &Arc<dyn Store>) -> NodeEngine {
    NodeBuilder::new("pve".parse().unwrap())
        .store(Arc::clone(store))
        .driver(Arc::new(MemQemu::new(host.clone())))
        .network(Arc::new(MemNetwork::new(host.clone())))
        .storage(Arc::new(MemStorage::new(host.clone(), "local".parse().unwrap())))
        .clock(Arc::new(SystemClock::new()))
        .hooks(Arc::new(hooks.clone()))
        .host(Arc::new(MemSampler::new(host.clone(), "pve".parse().unwrap())))
        .build()
        .await
        .unwrap()
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::over(Arc::new(MemStore::new(Arc::new(SystemClock::new())))).await
    }

    pub(super) async fn over(store: Arc<dyn Store>) -> Self {
        let host = MemHost::new(Arc::new(SystemClock::new()));
        let hooks = MemHooks::new();
        let node = engine(&host, &hooks, &store).await;
        Self { host, hooks, store, node }
    }

    /// A daemon that dies and comes back: only the store and the host are left.
    pub(super) async fn restart(self) -> Self {
        let Self { host, hooks, store, node } = self;
        node.close();
        drop(node);
        host.recover();
        let node = engine(&host, &hooks, &store).await;
        Self { host, hooks, store, node }
    }

    /// Runs an operation to its end.
    pub(super) async fn run(&self, id: u32, operation: Operation) -> TaskReport {
        tokio::time::timeout(PATIENCE, self.node.run(&root(), vmid(id), operation)).await.expect("the task ends").unwrap()
    }

    /// Runs an operation that must succeed.
    pub(super) async fn ok(&self, id: u32, operation: Operation) {
        let report = self.run(id, operation).await;
        assert_eq!(report.state, TaskState::Ok, "{}", self.log(&report).await);
    }

    /// Accepts an operation without waiting for it.
    pub(super) async fn submit(&self, id: u32, name: &str, operation: Operation) -> gpve_core::types::Upid {
        let request = OperationRequest { id: name.parse().unwrap(), user: root(), vmid: vmid(id), operation };
        self.node.submit(request).await.unwrap()
    }

    pub(super) async fn log(&self, report: &TaskReport) -> String {
        let (lines, _) = self.node.task_log(&report.upid, 0, 1000).await.unwrap();
        lines.into_iter().map(|l| l.t + "\n").collect()
    }

    pub(super) fn report(&self, id: u32) -> GuestReport {
        self.node.guest(vmid(id)).unwrap()
    }

    pub(super) fn exists(&self, id: u32) -> bool {
        self.node.guest(vmid(id)).is_ok()
    }

    /// Waits until the node has announced something after which `is_so` holds.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut seen = self.node.observe(None).await.unwrap();
        let wait = async {
            while !is_so(self) {
                seen.next().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not so: {what}"));
    }

    /// Waits until a guest is in a phase.
    pub(super) async fn phase(&self, id: u32, phase: GuestPhase) {
        self.until(&format!("vm {id} is {phase:?}"), |rig| rig.report(id).phase == phase).await;
    }

    /// Waits until an effect was asked for.
    pub(super) async fn effect(&self, op: &str) {
        let asked = async {
            while !self.host.journal().iter().any(|line| line.starts_with(op)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{op} is asked for"));
    }

    /// The host without what differs between two runs: process numbers.
    pub(super) fn dump(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.host.dump().lines().to_vec();
        for line in lines.iter_mut().filter(|l| l.starts_with("process ")) {
            let start = line.find(" pid ").unwrap();
            let end = start + 5 + line[start + 5..].find(' ').unwrap();
            line.replace_range(start..end, "");
        }
        lines
    }
}
