use gpve_core::error::ErrorKind;
use gpve_core::ports::NetworkBackend as _;
use gpve_core::testing::conformance::{NetworkFixture, network};
use gpve_net::UserNet;

use crate::namespace::{card, cx};

#[tokio::test]
async fn user_networking_keeps_the_promises_of_the_network_port() {
    network(&UserNet::default(), NetworkFixture::new(None)).await;
}

#[tokio::test]
async fn a_bridge_without_privileges_is_refused_with_the_reason() {
    let error = UserNet::new("bridges need root").attach(&cx(), &card(0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(error.message, "bridge vmbr0 cannot be used: bridges need root; a card without a bridge has user-mode networking");
}
