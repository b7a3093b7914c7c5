use std::os::fd::OwnedFd;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{BridgeInfo, Ensured, NetworkBackend, NetworkCapabilities, OpCx, Port, PortAccess, PortId, PortRequest, Removed};
use gpve_core::types::{BridgeName, IfName};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::link::{Kind, Link, Wanted};
use super::netlink::{Netlink, NetlinkError};
use crate::port::{Tap, check_device};
use crate::user::UserNet;

const ATTACH: &str = "port.attach";
/// The kernel's limit on queues of one tap.
const QUEUES_MAX: u8 = 64;

/// Configuration of the bridges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetConfig {
    /// The user id that QEMU runs as, which may open the taps; absent: root.
    #[serde(default)]
    pub owner: Option<u32>,
}

/// What a process lacks to use bridges.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// A privilege.
    #[error("bridges need root or the capability CAP_NET_ADMIN")]
    Privilege,
    /// The device that taps are made through.
    #[error("/dev/net/tun cannot be opened ({0}); as root: modprobe tun")]
    Tun(#[source] std::io::Error),
    /// The kernel's interface.
    #[error("no netlink socket can be opened ({0})")]
    Netlink(#[source] std::io::Error),
}

/// Ports in the bridges of this host, as persistent taps named as PVE names them. A request without a bridge gets
/// user-mode networking. Keeps nothing of bridged ports itself: what is on the host is the truth.
#[derive(Debug)]
pub struct LinuxBridge {
    netlink: Netlink,
    owner: u32,
    user: UserNet,
}

impl LinuxBridge {
    /// The bridges of the network namespace that this process is in. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`Missing`] says what is missing and how to get it.
    pub async fn connect(config: NetConfig) -> Result<Self, Missing> {
        let capabilities = rustix::thread::capabilities(None).map_err(|_| Missing::Privilege)?;
        if !capabilities.effective.contains(CapabilitySet::NET_ADMIN) {
            return Err(Missing::Privilege);
        }
        check_device().map_err(Missing::Tun)?;
        let netlink = Netlink::open().map_err(Missing::Netlink)?;
        Ok(Self { netlink, owner: config.owner.unwrap_or(0), user: UserNet::default() })
    }

    /// Opens `count` queues of a port, to be handed to a QEMU that may not open `/dev/net/tun` itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] for more than one queue of a port that was made with one.
    pub async fn open_queues(&self, id: PortId, count: u8) -> Result<Vec<OwnedFd>> {
        const OP: &str = "port.open";
        let (_, link, facts) = self.tap(OP, id).await?.ok_or_else(|| Error::not_found(OP, format!("port {id}")))?;
        if count == 0 || count > QUEUES_MAX || count > 1 && !facts.is_multi_queue {
            return Err(Error::field(OP, "queues", format!("{id} has not {count} queues")).on(id));
        }
        let name: IfName = link.name.parse().map_err(|error| Error::internal(OP, "a tap's name is no name").because(&error))?;
        let open = move || (0..count).map(|_| Tap::open(&name, facts.is_multi_queue).map(OwnedFd::from)).collect();
        blocking(OP, id, open).await
    }

    /// The tap of a port with its facts, unless the name is absent or somebody else's.
    async fn tap(&self, op: &str, id: PortId) -> Result<Option<(IfName, Link, super::link::TapFacts)>> {
        let name = tap_name(op, id)?;
        let link = self.netlink.link(name.as_str()).await.map_err(|error| failed(op, id, &error))?;
        Ok(match link {
            Some(link) => match link.kind {
                Kind::Tap(facts) => Some((name, link, facts)),
                Kind::Bridge { .. } | Kind::Other => None,
            },
            None => None,
        })
    }

    async fn bridge(&self, id: PortId, name: &BridgeName) -> Result<Link> {
        let link = self.netlink.link(name.as_str()).await.map_err(|error| failed(ATTACH, id, &error))?;
        let absent = || {
            let text = format!("bridge {name} does not exist on this host");
            Error::new(ErrorKind::NotFound, ATTACH, text).on(name)
        };
        match link.ok_or_else(absent)? {
            link @ Link { kind: Kind::Bridge { .. }, .. } => Ok(link),
            _ => Err(Error::precondition(ATTACH, format!("interface {name} is no bridge")).on(name)),
        }
    }

    async fn plug(&self, request: &PortRequest, bridge: &BridgeName) -> Result<Ensured<Port>> {
        let id = request.id;
        let bridge = self.bridge(id, bridge).await?;
        let wanted = Wanted::of(request, &bridge, self.owner).map_err(|too_large| {
            let (asked, most) = (too_large.asked, too_large.bridge);
            Error::field(ATTACH, "mtu", format!("{asked} is more than bridge {} carries, which is {most}", bridge.name)).on(id)
        })?;
        let name = tap_name(ATTACH, id)?;
        let answer = |up| Port { id, access: PortAccess::Tap { interface: name.clone() }, mtu: wanted.told_mtu(), up };
        let there = self.netlink.link(name.as_str()).await.map_err(|error| failed(ATTACH, id, &error))?;
        match there {
            Some(link) if wanted.is_met_by(&link) => return Ok(Ensured::Already(answer(link.is_up))),
            Some(link) if wanted.is_kept_by(&link) => self.finish(id, link.index, &wanted).await?,
            Some(Link { kind: Kind::Tap(_), index, .. }) => {
                self.netlink.delete(index).await.map_err(|error| failed(ATTACH, id, &error))?;
                self.make(id, &name, &wanted).await?;
            }
            Some(_) => {
                let text = format!("interface {name} exists and is no tap; gpve names ports so: rename it");
                return Err(Error::precondition(ATTACH, text).on(id));
            }
            None => self.make(id, &name, &wanted).await?,
        }
        Ok(Ensured::Made(answer(false)))
    }

    async fn make(&self, id: PortId, name: &IfName, wanted: &Wanted) -> Result<()> {
        let (tap, owner, is_multi_queue) = (name.clone(), self.owner, wanted.facts.is_multi_queue);
        blocking(ATTACH, id, move || Tap::make(&tap, owner, is_multi_queue)).await?;
        let made = self.netlink.link(name.as_str()).await.map_err(|error| failed(ATTACH, id, &error))?;
        let made = made.ok_or_else(|| Error::internal(ATTACH, format!("{name} vanished right after it was made")).on(id))?;
        self.finish(id, made.index, wanted).await
    }

    /// Configures a tap; deletes it when that fails.
    async fn finish(&self, id: PortId, index: u32, wanted: &Wanted) -> Result<()> {
        let name = tap_name(ATTACH, id)?;
        let configured = async {
            without_ipv6(&name);
            self.netlink.configure(index, wanted).await
        };
        let Err(error) = configured.await else { return Ok(()) };
        if let Err(stays) = self.netlink.delete(index).await {
            tracing::warn!(port = %id, %stays, "a port that could not be finished stays on the host");
        }
        Err(failed(ATTACH, id, &error))
    }
}

#[async_trait]
impl NetworkBackend for LinuxBridge {
    fn kind(&self) -> &str {
        "linux-bridge"
    }

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { bridges: true, vlans: false, multi_queue: true }
    }

    async fn bridges(&self, cx: &OpCx) -> Result<Vec<BridgeInfo>> {
        const OP: &str = "network.bridges";
        let links = cx.run(OP, async { self.netlink.links().await.map_err(|error| failed(OP, "bridges", &error)) }).await?;
        let mut bridges: Vec<_> = links.iter().filter_map(Link::bridge).collect();
        bridges.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(bridges)
    }

    async fn attach(&self, cx: &OpCx, request: &PortRequest) -> Result<Ensured<Port>> {
        // A few milliseconds: it is not cut off in the middle, so it never leaves half a port to a caller that gave up.
        cx.run(ATTACH, async { Ok(()) }).await?;
        if request.queues > QUEUES_MAX {
            return Err(Error::field(ATTACH, "queues", format!("{} is more than {QUEUES_MAX}", request.queues)).on(request.id));
        }
        let Some(bridge) = &request.bridge else { return self.user.plug(request.id) };
        if let Some(tag) = request.vlan.or(request.trunks.first().copied()) {
            let text = format!("VLAN {tag} cannot be used: ports with VLAN tags are not supported yet, leave the tag out");
            return Err(Error::unsupported(ATTACH, text).on(request.id));
        }
        let port = self.plug(request, bridge).await?;
        // The card may have had user-mode networking before.
        self.user.unplug(request.id);
        Ok(port)
    }

    async fn set_link(&self, cx: &OpCx, id: PortId, up: bool) -> Result<()> {
        const OP: &str = "port.set-link";
        cx.run(OP, async { Ok(()) }).await?;
        match self.tap(OP, id).await? {
            Some((_, link, _)) => self.netlink.set_up(link.index, up).await.map_err(|error| failed(OP, id, &error)),
            None if self.user.has(id) => Ok(()),
            None => Err(Error::not_found(OP, format!("port {id}"))),
        }
    }

    async fn detach(&self, _cx: &OpCx, id: PortId) -> Result<Removed> {
        const OP: &str = "port.detach";
        let user = self.user.unplug(id);
        match self.tap(OP, id).await? {
            Some((_, link, _)) => {
                self.netlink.delete(link.index).await.map_err(|error| failed(OP, id, &error))?;
                Ok(Removed::Gone)
            }
            None => Ok(user),
        }
    }

    async fn ports(&self, cx: &OpCx) -> Result<Vec<Port>> {
        const OP: &str = "network.ports";
        let links = cx.run(OP, async { self.netlink.links().await.map_err(|error| failed(OP, "ports", &error)) }).await?;
        let mut ports: Vec<_> = links.iter().filter_map(Link::port).chain(self.user.all()).collect();
        ports.sort_by_key(|port| port.id);
        Ok(ports)
    }
}

