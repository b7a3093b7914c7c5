//! From a store to a running engine: what a crash left is adopted, finished, undone or removed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::builder::Ports;
use super::engine::{Inner, NodeEngine};
use super::guest::{Guest, Job};
use super::keys;
use super::observe::Hub;
use super::record::GuestRecord;
use super::task::{Task, Tasks};
use crate::error::Result;
use crate::ports::{EventKind, Exit, ListRequest, Live, OpCx, Operation, RunRecord, Seq};
use crate::types::Vmid;

/// Starts an engine over whatever its store and its host hold.
pub(super) async fn start(ports: Ports) -> Result<NodeEngine> {
    // Observations are numbered from the wall clock in microseconds: larger than any number before the restart, as long
    // as fewer than a million a second were made.
    let hub = Hub::new(Seq(ports.clock.now().millis().saturating_mul(1000)));
    let records = load_guests(&ports).await?;
    let (tasks, open) = Tasks::load(Arc::clone(&ports.store), Arc::clone(&hub), Arc::clone(&ports.clock)).await?;
    let node = Inner::new(ports, hub, tasks);
    let lives = adopt(&node, &records).await?;
    kill_strays(&node, &records).await?;
    populate(&node, records, lives).await;
    resume(&node, &open);
    remove_leaked_ports(&node).await;
    node.spawn(super::sample::run(Arc::clone(&node)));
    Ok(NodeEngine::new(node))
}

async fn load_guests(ports: &Ports) -> Result<Vec<GuestRecord>> {
    let listing = ports.store.list(ListRequest::prefix(keys::GUESTS)).await?;
    listing.entries.iter().map(|e| GuestRecord::decode(&e.value)).collect()
}

async fn adopt(node: &Arc<Inner>, records: &[GuestRecord]) -> Result<BTreeMap<Vmid, Arc<dyn Live>>> {
    let mut lives: BTreeMap<Vmid, Arc<dyn Live>> = BTreeMap::new();
    for (vmid, run) in records.iter().filter_map(|r| Some((r.vmid, r.run.as_ref()?))) {
        if let Some(live) = node.ports.driver.adopt(&OpCx::background(), run).await? {
            tracing::info!(%vmid, pid = run.process.pid, "a running guest was taken up again");
            lives.insert(vmid, Arc::from(live));
        }
    }
    Ok(lives)
}

async fn kill_strays(node: &Arc<Inner>, records: &[GuestRecord]) -> Result<()> {
    let known: Vec<RunRecord> = records.iter().filter_map(|r| r.run.clone()).collect();
    let cx = OpCx::background();
    for stray in node.ports.driver.strays(&cx, &known).await? {
        let record = stray.record().clone();
        tracing::warn!(vmid = %record.vmid, pid = record.process.pid, "a process that no record names is ended");
        stray.kill(&cx).await?;
        node.ports.driver.clean(&cx, record.vmid).await?;
    }
    Ok(())
}

/// Starts the guests' tasks; a guest whose process is gone is told so before anything else.
async fn populate(node: &Arc<Inner>, records: Vec<GuestRecord>, mut lives: BTreeMap<Vmid, Arc<dyn Live>>) {
    for record in records {
        let (vmid, ran) = (record.vmid, record.run.is_some());
        let live = lives.remove(&vmid);
        let adopted = live.is_some();
        let guest = node.adopt(record, live);
        if adopted {
            node.event(EventKind::GuestAdopted, Some(vmid), BTreeMap::new());
        } else if ran {
            found_gone(node, &guest).await;
        }
    }
}

async fn found_gone(node: &Arc<Inner>, guest: &Arc<Guest>) {
    let env = super::env::Env { node: Arc::clone(node), guest: Arc::clone(guest) };
    if let Err(e) = super::wiring::tear_down(&env, &OpCx::background()).await {
        tracing::error!(vmid = %guest.vmid, error = %e.report(), "a dead guest could not be cleaned up");
    }
    let exit = Exit::Crashed("its process was gone when the node engine started".to_owned());
    super::guest::note_gone(&env, exit).await;
}

/// Puts interrupted tasks back into their guests' queues, the one that was under way first.
fn resume(node: &Arc<Inner>, open: &[Arc<Task>]) {
    let (begun, waiting): (Vec<_>, Vec<_>) = open.iter().partition(|t| t.work().is_some_and(|w| w.position.is_some()));
    for task in begun.into_iter().chain(waiting) {
        let Some(work) = task.work() else { continue };
        if let Operation::Clone(clone) = &work.request.operation {
            put(node, clone.target, Job::After(Arc::clone(task)));
        }
        let orphan = node.guest(work.request.vmid).is_err();
        if orphan {
            node.spawn(super::volumes::perform_without_guest(Arc::clone(node), Arc::clone(task)));
        } else {
            put(node, work.request.vmid, Job::Task(Arc::clone(task)));
        }
    }
}

fn put(node: &Arc<Inner>, vmid: Vmid, job: Job) {
    let Ok(guest) = node.guest(vmid) else { return };
    match guest.reserve() {
        Ok(place) => place.send(job),
        Err(e) => tracing::error!(%vmid, error = %e.report(), "an interrupted task found no place"),
    }
}

/// Ports of our guests that do not run and have no open task belong to nobody. Ports of strangers are left alone:
/// another engine may run beside this one.
async fn remove_leaked_ports(node: &Arc<Inner>) {
    let cx = OpCx::background();
    let Ok(ports) = node.ports.network.ports(&cx).await else { return };
    let idle: HashSet<Vmid> = node.guests().iter().filter(|g| g.live().is_none()).map(|g| g.vmid).collect();
    for port in ports {
        let leaked = idle.contains(&port.id.vmid) && node.tasks.open_of(port.id.vmid).is_none();
        if leaked && let Err(e) = node.ports.network.detach(&cx, port.id).await {
            tracing::warn!(port = %port.id, error = %e.report(), "a leaked port could not be removed");
        }
    }
}
