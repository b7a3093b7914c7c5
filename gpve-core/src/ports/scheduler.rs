//! The `Scheduler` port: on which node a guest goes. Pure: everything it may know comes in.

use serde::{Deserialize, Serialize};

use crate::types::{ByteSize, Labels, Millicores, NodeName, StorageId, Vmid};

/// What a guest needs from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRequest {
    /// The guest.
    pub vmid: Vmid,
    /// Processors.
    pub cpu: Millicores,
    /// Memory.
    pub memory: ByteSize,
    /// Storages it must reach.
    pub storages: Vec<StorageId>,
    /// The node that the user named, if any.
    pub node: Option<NodeName>,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// It can be used.
    pub ready: bool,
    /// Nothing new may be placed on it.
    pub cordoned: bool,
    /// Labels.
    pub labels: Labels,
    /// Processors it has.
    pub cpu: Millicores,
    /// Processors given away.
    pub cpu_allocated: Millicores,
    /// Memory it has.
    pub memory: ByteSize,
    /// Memory given away.
    pub memory_allocated: ByteSize,
    /// Storages it reaches.
    pub storages: Vec<StorageId>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Where.
    pub node: NodeName,
    /// One line why.
    pub reason: String,
}

/// Why no node fits: one line per node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no node fits: {}", .reasons.iter().map(|(n, r)| format!("{n}: {r}")).collect::<Vec<_>>().join("; "))]
pub struct Unplaceable {
    /// Per node, why not.
    pub reasons: Vec<(NodeName, String)>,
}

/// Decides placement. Same input, same answer.
pub trait Scheduler: Send + Sync + 'static {
    /// Chooses a node.
    fn place(&self, request: &PlacementRequest, nodes: &[NodeView]) -> Result<Placement, Unplaceable>;
}
