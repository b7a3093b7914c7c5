//! The `Host` port: what the machine under a node is, and how busy.

use async_trait::async_trait;

use super::node_message::NodeInfo;
use crate::error::Result;

/// The machine. Sampled by the node engine every few seconds; never called for a client's read.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Facts and use now.
    async fn sample(&self) -> Result<NodeInfo>;
}
