//! The suite of the [`NetworkBackend`] port.

use crate::error::ErrorKind;
use crate::ports::{Ensured, NetworkBackend, OpCx, Port, PortAccess, PortId, PortRequest, Removed};
use crate::types::{BridgeName, MacAddr, Vmid};

/// What the suite needs of whoever runs it.
#[derive(Debug, Clone)]
pub struct NetworkFixture {
    /// A bridge of the host, if the backend plugs into bridges.
    pub bridge: Option<BridgeName>,
    /// A guest that has no ports.
    pub vmid: Vmid,
}

impl NetworkFixture {
    /// A fixture for guest 999000001.
    ///
    /// # Panics
    /// Never: the number is valid.
    pub fn new(bridge: Option<BridgeName>) -> Self {
        Self { bridge, vmid: Vmid::try_from(999_000_001).expect("a valid number") }
    }
}

/// Proves that `backend` keeps the promises of its port. Leaves the host as it was.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn network(backend: &dyn NetworkBackend, fixture: NetworkFixture) {
    let suite = Suite { backend, fixture: &fixture, cx: OpCx::background() };
    let before = suite.ports().await;
    let bridges = backend.bridges(&suite.cx).await.expect("bridges can be listed");
    assert!(bridges.is_sorted_by_key(|b| b.name.clone()), "bridges are listed by name");
    suite.missing_things_are_told().await;
    suite.user_networking().await;
    if let Some(bridge) = &fixture.bridge {
        assert!(backend.capabilities().bridges, "a backend that is tested with a bridge says that it plugs into bridges");
        assert!(bridges.iter().any(|b| b.name == *bridge), "{bridge} is listed");
        suite.a_port_lives(bridge).await;
        suite.a_port_is_corrected(bridge).await;
        suite.tags(bridge).await;
        suite.an_unknown_bridge_leaves_nothing().await;
    }
    assert_eq!(suite.ports().await, before, "the suite left a port, or the backend did");
}

/// One run.
struct Suite<'a> {
    backend: &'a dyn NetworkBackend,
    fixture: &'a NetworkFixture,
    cx: OpCx,
}

impl Suite<'_> {
    async fn ports(&self) -> Vec<Port> {
        let mut ports = self.backend.ports(&self.cx).await.expect("ports can be listed");
        ports.sort_by_key(|p| p.id);
        ports
    }

    fn request(&self, card: u8, bridge: Option<&BridgeName>) -> PortRequest {
        let id = PortId { vmid: self.fixture.vmid, nic: card.try_into().expect("a valid card") };
        let mac = MacAddr::local([0xfe, 0xed, card]);
        PortRequest { id, bridge: bridge.cloned(), mac, vlan: None, trunks: Vec::new(), mtu: None, queues: 0 }
    }

    async fn attach(&self, request: &PortRequest) -> Ensured<Port> {
        self.backend.attach(&self.cx, request).await.expect("a port can be attached")
    }

    async fn set_link(&self, id: PortId, up: bool) {
        self.backend.set_link(&self.cx, id, up).await.expect("the link of a port can be set");
    }

    async fn detach(&self, id: PortId) -> Removed {
        self.backend.detach(&self.cx, id).await.expect("a port can be detached, also one that is gone")
    }

    /// True if the port's link is up; panics if it is not there.
    async fn is_up(&self, id: PortId) -> bool {
        self.ports().await.into_iter().find(|p| p.id == id).expect("an attached port is listed").up
    }

    async fn missing_things_are_told(&self) {
        let id = self.request(7, None).id;
        assert_eq!(self.detach(id).await, Removed::WasAbsent, "detaching what is not there is no error");
        let error = self.backend.set_link(&self.cx, id, true).await.expect_err("a link that is not there cannot be set");
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    }

    async fn user_networking(&self) {
        let request = self.request(0, None);
        let port = self.attach(&request).await.into_inner();
        assert_eq!((port.id, port.access), (request.id, PortAccess::User), "a port without bridge is user-mode networking");
        self.detach(request.id).await;
    }

    async fn a_port_lives(&self, bridge: &BridgeName) {
        let request = self.request(0, Some(bridge));
        let Ensured::Made(port) = self.attach(&request).await else { panic!("the first attach makes the port") };
        assert_eq!(port.id, request.id);
        assert!(!port.up, "a port is made with its link down");
        if let PortAccess::Tap { interface } = &port.access {
            assert_eq!(interface.as_str(), request.id.tap_name(), "a tap has PVE's name");
        }
        let Ensured::Already(again) = self.attach(&request).await else { panic!("a repeated attach finds the port") };
        assert_eq!((again.id, again.access), (port.id, port.access));
        assert!(!self.is_up(request.id).await);
        for up in [true, true, false, false, true] {
            self.set_link(request.id, up).await;
            assert_eq!(self.is_up(request.id).await, up, "the link is as it was set");
        }
        let second = self.request(1, Some(bridge));
        self.attach(&second).await;
        assert_eq!(self.detach(request.id).await, Removed::Gone);
        assert!(!self.is_up(second.id).await, "detaching one port leaves the other");
        assert_eq!((self.detach(second.id).await, self.detach(second.id).await), (Removed::Gone, Removed::WasAbsent));
    }

    async fn a_port_is_corrected(&self, bridge: &BridgeName) {
        let wrong = PortRequest { mtu: Some(1400.try_into().expect("a valid MTU")), ..self.request(0, Some(bridge)) };
        self.attach(&wrong).await;
        let right = PortRequest { mtu: Some(1300.try_into().expect("a valid MTU")), ..wrong };
        let port = self.attach(&right).await.into_inner();
        assert_eq!(port.mtu, right.mtu, "a port that is there otherwise is corrected");
        let listed = self.ports().await.into_iter().filter(|p| p.id == right.id).count();
        assert_eq!(listed, 1, "a corrected port is there once");
        self.detach(right.id).await;
    }

    async fn tags(&self, bridge: &BridgeName) {
        let tagged = PortRequest { vlan: Some(42.try_into().expect("a valid tag")), ..self.request(0, Some(bridge)) };
        if self.backend.capabilities().vlans {
            self.attach(&tagged).await;
            self.detach(tagged.id).await;
            return;
        }
        let error = self.backend.attach(&self.cx, &tagged).await.expect_err("a backend without VLANs refuses tags");
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
        assert_eq!(self.detach(tagged.id).await, Removed::WasAbsent, "a refused attach leaves nothing");
    }

    async fn an_unknown_bridge_leaves_nothing(&self) {
        let request = self.request(0, Some(&"nosuchbr0".parse().expect("a valid name")));
        let error = self.backend.attach(&self.cx, &request).await.expect_err("an unknown bridge is an error");
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains("nosuchbr0"), "the error names the bridge: {error}");
        assert_eq!(self.detach(request.id).await, Removed::WasAbsent, "a failed attach leaves nothing");
    }
}
