//! The server: one state, two dialects, several listeners.
//!
//! | module | what |
//! | --- | --- |
//! | `listen` | sockets, TLS 1.3, HTTP/1.1, graceful end |
//! | `http` | from a request to a dialect and back |
//! | `console`, `websocket` | consoles of both dialects |
//! | `pve2` | `/api2/json` |
//! | `v1` | `/api/v1` |
//! | [`metrics`] | figures for Prometheus |
//! | [`accounts`] | users, tokens, session keys |

pub mod accounts;
mod console;
mod http;
mod listen;
pub mod metrics;
mod pve2;
mod v1;
mod websocket;

use std::sync::Arc;

use gpve_api::route::{Dialect, Router};
use gpve_auth::{Authority, SessionKeys, UnixTime};
use gpve_core::control::ControlPlane;
use gpve_core::ports::Clock;
use gpve_core::types::NodeName;

use crate::config::DirSetting;

pub use listen::{Listening, Tls, listen};

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<State>);

/// The parts of an [`App`].
pub struct State {
    /// Decides.
    pub plane: ControlPlane,
    /// Who there is.
    pub accounts: accounts::AccountStore,
    /// Signs sessions.
    pub keys: SessionKeys,
    /// Who may what.
    pub authority: Box<dyn Authority>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The node that this server runs on, `local` in answers.
    pub node: NodeName,
    /// SHA-256 of the server's certificate, colon-separated, for clients that pin it.
    pub fingerprint: String,
    /// The certificate in PEM form.
    pub certificate: String,
    /// Storages as they are configured.
    pub storages: Vec<DirSetting>,
    /// Status for a guest that does not exist, in Proxmox VE's dialect: 500 as there, or 404 for clients that expect it.
    pub missing_guest_status: u16,
    /// What is counted.
    pub metrics: metrics::Metrics,
    tickets: console::Tickets,
    pve2: Router,
    v1: Router,
}

/// What a server is told beside its ports.
#[derive(Debug, Clone)]
pub struct About {
    /// The node that it runs on.
    pub node: NodeName,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// It in PEM form.
    pub certificate: String,
    /// Its storages.
    pub storages: Vec<DirSetting>,
    /// See [`State::missing_guest_status`].
    pub missing_guest_status: u16,
}

impl App {
    /// From its parts.
    pub fn new(
        plane: ControlPlane,
        (accounts, keys): (accounts::AccountStore, SessionKeys),
        authority: Box<dyn Authority>,
        clock: Arc<dyn Clock>,
        about: About,
    ) -> Self {
        let [pve2, v1] = [Dialect::Pve2, Dialect::V1].map(gpve_api::routes::router);
        let metrics = metrics::Metrics::new();
        let About { node, fingerprint, certificate, storages, missing_guest_status } = about;
        Self(Arc::new(State {
            plane,
            accounts,
            keys,
            authority,
            clock,
            node,
            fingerprint,
            certificate,
            storages,
            missing_guest_status,
            metrics,
            tickets: console::Tickets::default(),
            pve2,
            v1,
        }))
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.clock.now().secs())
    }
}

impl std::ops::Deref for App {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}
