use gpve_core::error::ErrorKind;
use gpve_core::ports::{Ensured, NetworkBackend as _, PortAccess, PortRequest, Removed};
use gpve_core::testing::conformance::{NetworkFixture, network};
use gpve_net::detect;
use serde_json::json;

use crate::frames::Guest;
use crate::namespace::{OWNER, card, cx, inside, ip, plug, shown, with_bridge};

#[test]
fn a_linux_bridge_keeps_the_promises_of_the_network_port() {
    inside("host_bridge::a_linux_bridge_keeps_the_promises_of_the_network_port", || async {
        let bridge = with_bridge().await;
        let before = ip("-json link show");
        network(&bridge, NetworkFixture::new(Some("vmbr0".parse().unwrap()))).await;
        // The bridge's own address follows its ports and goes back.
        assert_eq!(names(&ip("-json link show")), names(&before));
    });
}

/// Asks until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("the awaited state never came");
}

fn names(links: &str) -> Vec<String> {
    let links: serde_json::Value = serde_json::from_str(links).unwrap();
    links.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_attached_and_detached_leaves_the_host_as_it_was() {
    inside("host_bridge::what_was_attached_and_detached_leaves_the_host_as_it_was", || async {
        let network = with_bridge().await;
        // A port of the host's own, so that the bridge's address and state are settled.
        ip("link add host0 address 02:00:00:00:00:01 type veth peer name host1");
        ip("link set host0 master vmbr0 up");
        ip("link set host1 up");
        until(|| ["vmbr0", "host0", "host1"].iter().all(|name| shown(name)["operstate"] == json!("UP"))).await;
        let before = ip("-json link show");
        for nic in 0..4 {
            plug(&network, &card(nic)).await;
        }
        let in_use = Guest::open(&card(3));
        for request in [
            PortRequest { bridge: Some("nosuch0".parse().unwrap()), ..card(9) },
            PortRequest { mtu: Some(9000.try_into().unwrap()), ..card(9) },
        ] {
            network.attach(&cx(), &request).await.unwrap_err();
        }
        for nic in 0..4 {
            assert_eq!(network.detach(&cx(), card(nic).id).await.unwrap(), Removed::Gone);
        }
        // The kernel tells the bridge's state a moment later.
        until(|| ip("-json link show") == before).await;
        drop(in_use);
    });
}

#[test]
fn a_port_is_what_pve_makes_and_belongs_to_qemus_user() {
    inside("host_bridge::a_port_is_what_pve_makes_and_belongs_to_qemus_user", || async {
        let network = with_bridge().await;
        let request = PortRequest { mtu: Some(1400.try_into().unwrap()), ..card(3) };
        let Ensured::Made(port) = network.attach(&cx(), &request).await.unwrap() else { panic!("it was there") };
        assert_eq!(port.access, PortAccess::Tap { interface: "tap100i3".parse().unwrap() });
        assert_eq!((port.mtu.unwrap().get(), port.up), (1400, false));
        let tap = shown("tap100i3");
        assert_eq!((&tap["master"], &tap["mtu"], &tap["address"]), (&json!("vmbr0"), &json!(1500), &json!("fe:67:70:00:00:03")));
        assert_eq!((&tap["operstate"], &tap["ifalias"]), (&json!("DOWN"), &json!("gpve mtu=1400")));
        let facts = &tap["linkinfo"]["info_data"];
        assert_eq!((&facts["type"], &facts["persist"], &facts["multi_queue"]), (&json!("tap"), &json!(true), &json!(false)));
        assert_eq!(
            facts["user"].as_str().map(str::to_owned).or_else(|| facts["user"].as_u64().map(|id| id.to_string())),
            Some(OWNER.to_string())
        );
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv6/conf/tap100i3/disable_ipv6").unwrap().trim(), "1");
        assert_eq!(network.ports(&cx()).await.unwrap(), [port]);
    });
}

#[test]
fn a_bridge_keeps_its_address_and_mtu_whatever_is_plugged_in() {
    inside("host_bridge::a_bridge_keeps_its_address_and_mtu_whatever_is_plugged_in", || async {
        let network = with_bridge().await;
        ip("link add host0 address bc:24:11:00:00:99 type veth peer name host1");
        ip("link set host0 master vmbr0 up");
        let before = shown("vmbr0");
        plug(&network, &PortRequest { mac: "02:00:00:00:00:01".parse().unwrap(), mtu: Some(576.try_into().unwrap()), ..card(0) }).await;
        let after = shown("vmbr0");
        assert_eq!((&after["address"], &after["mtu"]), (&before["address"], &before["mtu"]));
        assert_eq!(after["address"], json!("bc:24:11:00:00:99"));
    });
}

#[test]
fn a_port_that_is_there_otherwise_is_corrected() {
    inside("host_bridge::a_port_that_is_there_otherwise_is_corrected", || async {
        let network = with_bridge().await;
        ip("link add vmbr1 type bridge");
        // Somebody else's tap, open to everybody; one in another bridge, up; one of another kind of queues.
        ip("tuntap add name tap100i0 mode tap");
        plug(&network, &PortRequest { bridge: Some("vmbr1".parse().unwrap()), ..card(1) }).await;
        network.attach(&cx(), &PortRequest { queues: 4, ..card(2) }).await.unwrap();
        for nic in 0..3 {
            let Ensured::Made(port) = network.attach(&cx(), &card(nic)).await.unwrap() else { panic!("nothing was corrected") };
            let tap = shown(&card(nic).id.tap_name());
            assert_eq!((port.up, &tap["master"], &tap["operstate"]), (false, &json!("vmbr0"), &json!("DOWN")));
            assert_eq!(tap["linkinfo"]["info_data"]["multi_queue"], json!(false));
            assert!(matches!(network.attach(&cx(), &card(nic)).await.unwrap(), Ensured::Already(_)));
        }
    });
}

#[test]
fn an_interface_of_the_name_that_is_no_tap_is_left_alone() {
    inside("host_bridge::an_interface_of_the_name_that_is_no_tap_is_left_alone", || async {
        let network = with_bridge().await;
        ip("link add tap100i0 type bridge");
        ip("tuntap add name tap100i1 mode tun");
        ip("link add host0 type veth peer name host1");
        for nic in 0..2 {
            let error = network.attach(&cx(), &card(nic)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::FailedPrecondition, "{error:?}");
            assert_eq!(network.detach(&cx(), card(nic).id).await.unwrap(), Removed::WasAbsent);
            shown(&card(nic).id.tap_name());
        }
        assert_eq!(network.ports(&cx()).await.unwrap(), []);
        let no_bridge = PortRequest { bridge: Some("host0".parse().unwrap()), ..card(2) };
        let error = network.attach(&cx(), &no_bridge).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::FailedPrecondition, "interface host0 is no bridge"));
    });
}

