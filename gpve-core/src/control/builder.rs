//! Putting a control plane together from its ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::audit::StoreAudit;
use super::cache::Cache;
use super::feed;
use super::first_fit::FirstFit;
use super::ids::Ids;
use super::job::CALLS_MAX;
use super::mirror::Mirror;
use super::nodes::NodeMirror;
use super::plane::{ControlPlane, Inner};
use super::records::Records;
use crate::error::{Error, Result};
use crate::ports::{Audit, Clock, Events, Node, Scheduler, Store};

/// Most nodes of one control plane: those of Proxmox VE's largest supported clusters, and room.
pub const NODES_MAX: usize = 64;

/// Collects ports. Start with [`ControlPlane::builder`].
pub struct Builder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    audit: Option<Arc<dyn Audit>>,
    scheduler: Arc<dyn Scheduler>,
    nodes: Vec<Arc<dyn Node>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// A control plane over these ports, with [`FirstFit`] and a [`StoreAudit`] in the same store.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use gpve_core::{bus::Bus, clock::SystemClock, control::ControlPlane};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let clock = Arc::new(SystemClock::new());
    /// let store = Arc::new(gpve_store::MemStore::new(clock.clone()));
    /// let plane = ControlPlane::builder(store, clock, Arc::new(Bus::new())).build().await?;
    /// assert_eq!(plane.next_vmid().await?.get(), 100);
    /// assert_eq!(plane.next_vmid().await?.get(), 101);
    /// # Ok::<(), gpve_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(store: Arc<dyn Store>, clock: Arc<dyn Clock>, events: Arc<dyn Events>) -> Builder {
        Builder { store, clock, events, audit: None, scheduler: Arc::new(FirstFit), nodes: Vec::new() }
    }
}

impl Builder {
    /// Adds a node.
    #[must_use]
    pub fn node(mut self, node: Arc<dyn Node>) -> Self {
        self.nodes.push(node);
        self
    }

    /// Another scheduler.
    #[must_use]
    pub fn scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// Another audit log.
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Reads the store and begins to follow it and the nodes; needs a tokio runtime. Guests are readable when this
    /// returns, as the store has them; [`ControlPlane::ready`] waits until the nodes have told what they have.
    pub async fn build(self) -> Result<ControlPlane> {
        let nodes: BTreeMap<_, _> = self.nodes.iter().map(|n| (n.name().clone(), Arc::new(NodeMirror::new(n.clone())))).collect();
        if nodes.len() != self.nodes.len() || nodes.len() > NODES_MAX {
            let message = format!("nodes must have different names and be at most {NODES_MAX}");
            return Err(Error::field("control.build", "nodes", message));
        }
        let cache = Arc::new(Cache::new());
        let after = feed::load(self.store.as_ref(), &cache).await?;
        let records = Records { store: self.store.clone(), cache: cache.clone() };
        let mut background = vec![tokio::spawn(feed::follow(self.store.clone(), cache, after)).abort_handle()];
        for node in nodes.values() {
            let (records, node) = (records.clone(), node.clone());
            let mirror = Mirror { records, node, events: self.events.clone(), clock: self.clock.clone() };
            background.push(tokio::spawn(mirror.run()).abort_handle());
        }
        let audit = self.audit.unwrap_or_else(|| Arc::new(StoreAudit::new(self.store.clone())));
        let Self { scheduler, clock, events, .. } = self;
        let (ids, calls) = (Ids::default(), Arc::new(Semaphore::new(CALLS_MAX)));
        let inner = Inner { records, nodes, scheduler, clock, events, audit, ids, calls, background };
        Ok(ControlPlane { inner: Arc::new(inner) })
    }
}
