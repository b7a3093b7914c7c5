//! The fake network.

use async_trait::async_trait;

use super::host::{MemHost, MemPort, State};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BridgeInfo, Ensured, NetworkBackend, NetworkCapabilities, OpCx, Port, PortAccess, PortId, PortRequest, Removed};
use crate::types::Mtu;

/// Plugs ports in memory. Holds nothing: a new one over the same host sees the same ports.
#[derive(Debug, Clone)]
pub struct MemNetwork {
    host: MemHost,
}

impl MemNetwork {
    /// The network of `host`.
    pub fn new(host: MemHost) -> Self {
        Self { host }
    }
}

#[async_trait]
impl NetworkBackend for MemNetwork {
    fn kind(&self) -> &str {
        "mem"
    }

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { bridges: true, vlans: true, multi_queue: true }
    }

    async fn bridges(&self, cx: &OpCx) -> Result<Vec<BridgeInfo>> {
        self.host.look(cx, "network.bridges", |state| Ok(state.bridges.values().cloned().collect())).await
    }

    async fn attach(&self, cx: &OpCx, request: &PortRequest) -> Result<Ensured<Port>> {
        self.host
            .effect(cx, "port.attach", request.id, |state| {
                check(state, request)?;
                if let Some(there) = state.ports.get(&request.id).filter(|p| p.request == *request) {
                    return Ok(Ensured::Already(show(state, there)));
                }
                let port = MemPort { request: request.clone(), up: false };
                let shown = show(state, &port);
                state.ports.insert(request.id, port);
                Ok(Ensured::Made(shown))
            })
            .await
    }

    async fn set_link(&self, cx: &OpCx, id: PortId, up: bool) -> Result<()> {
        self.host
            .effect(cx, "port.set_link", id, |state| {
                let port = state.ports.get_mut(&id).ok_or_else(|| Error::not_found("port.set_link", format!("port {id}")))?;
                port.up = up;
                Ok(())
            })
            .await
    }

    async fn detach(&self, cx: &OpCx, id: PortId) -> Result<Removed> {
        self.host
            .effect(cx, "port.detach", id, |state| Ok(if state.ports.remove(&id).is_some() { Removed::Gone } else { Removed::WasAbsent }))
            .await
    }

    async fn ports(&self, cx: &OpCx) -> Result<Vec<Port>> {
        self.host.look(cx, "port.list", |state| Ok(state.ports.values().map(|p| show(state, p)).collect())).await
    }
}

fn check(state: &State, request: &PortRequest) -> Result<()> {
    let Some(name) = &request.bridge else { return Ok(()) };
    let bridge = state.bridges.get(name).ok_or_else(|| {
        let message = format!("bridge {name} does not exist on this host");
        Error::new(ErrorKind::NotFound, "port.attach", message).on(name)
    })?;
    let tagged = request.vlan.is_some() || !request.trunks.is_empty();
    if tagged && !bridge.vlan_aware {
        return Err(Error::unsupported("port.attach", format!("bridge {name} does not filter VLANs")).on(name));
    }
    Ok(())
}

fn show(state: &State, port: &MemPort) -> Port {
    let request = &port.request;
    let of_bridge = request.bridge.as_ref().and_then(|b| state.bridges.get(b)).and_then(|b| Mtu::try_from(b.mtu).ok());
    let asked = request.mtu.filter(|m| m.get() != 1);
    let access = if request.bridge.is_some() { PortAccess::Memory } else { PortAccess::User };
    Port { id: request.id, access, mtu: asked.or(of_bridge), up: port.up }
}
