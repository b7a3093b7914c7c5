//! The Node port's suite, direct and over bytes.

use std::sync::Arc;

use gpve_core::node::{Loopback, RemoteNode};
use gpve_core::ports::Node;
use gpve_core::testing::conformance::{self, NodeFixture};

use super::rig::{Rig, spec, vmid};

#[tokio::test]
async fn the_engine_keeps_the_promises_of_its_port() {
    let rig = Rig::new().await;
    conformance::node(&rig.node, NodeFixture { vmid: vmid(100), spec: spec() }).await;
    assert!(rig.dump().is_empty(), "nothing is left: {:?}", rig.dump());
}

#[tokio::test]
async fn a_node_behind_bytes_keeps_the_same_promises() {
    let rig = Rig::new().await;
    let node: Arc<dyn Node> = Arc::new(rig.node.clone());
    let remote = RemoteNode::new("pve".parse().unwrap(), Arc::new(Loopback::new(node)));
    conformance::node(&remote, NodeFixture { vmid: vmid(100), spec: spec() }).await;
    assert!(rig.dump().is_empty(), "nothing is left: {:?}", rig.dump());
}