#[test]
fn what_a_bridge_cannot_do_is_refused_with_the_reason() {
    inside("host_bridge::what_a_bridge_cannot_do_is_refused_with_the_reason", || async {
        let network = with_bridge().await;
        let cases = [
            (PortRequest { mtu: Some(1501.try_into().unwrap()), ..card(0) }, "mtu: 1501 is more than bridge vmbr0 carries, which is 1500"),
            (PortRequest { queues: 65, ..card(0) }, "queues: 65 is more than 64"),
            (
                PortRequest { trunks: vec![7.try_into().unwrap()], ..card(0) },
                "VLAN 7 cannot be used: ports with VLAN tags are not supported yet, leave the tag out",
            ),
        ];
        for (request, message) in cases {
            assert_eq!(network.attach(&cx(), &request).await.unwrap_err().message, message);
        }
        assert_eq!(network.ports(&cx()).await.unwrap(), []);
    });
}

#[test]
fn queues_are_opened_as_many_as_were_asked_for() {
    inside("host_bridge::queues_are_opened_as_many_as_were_asked_for", || async {
        let network = with_bridge().await;
        let many = PortRequest { queues: 4, ..card(0) };
        plug(&network, &many).await;
        plug(&network, &card(1)).await;
        assert_eq!(network.open_queues(many.id, 4).await.unwrap().len(), 4);
        assert_eq!(network.open_queues(card(1).id, 1).await.unwrap().len(), 1);
        assert_eq!(network.open_queues(card(1).id, 2).await.unwrap_err().kind, ErrorKind::InvalidInput);
        assert_eq!(network.open_queues(card(2).id, 1).await.unwrap_err().kind, ErrorKind::NotFound);
    });
}

#[test]
fn opening_a_tap_that_is_not_there_makes_none() {
    inside("host_bridge::opening_a_tap_that_is_not_there_makes_none", || async {
        let network = with_bridge().await;
        let before = names(&ip("-json link show"));
        let error = gpve_net::Tap::open(&"tap100i0".parse().unwrap(), false).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        assert_eq!(names(&ip("-json link show")), before);
        network.attach(&cx(), &card(0)).await.unwrap();
        let wrong_queues = gpve_net::Tap::open(&"tap100i0".parse().unwrap(), true).unwrap_err();
        assert_eq!(wrong_queues.kind(), std::io::ErrorKind::InvalidInput);
    });
}

#[test]
fn many_ports_come_and_go_at_once() {
    inside("host_bridge::many_ports_come_and_go_at_once", || async {
        let network = std::sync::Arc::new(with_bridge().await);
        let before = names(&ip("-json link show"));
        let guests = (100..300u32).map(|vmid| {
            let network = std::sync::Arc::clone(&network);
            tokio::spawn(async move {
                let mut request = card(0);
                request.id.vmid = vmid.try_into().unwrap();
                plug(&network, &request).await;
                assert!(matches!(network.attach(&cx(), &request).await.unwrap(), Ensured::Already(port) if port.up));
                network.detach(&cx(), request.id).await.unwrap();
            })
        });
        for guest in guests.collect::<Vec<_>>() {
            guest.await.unwrap();
        }
        assert_eq!(names(&ip("-json link show")), before);
    });
}

#[test]
fn root_is_given_bridges() {
    inside("host_bridge::root_is_given_bridges", || async {
        let found = detect(gpve_net::NetConfig::default()).await;
        assert_eq!((found.backend.kind(), found.limited_because), ("linux-bridge", None));
    });
}
