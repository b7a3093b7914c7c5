//! What an interface is: read from the kernel's messages, compared with what is wanted. Pure.

use gpve_core::ports::{BridgeInfo, Port, PortAccess, PortId, PortRequest};
use gpve_core::types::{MacAddr, Mtu};
use rtnetlink::packet_core::Nla as _;
use rtnetlink::packet_route::link::{InfoBridge, InfoData, InfoKind, InfoTun, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;
const TYPE_TAP: u8 = 2;
/// What the alias of our taps begins with; `ip link` shows it.
const ALIAS_MARK: &str = "gpve";
/// "The bridge's", in PVE's words.
const MTU_OF_BRIDGE: u16 = 1;

/// An interface of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) is_up: bool,
    pub(super) mtu: u32,
    pub(super) master: Option<u32>,
    pub(super) address: Vec<u8>,
    pub(super) alias: String,
    pub(super) kind: Kind,
}

/// What sort of interface it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge {
        filters_vlans: bool,
    },
    Tap(TapFacts),
    #[default]
    Other,
}

/// What is fixed when a tap is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TapFacts {
    pub(super) owner: Option<u32>,
    pub(super) is_persistent: bool,
    pub(super) is_multi_queue: bool,
}

impl Link {
    pub(super) fn read(message: LinkMessage) -> Self {
        let mut link = Self { index: message.header.index, is_up: message.header.flags.contains(LinkFlags::Up), ..Self::default() };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Controller(index) => link.master = Some(index),
                LinkAttribute::Address(address) => link.address = address,
                LinkAttribute::IfAlias(alias) => link.alias = alias,
                LinkAttribute::LinkInfo(info) => link.kind = Kind::read(&info),
                _ => {}
            }
        }
        link
    }

    /// The bridge that it is, if gpve can name it.
    pub(super) fn bridge(&self) -> Option<BridgeInfo> {
        let Kind::Bridge { filters_vlans } = self.kind else { return None };
        let mtu = u16::try_from(self.mtu).unwrap_or(u16::MAX);
        Some(BridgeInfo { name: self.name.parse().ok()?, up: self.is_up, mtu, vlan_aware: filters_vlans })
    }

    /// The port that it is, by its name and kind.
    pub(super) fn port(&self) -> Option<Port> {
        let Kind::Tap(_) = self.kind else { return None };
        let id = port_of(&self.name)?;
        let told = self.alias.strip_prefix(ALIAS_MARK).and_then(|rest| rest.strip_prefix(" mtu=")).and_then(|mtu| mtu.parse().ok());
        let mtu = told.or_else(|| u16::try_from(self.mtu).ok().and_then(|mtu| Mtu::try_from(mtu).ok()));
        Some(Port { id, access: PortAccess::Tap { interface: self.name.parse().ok()? }, mtu, up: self.is_up })
    }
}

impl Kind {
    fn read(info: &[LinkInfo]) -> Self {
        let data = info.iter().find_map(|part| if let LinkInfo::Data(data) = part { Some(data) } else { None });
        let kind = info.iter().find_map(|part| if let LinkInfo::Kind(kind) = part { Some(kind) } else { None });
        match (kind, data) {
            (Some(InfoKind::Bridge), Some(InfoData::Bridge(facts))) => {
                Self::Bridge { filters_vlans: facts.contains(&InfoBridge::VlanFiltering(true)) }
            }
            (Some(InfoKind::Bridge), _) => Self::Bridge { filters_vlans: false },
            (Some(InfoKind::Tun), Some(InfoData::Tun(facts))) => Self::tun(facts),
            _ => Self::Other,
        }
    }

    fn tun(facts: &[InfoTun]) -> Self {
        let value = |kind: u16| {
            facts.iter().find_map(|fact| match fact {
                InfoTun::Other(raw) if raw.kind() == kind => {
                    let mut bytes = vec![0; raw.value_len()];
                    raw.emit_value(&mut bytes);
                    Some(bytes)
                }
                _ => None,
            })
        };
        let byte = |kind: u16| value(kind).and_then(|bytes| bytes.first().copied()).unwrap_or(0);
        if byte(IFLA_TUN_TYPE) != TYPE_TAP {
            return Self::Other;
        }
        let owner = value(IFLA_TUN_OWNER).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        Self::Tap(TapFacts { owner, is_persistent: byte(IFLA_TUN_PERSIST) != 0, is_multi_queue: byte(IFLA_TUN_MULTI_QUEUE) != 0 })
    }
}

/// How a port's interface is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) facts: TapFacts,
    pub(super) bridge: u32,
    pub(super) mtu: u32,
    pub(super) address: [u8; 6],
    pub(super) alias: String,
    told_mtu: u32,
}

impl Wanted {
    /// The interface has the bridge's MTU, as PVE's have: a smaller one would make the kernel lower that of the bridge,
    /// and with it that of all others. The guest is told what was asked for; the alias remembers it.
    pub(super) fn of(request: &PortRequest, bridge: &Link, owner: u32) -> Result<Self, TooLarge> {
        let asked = request.mtu.map(Mtu::get).filter(|mtu| *mtu != MTU_OF_BRIDGE).map(u32::from);
        let told_mtu = asked.unwrap_or(bridge.mtu);
        if told_mtu > bridge.mtu {
            return Err(TooLarge { asked: told_mtu, bridge: bridge.mtu });
        }
        let is_multi_queue = request.queues > 1;
        Ok(Self {
            facts: TapFacts { owner: Some(owner), is_persistent: true, is_multi_queue },
            bridge: bridge.index,
            mtu: bridge.mtu,
            address: host_address(request.mac),
            alias: asked.map_or_else(|| ALIAS_MARK.to_owned(), |mtu| format!("{ALIAS_MARK} mtu={mtu}")),
            told_mtu,
        })
    }

    /// True if what cannot be changed any more is right.
    pub(super) fn is_kept_by(&self, link: &Link) -> bool {
        link.kind == Kind::Tap(self.facts)
    }

    /// True if nothing has to be done.
    pub(super) fn is_met_by(&self, link: &Link) -> bool {
        let same_address = link.address == self.address;
        self.is_kept_by(link) && link.master == Some(self.bridge) && link.mtu == self.mtu && same_address && link.alias == self.alias
    }

    /// What the guest's side is told.
    pub(super) fn told_mtu(&self) -> Option<Mtu> {
        u16::try_from(self.told_mtu).ok().and_then(|mtu| Mtu::try_from(mtu).ok())
    }
}

/// An MTU that the bridge cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    pub(super) asked: u32,
    pub(super) bridge: u32,
}

/// The address of the host's side: the guest's with the highest first byte, because a bridge takes the lowest address
/// of its ports for its own.
pub(super) fn host_address(guest: MacAddr) -> [u8; 6] {
    let mut address = guest.octets();
    address[0] = if address[0] == 0xfe { 0xfa } else { 0xfe };
    address
}

/// The port that an interface of this name is.
pub(super) fn port_of(name: &str) -> Option<PortId> {
    let (vmid, nic) = name.strip_prefix("tap")?.split_once('i')?;
    let id = PortId { vmid: vmid.parse().ok()?, nic: nic.parse::<u8>().ok()?.try_into().ok()? };
    (id.tap_name() == name).then_some(id)
}
