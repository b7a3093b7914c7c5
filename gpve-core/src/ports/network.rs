//! The `NetworkBackend` port: plugging guests' cards into the host's network.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cx::{Ensured, OpCx, Removed};
use crate::error::Result;
use crate::types::{BridgeName, IfName, MacAddr, Mtu, NicIndex, VlanTag, Vmid};

/// A port: one card of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortId {
    /// The guest.
    pub vmid: Vmid,
    /// Its card.
    pub nic: NicIndex,
}

impl PortId {
    /// The host interface's name, PVE's `tap100i0`. At most 14 bytes.
    pub fn tap_name(self) -> String {
        format!("tap{}i{}", self.vmid, self.nic.get())
    }
}

impl std::fmt::Display for PortId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of vm {}", self.nic, self.vmid)
    }
}

/// A port to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// Which.
    pub id: PortId,
    /// Into which bridge; `None`: user-mode networking.
    pub bridge: Option<BridgeName>,
    /// The guest's address.
    pub mac: MacAddr,
    /// VLAN of untagged frames.
    pub vlan: Option<VlanTag>,
    /// VLANs that pass tagged.
    pub trunks: Vec<VlanTag>,
    /// MTU; `None`: that of the bridge.
    pub mtu: Option<Mtu>,
    /// Packet queues; 0 and 1 mean one.
    pub queues: u8,
}

/// How QEMU reaches a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortAccess {
    /// A persistent tap interface of the host, openable by the guest's user.
    Tap {
        /// Its name.
        interface: IfName,
    },
    /// QEMU's own user-mode stack.
    User,
    /// Nothing on the host: a fake.
    Memory,
}

/// A port as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Which.
    pub id: PortId,
    /// How it is reached.
    pub access: PortAccess,
    /// MTU in force, for the guest to be told.
    pub mtu: Option<Mtu>,
    /// The host's side is up.
    pub up: bool,
}

/// A bridge of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeInfo {
    /// Name.
    pub name: BridgeName,
    /// Its link is up.
    pub up: bool,
    /// MTU.
    pub mtu: u16,
    /// It filters VLANs.
    pub vlan_aware: bool,
}

/// What a backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCapabilities {
    /// Ports in bridges (otherwise user-mode only).
    pub bridges: bool,
    /// VLAN tags on ports.
    pub vlans: bool,
    /// More than one queue.
    pub multi_queue: bool,
}

/// A host's network. The Linux backend is `gpve_net::LinuxBridge`.
#[async_trait]
pub trait NetworkBackend: Send + Sync + 'static {
    /// Its name (`linux-bridge`).
    fn kind(&self) -> &str;

    /// What it can do on this host.
    fn capabilities(&self) -> NetworkCapabilities;

    /// Bridges, by name.
    async fn bridges(&self, cx: &OpCx) -> Result<Vec<BridgeInfo>>;

    /// Makes a port and plugs it into its bridge with its link **down**. `Already` if it is there as asked; one that is
    /// there otherwise is corrected. A failed attach leaves nothing.
    async fn attach(&self, cx: &OpCx, request: &PortRequest) -> Result<Ensured<Port>>;

    /// Takes the link of the host's side up or down. Idempotent.
    async fn set_link(&self, cx: &OpCx, id: PortId, up: bool) -> Result<()>;

    /// Unplugs and removes a port.
    async fn detach(&self, cx: &OpCx, id: PortId) -> Result<Removed>;

    /// All ports of guests on this host, to find leaks.
    async fn ports(&self, cx: &OpCx) -> Result<Vec<Port>>;
}
