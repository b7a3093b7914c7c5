//! What the steps of a guest's saga work on.

use std::sync::Arc;

use super::engine::Inner;
use super::guest::Guest;
use super::record::GuestRecord;
use crate::error::{Error, Result};
use crate::ports::{HostDns, Live, Mutation, Observed, StoragePlugin, Txn};
use crate::types::{StorageId, Timestamp, Vmid, VolumeId};

/// A guest on its node.
pub(crate) struct Env {
    pub(super) node: Arc<Inner>,
    pub(super) guest: Arc<Guest>,
}

impl Env {
    /// The guest's number.
    pub(crate) fn vmid(&self) -> Vmid {
        self.guest.vmid
    }

    /// Its record now, with what was staged.
    pub(crate) fn record(&self) -> GuestRecord {
        self.staged().unwrap_or_else(|| self.guest.record())
    }

    /// Its process, if it runs.
    pub(crate) fn live(&self) -> Option<Arc<dyn Live>> {
        self.guest.live()
    }

    /// Its process, or an error that clients know.
    pub(crate) fn running(&self) -> Result<Arc<dyn Live>> {
        let gone = || Error::precondition("guest.live", format!("VM {} not running", self.vmid())).on(self.vmid());
        self.live().ok_or_else(gone)
    }

    /// What runs hook scripts, where the node has it.
    pub(crate) fn hooks(&self) -> Option<&Arc<dyn crate::ports::Hooks>> {
        self.node.ports.hooks.as_ref()
    }

    /// Time of the wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.node.ports.clock.now()
    }

    /// How the host resolves names; nothing if it cannot tell.
    pub(crate) async fn dns(&self) -> HostDns {
        let known = self.node.info.borrow().as_ref().map(|info| info.dns.clone());
        match known {
            Some(dns) => dns,
            None => self.node.ports.host.sample().await.map(|info| info.dns).unwrap_or_default(),
        }
    }

    /// Changes the record as of the saga's next position: both become durable in one write, before the next step runs. For a step's last
    /// deed; a crash before that write runs the step again.
    pub(crate) fn stage(&self, change: impl FnOnce(&mut GuestRecord)) {
        let mut next = self.record();
        change(&mut next);
        self.guest.set_staged(Some(next));
    }

    /// What was staged and is not durable yet.
    pub(super) fn staged(&self) -> Option<GuestRecord> {
        self.guest.staged()
    }

    /// Makes durable what was staged, where no position follows.
    pub(super) async fn flush(&self) -> Result<()> {
        if self.staged().is_some() { self.update(|_| ()).await } else { Ok(()) }
    }

    /// Changes the record: durable first, then announced.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut GuestRecord)) -> Result<()> {
        let mut next = self.record();
        change(&mut next);
        let put = self.guest.put(&next)?;
        self.node.ports.store.commit(Txn { expect: Vec::new(), then: vec![put] }).await?;
        self.announce(next);
        Ok(())
    }

    /// The write that makes `record` durable, for a transaction of the caller's.
    pub(super) fn put(&self, record: &GuestRecord) -> Result<Mutation> {
        self.guest.put(record)
    }

    /// Shows a durable record.
    pub(super) fn announce(&self, record: GuestRecord) {
        self.guest.set_staged(None);
        self.guest.set_record(record);
        self.node.hub.publish(Observed::Guest(Box::new(self.guest.report())));
    }

    /// Sets the process that belongs to the guest.
    pub(crate) fn set_live(&self, live: Option<Arc<dyn Live>>) {
        self.guest.set_live(live);
    }

    /// Another guest of the node.
    pub(crate) fn other(&self, vmid: Vmid) -> Result<Env> {
        Ok(Env { node: Arc::clone(&self.node), guest: self.node.guest(vmid)? })
    }

    /// Removes a guest that was reserved for this task and will not be made.
    pub(crate) async fn give_up_reserved(&self, vmid: Vmid) {
        self.node.give_up_reserved(vmid).await;
    }

    /// Puts the guest's start behind `task`; once, however often it is called.
    pub(crate) async fn start_behind(&self, task: &crate::types::Upid) -> Result<()> {
        self.node.start_behind(self.vmid(), task).await
    }

    /// True if a running guest of the node has the volume open.
    pub(crate) fn is_open(&self, volume: &VolumeId) -> bool {
        let opens = |r: GuestRecord| r.running.is_some_and(|s| s.disks.values().any(|d| d.volume() == Some(volume)));
        self.node.guests().iter().any(|g| opens(g.record()))
    }

    /// All storages of the node.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Arc<dyn StoragePlugin>> {
        self.node.ports.storages.values()
    }

    /// The storage with this id.
    pub(crate) fn storage(&self, id: &StorageId) -> Result<&Arc<dyn StoragePlugin>> {
        self.node.storage(id)
    }
}
