use std::sync::Arc;

use gpve_core::ports::NetworkBackend;

use crate::bridge::{LinuxBridge, NetConfig};
use crate::user::UserNet;

/// What [`detect`] found.
pub struct Detected {
    /// The backend to use.
    pub backend: Arc<dyn NetworkBackend>,
    /// Why it is user-mode networking only, if it is.
    pub limited_because: Option<String>,
}

impl std::fmt::Debug for Detected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detected").field("kind", &self.backend.kind()).field("limited_because", &self.limited_because).finish()
    }
}

/// Bridges where this process may use them, else user-mode networking. Never fails; never changes the host.
pub async fn detect(config: NetConfig) -> Detected {
    match LinuxBridge::connect(config).await {
        Ok(bridges) => Detected { backend: Arc::new(bridges), limited_because: None },
        Err(missing) => {
            tracing::info!(%missing, "user-mode networking only");
            let reason = missing.to_string();
            Detected { backend: Arc::new(UserNet::new(reason.clone())), limited_because: Some(reason) }
        }
    }
}
