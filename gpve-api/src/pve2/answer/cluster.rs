//! Members and resources of a cluster.

use serde::Serialize;

/// One entry of `/cluster/resources`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Resource {
    /// A virtual machine.
    Vm(Box<VmResource>),
    /// A node.
    Node(NodeResource),
    /// A storage of a node.
    Storage(StorageResource),
    /// A network of a node.
    Network(NetworkResource),
}

/// A virtual machine among the resources. Here `template` is always there.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "same fields as GuestEntry")]
pub struct VmResource {
    /// `qemu/100`
    pub id: String,
    /// `qemu`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub vmid: u32,
    pub name: String,
    pub node: String,
    pub status: &'static str,
    pub template: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    pub cpu: f64,
    pub maxcpu: u32,
    pub mem: u64,
    pub memhost: u64,
    pub maxmem: u64,
    pub disk: u64,
    pub maxdisk: u64,
    pub diskread: u64,
    pub diskwrite: u64,
    pub netin: u64,
    pub netout: u64,
    pub uptime: u64,
}

/// A node among the resources.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "same fields as NodeEntry")]
pub struct NodeResource {
    /// `node/pve`
    pub id: String,
    /// `node`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub node: String,
    pub status: &'static str,
    pub level: &'static str,
    /// 2: unified control groups.
    #[serde(rename = "cgroup-mode")]
    pub cgroup_mode: u8,
    pub cpu: f64,
    pub maxcpu: u32,
    pub mem: u64,
    pub maxmem: u64,
    pub disk: u64,
    pub maxdisk: u64,
    pub uptime: u64,
}

/// A storage among the resources.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StorageResource {
    /// `storage/pve/local`
    pub id: String,
    /// `storage`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name.
    pub storage: String,
    /// Node.
    pub node: String,
    /// `available`, or `unknown` when it does not answer.
    pub status: &'static str,
    /// Type of its plugin.
    pub plugintype: String,
    /// What it may hold, joined by commas.
    pub content: String,
    /// 1: all nodes see the same.
    pub shared: u8,
    /// Bytes used.
    pub disk: u64,
    /// Bytes in all.
    pub maxdisk: u64,
}

/// A network among the resources. A node without software-defined networks has one, `localnetwork`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NetworkResource {
    /// `network/pve/zone/localnetwork`
    pub id: String,
    /// `network`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name.
    pub network: String,
    /// `zone`
    #[serde(rename = "network-type")]
    pub network_type: &'static str,
    /// Node.
    pub node: String,
    /// `ok`
    pub status: &'static str,
}

/// One entry of `/cluster/status`: a node, or the cluster itself when there is one.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClusterMember {
    /// `node/pve`, or `cluster`
    pub id: String,
    /// `node` or `cluster`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Address of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Empty; of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<&'static str>,
    /// 1 for the node that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<u8>,
    /// Number of a node; 0 without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodeid: Option<u32>,
    /// 1 for a node that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<u8>,
    /// Number of nodes; of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// 1 for a cluster that can decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorate: Option<u8>,
    /// Version of a cluster's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}
