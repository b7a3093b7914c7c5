//! The generic tests of every saga: fail at each effect, crash before and after each effect, then look at the host.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gpve_core::error::Error;
use gpve_core::patch::SpecPatch;
use gpve_core::ports::{CloneOptions, ConfigPatch, DeleteOptions, Operation, ResizeTo, ShutdownOptions, TaskState};
use gpve_core::testing::mem::Fault;
use gpve_core::types::ByteSize;

use super::rig::{PATIENCE, Rig, create, spec, vmid};

type Prepare = for<'r> fn(&'r Rig) -> BoxFuture<'r, ()>;

/// One saga: how the host comes to where it starts, and the operation.
struct Case {
    name: &'static str,
    prepare: Prepare,
    operation: Operation,
    /// A failure leaves the host as it was. Otherwise what is done stays done, and the operation is repeated.
    undone: bool,
}

pub(super) fn clone_to(target: u32, full: bool) -> Operation {
    Operation::Clone(Box::new(CloneOptions {
        target: vmid(target),
        uid: uuid::Uuid::nil(),
        name: None,
        description: None,
        full,
        snapshot: None,
        storage: None,
        format: None,
    }))
}

fn nothing(_: &Rig) -> BoxFuture<'_, ()> {
    async {}.boxed()
}

fn stopped(rig: &Rig) -> BoxFuture<'_, ()> {
    rig.ok(100, create(false)).boxed()
}

fn running(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        stopped(rig).await;
        rig.ok(100, Operation::Start).await;
    }
    .boxed()
}

fn paused(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        running(rig).await;
        rig.ok(100, Operation::Pause).await;
    }
    .boxed()
}

fn template(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        stopped(rig).await;
        rig.ok(100, Operation::Template { disk: None }).await;
    }
    .boxed()
}

fn snapshot() -> Operation {
    Operation::Snapshot { name: "snap".parse().unwrap(), description: String::new() }
}

fn with_snapshot(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        stopped(rig).await;
        rig.ok(100, snapshot()).await;
    }
    .boxed()
}

fn running_with_snapshot(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        running(rig).await;
        rig.ok(100, snapshot()).await;
    }
    .boxed()
}

/// The machine with a cloud-init drive, and a user to be made.
pub(super) fn with_cloud_init(user: &str) -> gpve_core::types::VmSpec {
    let mut new = spec();
    let drive = serde_json::json!({"name": "ide2", "source": {"cloudInit": {"storage": "local"}}, "media": "cdrom"});
    new.disks.insert("ide2".parse().unwrap(), serde_json::from_value(drive).unwrap());
    new.cloud_init.user = Some(user.parse().unwrap());
    new
}

fn create_cloud_init() -> Operation {
    Operation::Create { uid: uuid::Uuid::nil(), name: None, spec: Box::new(with_cloud_init("ubuntu")), start: false }
}

/// With a drive that was written: it keeps its content when the guest is stopped.
fn cloud_init_stopped(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        cloud_init_running(rig).await;
        rig.ok(100, Operation::Stop).await;
    }
    .boxed()
}

fn cloud_init_running(rig: &Rig) -> BoxFuture<'_, ()> {
    async {
        rig.ok(100, create_cloud_init()).await;
        rig.ok(100, Operation::Start).await;
    }
    .boxed()
}

/// Another user, shown to the running guest.
fn refresh_cloud_init() -> Operation {
    let patch = SpecPatch::between(&with_cloud_init("ubuntu"), &with_cloud_init("admin")).unwrap();
    Operation::Update(ConfigPatch { spec: patch, refresh_cloud_init: true, ..ConfigPatch::default() })
}

/// Adds a disk and a card.
fn grow_hardware() -> Operation {
    let mut new = spec();
    let disk = serde_json::json!({"name": "scsi1", "source": {"new": {"storage": "local", "size": "2Gi"}}});
    let nic = serde_json::json!({"name": "net1", "bridge": "vmbr0", "macAddress": "02:67:70:00:00:02"});
    new.disks.insert("scsi1".parse().unwrap(), serde_json::from_value(disk).unwrap());
    new.networks.insert("net1".parse().unwrap(), serde_json::from_value(nic).unwrap());
    let patch = SpecPatch::between(&spec(), &new).unwrap();
    Operation::Update(ConfigPatch { spec: patch, ..ConfigPatch::default() })
}

