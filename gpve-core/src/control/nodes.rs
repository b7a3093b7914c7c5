//! What is known of each node.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::tasks::TaskTable;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Node, NodeInfo, StorageReport, TaskReport};
use crate::types::{Labels, NodeName, StorageId, Timestamp, Upid};

/// What an administrator set for a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSettings {
    /// Nothing new is placed on it.
    pub cordoned: bool,
    /// Labels, for placement.
    pub labels: Labels,
}

/// A node as the control plane last saw it.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// It answers, and everything that it has is known.
    pub ready: bool,
    /// Facts and use, as last sampled; absent until it first answered.
    pub info: Option<Arc<NodeInfo>>,
    /// Its storages by name.
    pub storages: BTreeMap<StorageId, StorageReport>,
    /// When it last told something.
    pub last_seen: Option<Timestamp>,
    /// What was set for it.
    pub settings: NodeSettings,
}

#[derive(Debug, Default)]
pub(super) struct NodeState {
    pub(super) ready: bool,
    pub(super) info: Option<Arc<NodeInfo>>,
    pub(super) storages: BTreeMap<StorageId, StorageReport>,
    pub(super) tasks: TaskTable,
    pub(super) last_seen: Option<Timestamp>,
}

/// A node and what its mirror knows of it.
pub(super) struct NodeMirror {
    pub(super) node: Arc<dyn Node>,
    state: RwLock<NodeState>,
    changed: watch::Sender<u64>,
}

impl NodeMirror {
    pub(super) fn new(node: Arc<dyn Node>) -> Self {
        Self { node, state: RwLock::default(), changed: watch::channel(0).0 }
    }

    pub(super) fn name(&self) -> &NodeName {
        self.node.name()
    }

    pub(super) fn read<T>(&self, f: impl FnOnce(&NodeState) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known and wakes who waits for it.
    pub(super) fn write<T>(&self, f: impl FnOnce(&mut NodeState) -> T) -> T {
        let out = f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|n| *n += 1);
        out
    }

    pub(super) fn status(&self, settings: NodeSettings) -> NodeStatus {
        self.read(|s| NodeStatus {
            name: self.name().clone(),
            ready: s.ready,
            info: s.info.clone(),
            storages: s.storages.clone(),
            last_seen: s.last_seen,
            settings,
        })
    }

    pub(super) fn task(&self, upid: &Upid) -> Option<Arc<TaskReport>> {
        self.read(|s| s.tasks.get(upid).cloned())
    }

    /// Returns once `ready` gives something. Cancel safe.
    pub(super) async fn until<T>(&self, mut ready: impl FnMut(&NodeState) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = self.read(&mut ready) {
                return found;
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns once the mirror shows the task, or after `patience`. Cancel safe.
    pub(super) async fn shows(&self, upid: &Upid, patience: Duration) -> bool {
        let shown = self.until(|s| s.tasks.get(upid).map(drop));
        tokio::time::timeout(patience, shown).await.is_ok()
    }

    /// Returns once the task has ended and everything it did shows in reads. Cancel safe.
    pub(super) async fn ended(&self, upid: &Upid) -> Result<Arc<TaskReport>> {
        if self.task(upid).is_none() {
            // Not mirrored: too new or too old. The node knows which.
            let report = self.node.task(upid).await?;
            if report.state.is_final() && !self.shows(upid, super::SEEN_PATIENCE).await {
                return Ok(Arc::new(report));
            }
        }
        Ok(self.until(|s| s.tasks.get(upid).filter(|t| t.state.is_final()).cloned()).await)
    }

    /// The error for a node that cannot be used now.
    pub(super) fn absent(&self, op: &str) -> Error {
        let name = self.name();
        Error::new(ErrorKind::Unavailable, op, format!("node {name} does not answer")).on(format!("node {name}"))
    }
}
