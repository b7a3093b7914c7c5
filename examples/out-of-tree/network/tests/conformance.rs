//! The backend keeps the promises of gpve's network port, and frames pass.

use gpve_core::error::ErrorKind;
use gpve_core::ports::{NetworkBackend as _, OpCx, PortId, PortRequest};
use gpve_core::testing::conformance::{self, NetworkFixture};
use gpve_core::types::MacAddr;
use out_of_tree_network::{FRAMES_MAX, Hubs};

fn hubs() -> Hubs {
    Hubs::new(["vmbr1", "vmbr0"].map(|name| name.parse().unwrap()))
}

/// A port of a guest in a hub, with its link up.
async fn plugged(hubs: &Hubs, vmid: u32, bridge: &str) -> PortId {
    let id = PortId { vmid: vmid.try_into().unwrap(), nic: 0.try_into().unwrap() };
    let mac = MacAddr::local([0, 0, 1]);
    let request = PortRequest { id, bridge: Some(bridge.parse().unwrap()), mac, vlan: None, trunks: Vec::new(), mtu: None, queues: 1 };
    hubs.attach(&OpCx::background(), &request).await.unwrap();
    hubs.set_link(&OpCx::background(), id, true).await.unwrap();
    id
}

#[tokio::test]
async fn the_backend_keeps_the_promises_of_the_network_port() {
    conformance::network(&hubs(), NetworkFixture::new(Some("vmbr0".parse().unwrap()))).await;
}

#[tokio::test]
async fn a_frame_is_heard_by_all_others_of_its_hub_and_by_nobody_else() {
    let hubs = hubs();
    let (a, b) = (plugged(&hubs, 100, "vmbr0").await, plugged(&hubs, 101, "vmbr0").await);
    let elsewhere = plugged(&hubs, 102, "vmbr1").await;
    hubs.send(a, b"who is there?").unwrap();
    assert_eq!(hubs.receive(b).unwrap().as_deref(), Some(&b"who is there?"[..]));
    assert_eq!([b, a, elsewhere].map(|port| hubs.receive(port).unwrap()), [None, None, None]);
}

#[tokio::test]
async fn nothing_passes_a_link_that_is_down_or_a_frame_too_long() {
    let (hubs, cx) = (hubs(), OpCx::background());
    let (a, b) = (plugged(&hubs, 100, "vmbr0").await, plugged(&hubs, 101, "vmbr0").await);
    hubs.send(a, &[0; 1515]).unwrap();
    hubs.set_link(&cx, b, false).await.unwrap();
    hubs.send(a, b"to nobody").unwrap();
    hubs.send(b, b"from nobody").unwrap();
    hubs.set_link(&cx, b, true).await.unwrap();
    hubs.send(a, &[0; 1514]).unwrap();
    assert_eq!((hubs.receive(a).unwrap(), hubs.receive(b).unwrap().map(|f| f.len())), (None, Some(1514)));
    hubs.detach(&cx, b).await.unwrap();
    assert_eq!(hubs.send(b, b"I am gone").unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_port_that_nobody_reads_keeps_the_newest_frames() {
    let hubs = hubs();
    let (a, b) = (plugged(&hubs, 100, "vmbr0").await, plugged(&hubs, 101, "vmbr0").await);
    for n in 0..=FRAMES_MAX {
        hubs.send(a, &n.to_be_bytes()).unwrap();
    }
    assert_eq!(hubs.receive(b).unwrap(), Some(1_usize.to_be_bytes().to_vec()), "the first was lost");
}