fn cases() -> Vec<Case> {
    let grow = || Operation::Resize { disk: "scsi0".parse().unwrap(), size: ResizeTo::Grow(ByteSize::from_gib(1)) };
    let case = |name, prepare: Prepare, operation, undone| Case { name, prepare, operation, undone };
    vec![
        case("create", nothing, create(false), true),
        case("start", stopped, Operation::Start, true),
        case("stop", running, Operation::Stop, false),
        case("shutdown", running, Operation::Shutdown(ShutdownOptions::default()), false),
        case("reboot", running, Operation::Reboot(ShutdownOptions::default()), false),
        case("reset", running, Operation::Reset, false),
        case("pause", running, Operation::Pause, true),
        case("resume", paused, Operation::Resume, true),
        case("delete", stopped, Operation::Delete(DeleteOptions::default()), false),
        case("delete with unreferenced", stopped, Operation::Delete(DeleteOptions { purge: true, destroy_unreferenced: true }), false),
        case("full clone", stopped, clone_to(200, true), true),
        case("linked clone", template, clone_to(200, false), true),
        case("template", stopped, Operation::Template { disk: None }, false),
        case("snapshot stopped", stopped, snapshot(), true),
        case("snapshot running", running, snapshot(), true),
        case("delete snapshot", with_snapshot, Operation::DeleteSnapshot { name: "snap".parse().unwrap(), force: false }, false),
        case(
            "delete snapshot running",
            running_with_snapshot,
            Operation::DeleteSnapshot { name: "snap".parse().unwrap(), force: false },
            false,
        ),
        case("rollback", with_snapshot, Operation::Rollback { name: "snap".parse().unwrap(), start: false }, false),
        case("rollback running", running_with_snapshot, Operation::Rollback { name: "snap".parse().unwrap(), start: false }, false),
        case("resize stopped", stopped, grow(), false),
        case("resize running", running, grow(), false),
        case("create with cloud-init", nothing, create_cloud_init(), true),
        case("start with cloud-init", cloud_init_stopped, Operation::Start, true),
        case("clone with cloud-init", cloud_init_stopped, clone_to(200, true), true),
        case("delete with cloud-init", cloud_init_stopped, Operation::Delete(DeleteOptions::default()), false),
        case("refresh of cloud-init", cloud_init_running, refresh_cloud_init(), true),
        case("update stopped", stopped, grow_hardware(), true),
        case("update running", running, grow_hardware(), true),
    ]
}

/// What clients and the host see after a run: what must be the same however it came about.
fn outcome(rig: &Rig) -> (Vec<String>, Vec<String>) {
    let mut guests = Vec::new();
    for id in [100, 200] {
        if rig.exists(id) {
            let r = rig.report(id);
            let disks: Vec<_> = r.spec.disks.values().map(|d| serde_json::to_string(&d.source).unwrap()).collect();
            let snaps: Vec<_> = r.snapshots.iter().map(|s| s.name.to_string()).collect();
            let running = r.running.as_ref().map(|s| (s.disks.len(), s.networks.len()));
            guests.push(format!("{id} {:?} {disks:?} {running:?} {snaps:?} parent {:?} pid {}", r.phase, r.parent, r.pid.is_some()));
        }
    }
    let mut dump = rig.dump();
    // Addresses of clones are random.
    dump.retain(|l| !l.contains("port net0 of vm 200"));
    (guests, dump)
}

/// Runs a case without faults: what it leads to, and how many effects that takes.
async fn clean_run(case: &Case) -> ((Vec<String>, Vec<String>), u64) {
    let rig = Rig::new().await;
    (case.prepare)(&rig).await;
    let before = rig.host.effects();
    rig.ok(100, case.operation.clone()).await;
    (outcome(&rig), rig.host.effects() - before)
}

