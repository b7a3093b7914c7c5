use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{BridgeInfo, Ensured, NetworkBackend, NetworkCapabilities, OpCx, Port, PortAccess, PortId, PortRequest, Removed};

/// How many ports one host has at most: more guests than fit, with every card.
const PORTS_MAX: usize = 65_536;

/// QEMU's user-mode networking: each guest behind its own NAT inside its own QEMU. Nothing is made on the host, so what
/// this knows ends with the process, and nothing is lost.
#[derive(Debug, Default)]
pub struct UserNet {
    ports: Mutex<BTreeSet<PortId>>,
    /// Why there are no bridges, for whoever asks for one.
    no_bridges_because: Option<String>,
}

impl UserNet {
    /// A backend without bridges; `reason` is told to who asks for one.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { ports: Mutex::default(), no_bridges_because: Some(reason.into()) }
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeSet<PortId>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, id: PortId) -> bool {
        self.ids().contains(&id)
    }

    pub(crate) fn plug(&self, id: PortId) -> Result<Ensured<Port>> {
        let mut ports = self.ids();
        if ports.contains(&id) {
            return Ok(Ensured::Already(port(id)));
        }
        if ports.len() >= PORTS_MAX {
            return Err(Error::new(ErrorKind::ResourceExhausted, "port.attach", format!("there are {PORTS_MAX} ports already")).on(id));
        }
        ports.insert(id);
        Ok(Ensured::Made(port(id)))
    }

    pub(crate) fn unplug(&self, id: PortId) -> Removed {
        if self.ids().remove(&id) { Removed::Gone } else { Removed::WasAbsent }
    }

    pub(crate) fn all(&self) -> Vec<Port> {
        self.ids().iter().copied().map(port).collect()
    }
}

/// QEMU's stack has no link that could be down, and an MTU that guests find out.
fn port(id: PortId) -> Port {
    Port { id, access: PortAccess::User, mtu: None, up: true }
}

#[async_trait]
impl NetworkBackend for UserNet {
    fn kind(&self) -> &str {
        "user"
    }

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { bridges: false, vlans: false, multi_queue: false }
    }

    async fn bridges(&self, _cx: &OpCx) -> Result<Vec<BridgeInfo>> {
        Ok(Vec::new())
    }

    async fn attach(&self, _cx: &OpCx, request: &PortRequest) -> Result<Ensured<Port>> {
        if let Some(bridge) = &request.bridge {
            let reason = self.no_bridges_because.as_deref().unwrap_or("this backend has none");
            let text = format!("bridge {bridge} cannot be used: {reason}; a card without a bridge has user-mode networking");
            return Err(Error::unsupported("port.attach", text).on(request.id));
        }
        self.plug(request.id)
    }

    async fn set_link(&self, _cx: &OpCx, id: PortId, _up: bool) -> Result<()> {
        if self.has(id) { Ok(()) } else { Err(Error::not_found("port.set-link", format!("port {id}"))) }
    }

    async fn detach(&self, _cx: &OpCx, id: PortId) -> Result<Removed> {
        Ok(self.unplug(id))
    }

    async fn ports(&self, _cx: &OpCx) -> Result<Vec<Port>> {
        Ok(self.all())
    }
}
