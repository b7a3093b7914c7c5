//! NUMA nodes shown to a guest.

use serde::{Deserialize, Serialize};

use super::disk::words;
use super::ranges::NumberSet;
use super::unit::ByteSize;

words!(
    /// How the host allocates a node's memory.
    NumaPolicy, "NUMA policy", "one of preferred, bind, interleave", {
        /// From the host's nodes while they have some.
        Preferred = "preferred",
        /// From the host's nodes only.
        Bind = "bind",
        /// From the host's nodes in turn.
        Interleave = "interleave",
    }
);

/// One NUMA node of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NumaNode {
    /// Processors of the guest that belong to it.
    pub cpus: NumberSet,
    /// Nodes of the host that back its memory; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_nodes: Option<NumberSet>,
    /// Its memory. A start needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// How the host allocates it. It needs `hostNodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<NumaPolicy>,
}
