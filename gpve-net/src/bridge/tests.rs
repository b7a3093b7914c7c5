use gpve_core::ports::{PortId, PortRequest};
use gpve_core::types::Mtu;

use super::link::{Kind, Link, TapFacts, TooLarge, Wanted, host_address, port_of};

fn request(mtu: Option<u16>) -> PortRequest {
    let id = PortId { vmid: 100.try_into().unwrap(), nic: 0.try_into().unwrap() };
    let mtu = mtu.map(|mtu| Mtu::try_from(mtu).unwrap());
    PortRequest { id, bridge: None, mac: "BC:24:11:00:00:01".parse().unwrap(), vlan: None, trunks: Vec::new(), mtu, queues: 0 }
}

fn bridge() -> Link {
    Link { index: 7, name: "vmbr0".to_owned(), mtu: 1500, kind: Kind::Bridge { filters_vlans: false }, ..Link::default() }
}

#[test]
fn only_names_that_ports_get_are_ports() {
    for name in ["tap100i0", "tap999999999i9", "tap100i31"] {
        assert_eq!(port_of(name).unwrap().tap_name(), name);
    }
    for name in
        ["tap0", "tap100", "tap100i", "tap100i32", "tap100i00", "tap0100i0", "tap99i0", "xtap100i0", "tap100i0x", "fwpr100p0", "veth100i0"]
    {
        assert_eq!(port_of(name), None, "{name}");
    }
}

#[test]
fn the_hosts_address_is_high_and_never_the_guests() {
    let host = |text: &str| host_address(text.parse().unwrap());
    assert_eq!(host("BC:24:11:00:00:01"), [0xfe, 0x24, 0x11, 0, 0, 1]);
    assert_eq!(host("FE:24:11:00:00:01"), [0xfa, 0x24, 0x11, 0, 0, 1]);
}

#[test]
fn a_guest_is_told_what_was_asked_for_and_the_interface_has_the_bridges_mtu() {
    for (asked, told, alias) in [(None, 1500, "gpve"), (Some(1), 1500, "gpve"), (Some(1400), 1400, "gpve mtu=1400")] {
        let wanted = Wanted::of(&request(asked), &bridge(), 0).unwrap();
        assert_eq!((wanted.mtu, wanted.told_mtu().unwrap().get(), wanted.alias.as_str()), (1500, told, alias));
    }
    assert_eq!(Wanted::of(&request(Some(9000)), &bridge(), 0), Err(TooLarge { asked: 9000, bridge: 1500 }));
}

#[test]
fn a_tap_of_another_owner_or_with_other_queues_is_not_kept() {
    let wanted = Wanted::of(&request(None), &bridge(), 1000).unwrap();
    let facts = TapFacts { owner: Some(1000), is_persistent: true, is_multi_queue: false };
    let link = |facts| Link { kind: Kind::Tap(facts), ..Link::default() };
    assert!(wanted.is_kept_by(&link(facts)));
    assert!(!wanted.is_met_by(&link(facts)), "it is in no bridge");
    // Without an owner everybody may open it.
    for other in [
        TapFacts { owner: None, ..facts },
        TapFacts { owner: Some(0), ..facts },
        TapFacts { is_multi_queue: true, ..facts },
        TapFacts { is_persistent: false, ..facts },
    ] {
        assert!(!wanted.is_kept_by(&link(other)), "{other:?}");
    }
}