#[tokio::test]
async fn a_saga_that_fails_at_any_effect_leaves_the_host_as_it_was_or_can_be_repeated() {
    for case in cases() {
        let (after, effects) = clean_run(&case).await;
        for nth in 1..=effects {
            let rig = Rig::new().await;
            (case.prepare)(&rig).await;
            let before = outcome(&rig);
            rig.host.fail_at(nth, Fault::Fail(Error::internal("fault", "injected")));
            let end = rig.run(100, case.operation.clone()).await;
            let what = format!("{} failing at effect {nth} of {effects}: {:?}\n{:#?}", case.name, end.state, rig.host.journal());
            match end.state {
                TaskState::Ok | TaskState::Warnings(_) => assert_eq!(outcome(&rig), after, "{what}"),
                TaskState::Failed(_) if case.undone => {
                    let now = outcome(&rig);
                    assert_eq!(now.1, before.1, "{what}");
                }
                TaskState::Failed(_) => {
                    let again = rig.run(100, case.operation.clone()).await;
                    let goes_on = matches!(again.state, TaskState::Ok | TaskState::Failed(_));
                    assert!(goes_on, "{what}, then {:?}", again.state);
                    if again.state == TaskState::Ok && case.name != "resize stopped" && case.name != "resize running" {
                        assert_eq!(outcome(&rig).1, after.1, "{what}, then repeated");
                    }
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_daemon_that_dies_at_any_effect_of_any_saga_finishes_or_undoes_it_when_it_comes_back() {
    for case in cases() {
        let (after, effects) = clean_run(&case).await;
        for nth in 1..=effects {
            for (fault, when) in [(Fault::CrashBefore, "before"), (Fault::CrashAfter, "after")] {
                let rig = Rig::new().await;
                (case.prepare)(&rig).await;
                let before = outcome(&rig);
                rig.host.fail_at(nth, fault);
                let task = rig.submit(100, "the-operation", case.operation.clone()).await;
                tokio::time::timeout(PATIENCE, rig.host.crashed()).await.expect("the fault is met");
                let rig = rig.restart().await;
                let what = format!("{} dying {when} effect {nth} of {effects}\n{:#?}", case.name, rig.host.journal());
                let end = tokio::time::timeout(PATIENCE, rig.node.wait(&task)).await.unwrap_or_else(|_| panic!("hangs: {what}")).unwrap();
                match end.state {
                    TaskState::Ok => assert_eq!(outcome(&rig), after, "{what}"),
                    TaskState::Failed(_) | TaskState::Cancelled if case.undone => {
                        assert_eq!(outcome(&rig).1, before.1, "{what}: {:?}", end.state)
                    }
                    other => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

/// A store that dies with the daemon at its n-th write: nothing is written from then on.
struct DyingStore {
    /// The next value that has all these words is refused, once; none if there are none.
    refused: std::sync::Mutex<Vec<&'static str>>,
    store: Arc<dyn gpve_core::ports::Store>,
    left: std::sync::atomic::AtomicI64,
    dead: tokio::sync::watch::Sender<bool>,
}

impl DyingStore {
    fn over(store: Arc<dyn gpve_core::ports::Store>) -> Arc<Self> {
        Arc::new(Self { refused: Default::default(), store, left: i64::MAX.into(), dead: tokio::sync::watch::Sender::new(false) })
    }

    fn has_to_refuse(&self, txn: &gpve_core::ports::Txn) -> bool {
        let mut words = self.refused.lock().unwrap();
        let has_all = |value: &[u8]| words.iter().all(|word| String::from_utf8_lossy(value).contains(word));
        let is_it =
            !words.is_empty() && txn.then.iter().any(|m| matches!(m, gpve_core::ports::Mutation::Put { value, .. } if has_all(value)));
        if is_it {
            words.clear();
        }
        is_it
    }
}

#[async_trait::async_trait]
impl gpve_core::ports::Store for DyingStore {
    async fn get(&self, key: &gpve_core::ports::Key) -> Result<Option<gpve_core::ports::Entry>, gpve_core::ports::StoreError> {
        self.store.get(key).await
    }
    async fn list(&self, r: gpve_core::ports::ListRequest) -> Result<gpve_core::ports::Listing, gpve_core::ports::StoreError> {
        self.store.list(r).await
    }
    async fn commit(&self, txn: gpve_core::ports::Txn) -> Result<gpve_core::ports::TxnOutcome, gpve_core::ports::StoreError> {
        if self.has_to_refuse(&txn) {
            return Err(gpve_core::ports::StoreError::Unavailable("the disk failed".to_owned()));
        }
        if self.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) <= 0 {
            self.dead.send_replace(true);
            std::future::pending::<()>().await;
        }
        self.store.commit(txn).await
    }
    async fn watch(&self, r: gpve_core::ports::WatchRequest) -> Result<Box<dyn gpve_core::ports::Watch>, gpve_core::ports::StoreError> {
        self.store.watch(r).await
    }
    async fn grant(&self, ttl: std::time::Duration) -> Result<gpve_core::ports::LeaseId, gpve_core::ports::StoreError> {
        self.store.grant(ttl).await
    }
    async fn renew(&self, l: gpve_core::ports::LeaseId) -> Result<(), gpve_core::ports::StoreError> {
        self.store.renew(l).await
    }
    async fn revoke(&self, l: gpve_core::ports::LeaseId) -> Result<(), gpve_core::ports::StoreError> {
        self.store.revoke(l).await
    }
    async fn compact(&self, r: gpve_core::ports::Revision) -> Result<(), gpve_core::ports::StoreError> {
        self.store.compact(r).await
    }
    async fn revision(&self) -> Result<gpve_core::ports::Revision, gpve_core::ports::StoreError> {
        self.store.revision().await
    }
}

#[tokio::test]
async fn a_daemon_that_dies_at_any_persisted_step_finishes_or_undoes_it_when_it_comes_back() {
    for case in cases() {
        let (after, _) = clean_run(&case).await;
        for nth in 1.. {
            let inner: Arc<dyn gpve_core::ports::Store> =
                Arc::new(gpve_store::MemStore::new(Arc::new(gpve_core::clock::SystemClock::new())));
            let dying = DyingStore::over(Arc::clone(&inner));
            let mut rig = Rig::over(dying.clone()).await;
            (case.prepare)(&rig).await;
            let before = outcome(&rig);
            dying.left.store(nth, std::sync::atomic::Ordering::SeqCst);
            let task = rig.submit(100, "the-operation", case.operation.clone()).await;
            let mut dead = dying.dead.subscribe();
            let survived = tokio::select! {
                done = rig.node.wait(&task) => { done.unwrap(); true }
                _ = dead.wait_for(|d| *d) => false,
            };
            if survived {
                break;
            }
            rig.store = inner;
            let rig = rig.restart().await;
            let what = format!("{} dying at write {nth}\n{:#?}", case.name, rig.host.journal());
            let end = tokio::time::timeout(PATIENCE, rig.node.wait(&task)).await.unwrap_or_else(|_| panic!("hangs: {what}")).unwrap();
            match end.state {
                TaskState::Ok => assert_eq!(outcome(&rig), after, "{what}"),
                TaskState::Failed(_) | TaskState::Cancelled if case.undone => {
                    assert_eq!(outcome(&rig).1, before.1, "{what}: {:?}", end.state)
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_task_whose_beginning_cannot_be_written_down_does_nothing_and_goes_on_after_a_restart() {
    let store: Arc<dyn gpve_core::ports::Store> = Arc::new(gpve_store::MemStore::new(Arc::new(gpve_core::clock::SystemClock::new())));
    let refusing = DyingStore::over(store);
    let rig = Rig::over(refusing.clone()).await;
    running(&rig).await;
    *refusing.refused.lock().unwrap() = vec!["qmstop", "\"position\":{"];
    let stop = rig.submit(100, "stop", Operation::Stop).await;
    // In the same queue: it ends after the other was given up.
    rig.ok(100, Operation::Pause).await;
    assert!(refusing.refused.lock().unwrap().is_empty(), "the beginning was written down");
    assert!(rig.report(100).pid.is_some(), "the process was ended by a task that no log knows to have begun");
    let rig = rig.restart().await;
    let end = tokio::time::timeout(PATIENCE, rig.node.wait(&stop)).await.expect("it goes on").unwrap();
    assert_eq!((end.state, rig.report(100).pid), (TaskState::Ok, None));
}
