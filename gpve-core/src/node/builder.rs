//! Puts a node engine together from its ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::NodeEngine;
use crate::error::{Error, Result};
use crate::ports::{Clock, GuestDriver, Hooks, Host, NetworkBackend, StoragePlugin, Store};
use crate::types::{NodeName, StorageId};

/// Takes the ports of a node engine. Everything but hooks and storages is required.
pub struct NodeBuilder {
    name: NodeName,
    store: Option<Arc<dyn Store>>,
    driver: Option<Arc<dyn GuestDriver>>,
    network: Option<Arc<dyn NetworkBackend>>,
    clock: Option<Arc<dyn Clock>>,
    host: Option<Arc<dyn Host>>,
    hooks: Option<Arc<dyn Hooks>>,
    storages: BTreeMap<StorageId, Arc<dyn StoragePlugin>>,
}

/// The ports of a node engine.
pub(super) struct Ports {
    pub(super) name: NodeName,
    pub(super) store: Arc<dyn Store>,
    pub(super) driver: Arc<dyn GuestDriver>,
    pub(super) network: Arc<dyn NetworkBackend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) host: Arc<dyn Host>,
    pub(super) hooks: Option<Arc<dyn Hooks>>,
    pub(super) storages: BTreeMap<StorageId, Arc<dyn StoragePlugin>>,
}

impl NodeBuilder {
    /// A node called `name`.
    pub fn new(name: NodeName) -> Self {
        Self { name, store: None, driver: None, network: None, clock: None, host: None, hooks: None, storages: BTreeMap::new() }
    }

    /// The node's own store; shared with nobody, on a local disk.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What launches guests.
    #[must_use]
    pub fn driver(mut self, driver: Arc<dyn GuestDriver>) -> Self {
        self.driver = Some(driver);
        self
    }

    /// What plugs their cards in.
    #[must_use]
    pub fn network(mut self, network: Arc<dyn NetworkBackend>) -> Self {
        self.network = Some(network);
        self
    }

    /// Time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The machine.
    #[must_use]
    pub fn host(mut self, host: Arc<dyn Host>) -> Self {
        self.host = Some(host);
        self
    }

    /// What runs hook scripts; without it a guest that has one does not start.
    #[must_use]
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.hooks = Some(hooks);
        self
    }

    /// Adds a storage under its own id; the same id again replaces it.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn StoragePlugin>) -> Self {
        self.storages.insert(storage.id().clone(), storage);
        self
    }

    /// Reads the store, takes up running guests, kills strays, goes on with interrupted tasks, and returns the engine
    /// ready for requests.
    pub async fn build(self) -> Result<NodeEngine> {
        let missing = |what: &str| Error::field("node.build", what, "is required");
        let ports = Ports {
            name: self.name,
            store: self.store.ok_or_else(|| missing("store"))?,
            driver: self.driver.ok_or_else(|| missing("driver"))?,
            network: self.network.ok_or_else(|| missing("network"))?,
            clock: self.clock.ok_or_else(|| missing("clock"))?,
            host: self.host.ok_or_else(|| missing("host"))?,
            hooks: self.hooks,
            storages: self.storages,
        };
        super::recover::start(ports).await
    }
}