fn tap_name(op: &str, id: PortId) -> Result<IfName> {
    id.tap_name().parse().map_err(|error| Error::internal(op, "a port has no valid interface name").because(&error).on(id))
}

/// Keeps the host's IPv6 off the interface: it would send router solicitations to the guest. A host without IPv6 has no such switch.
fn without_ipv6(name: &IfName) {
    let switch = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    if let Err(error) = std::fs::write(&switch, "1")
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%switch, %error, "the host's IPv6 stays on a guest's port");
    }
}

async fn blocking<T: Send + 'static>(op: &str, id: PortId, work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| system_error(op, id, &error)),
        Err(error) => Err(Error::internal(op, "the worker thread died").on(id).because(&error)),
    }
}

fn failed(op: &str, subject: impl std::fmt::Display, error: &NetlinkError) -> Error {
    match error {
        NetlinkError::Refused(source) => system_error(op, subject, source),
        NetlinkError::Socket(_) | NetlinkError::NoAnswer => {
            Error::new(ErrorKind::Unavailable, op, format!("{subject}: {error}")).on(subject)
        }
    }
}

fn system_error(op: &str, subject: impl std::fmt::Display, source: &std::io::Error) -> Error {
    let (kind, text) = match Errno::from_io_error(source) {
        Some(Errno::PERM | Errno::ACCESS) => (ErrorKind::FailedPrecondition, "it needs root or the capability CAP_NET_ADMIN"),
        Some(Errno::NODEV | Errno::NXIO) => (ErrorKind::NotFound, "the interface is gone"),
        Some(Errno::BUSY | Errno::EXIST) => (ErrorKind::Conflict, "the interface is in use"),
        Some(Errno::NOMEM | Errno::NOBUFS | Errno::MFILE | Errno::NFILE | Errno::XFULL) => {
            (ErrorKind::ResourceExhausted, "the host has no room for another port")
        }
        _ => (ErrorKind::Internal, "the kernel refused it"),
    };
    Error::new(kind, op, format!("{subject}: {text}")).on(subject).because(source)
}
