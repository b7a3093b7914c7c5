//! A network backend written outside gpve's tree: every bridge is a hub in memory.
//!
//! A frame that one port sends is heard by all others of its hub, as on the coaxial cable that a bridge replaced. It is for guests that
//! are tasks of the same process ([`PortAccess::Memory`]); nothing is made on the host, so that ports end with the process, as such
//! guests do. It depends on `gpve-core` alone. There are no VLANs and one queue per port, and the backend says so. `tests/conformance.rs`
//! proves it with gpve's own suite.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpve_core::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{BridgeInfo, Ensured, NetworkBackend, NetworkCapabilities, OpCx, Port, PortAccess, PortId, PortRequest, Removed};
use gpve_core::types::{BridgeName, Mtu};

/// Frames that wait at one port; whoever does not fetch them loses the oldest.
pub const FRAMES_MAX: usize = 1024;
/// Bytes of an Ethernet frame beside its payload, which the MTU counts: two addresses and the type.
const HEADER_BYTES: usize = 14;
const MTU: u16 = 1500;

/// Hubs by name, and the ports in them.
pub struct Hubs {
    names: Vec<BridgeName>,
    plugs: Mutex<BTreeMap<PortId, Plug>>,
}

/// A port with what waits there.
struct Plug {
    request: PortRequest,
    up: bool,
    heard: VecDeque<Vec<u8>>,
}

impl Plug {
    fn shown(&self) -> Port {
        let access = if self.request.bridge.is_some() { PortAccess::Memory } else { PortAccess::User };
        let mtu = Mtu::try_from(self.mtu()).ok();
        Port { id: self.request.id, access, mtu, up: self.up }
    }

    /// A hub's is 1500; a port may have a smaller or larger one. By convention 1 asks for the hub's.
    fn mtu(&self) -> u16 {
        self.request.mtu.map(Mtu::get).filter(|mtu| *mtu != 1).unwrap_or(MTU)
    }

    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() <= usize::from(self.mtu()) + HEADER_BYTES
    }
}

impl Hubs {
    /// Hubs with these names.
    pub fn new(names: impl IntoIterator<Item = BridgeName>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        names.dedup();
        Self { names, plugs: Mutex::default() }
    }

    /// Sends an Ethernet frame from a port to all others of its hub. As on a wire, nobody is told of a frame that is lost: at a link that
    /// is down, or because it is longer than a port's MTU. [`ErrorKind::NotFound`] for a port that is not there.
    pub fn send(&self, from: PortId, frame: &[u8]) -> Result<()> {
        let mut plugs = self.plugs();
        let sender = plugs.get(&from).ok_or_else(|| missing("port.send", from))?;
        let hub = sender.request.bridge.clone();
        if hub.is_none() || !sender.up || !sender.takes(frame) {
            return Ok(());
        }
        let others = plugs.values_mut().filter(|p| p.request.id != from && p.request.bridge == hub && p.up);
        for other in others.filter(|p| p.takes(frame)) {
            if other.heard.len() == FRAMES_MAX {
                other.heard.pop_front();
            }
            other.heard.push_back(frame.to_vec());
        }
        Ok(())
    }

    /// Takes the oldest frame that waits at a port. [`ErrorKind::NotFound`] for a port that is not there.
    pub fn receive(&self, at: PortId) -> Result<Option<Vec<u8>>> {
        let mut plugs = self.plugs();
        let plug = plugs.get_mut(&at).ok_or_else(|| missing("port.receive", at))?;
        Ok(plug.heard.pop_front())
    }

    fn plugs(&self) -> MutexGuard<'_, BTreeMap<PortId, Plug>> {
        // Nothing in here can panic half-way, so that a poisoned lock guards whole data.
        self.plugs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, request: &PortRequest) -> Result<()> {
        let refused = |what: &str| Err(Error::unsupported("port.attach", format!("a hub has no {what}")).on(request.id));
        match &request.bridge {
            Some(name) if !self.names.contains(name) => {
                Err(Error::new(ErrorKind::NotFound, "port.attach", format!("there is no hub {name}")).on(request.id))
            }
            _ if request.vlan.is_some() || !request.trunks.is_empty() => refused("VLANs"),
            _ if request.queues > 1 => refused("second queue"),
            _ => Ok(()),
        }
    }
}

fn missing(op: &str, id: PortId) -> Error {
    Error::not_found(op, format!("port {id}"))
}

#[async_trait]
impl NetworkBackend for Hubs {
    fn kind(&self) -> &str {
        "hub"
    }

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { bridges: true, vlans: false, multi_queue: false }
    }

    async fn bridges(&self, _cx: &OpCx) -> Result<Vec<BridgeInfo>> {
        let info = |name: &BridgeName| BridgeInfo { name: name.clone(), up: true, mtu: MTU, vlan_aware: false };
        Ok(self.names.iter().map(info).collect())
    }

    async fn attach(&self, cx: &OpCx, request: &PortRequest) -> Result<Ensured<Port>> {
        // Nothing is begun for somebody who no longer wants it.
        cx.run("port.attach", async {
            self.check(request)?;
            let mut plugs = self.plugs();
            if let Some(there) = plugs.get(&request.id).filter(|p| p.request == *request) {
                return Ok(Ensured::Already(there.shown()));
            }
            let plug = Plug { request: request.clone(), up: false, heard: VecDeque::new() };
            let port = plug.shown();
            plugs.insert(request.id, plug);
            Ok(Ensured::Made(port))
        })
        .await
    }

    async fn set_link(&self, _cx: &OpCx, id: PortId, up: bool) -> Result<()> {
        let mut plugs = self.plugs();
        let plug = plugs.get_mut(&id).ok_or_else(|| missing("port.set-link", id))?;
        plug.up = up;
        Ok(())
    }

    async fn detach(&self, _cx: &OpCx, id: PortId) -> Result<Removed> {
        Ok(if self.plugs().remove(&id).is_some() { Removed::Gone } else { Removed::WasAbsent })
    }

    async fn ports(&self, _cx: &OpCx) -> Result<Vec<Port>> {
        Ok(self.plugs().values().map(Plug::shown).collect())
    }
}
