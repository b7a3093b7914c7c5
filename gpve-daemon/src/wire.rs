//! The composition root: the server's parts around the node that `gpve` composes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gpve::open_store;
use gpve_auth::Administrator;
use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::ControlPlane;
use gpve_core::error::{Error, Result};
use gpve_core::node::NodeEngine;
use gpve_core::ports::{Clock, Store};
use gpve_core::types::NodeName;
use gpve_storage::DirConfig;

use crate::config::DirSetting;
use crate::server::accounts::AccountStore;
use crate::server::metrics::{Scraped, scrape};
use crate::server::{About, App, Listening, Tls, listen};
use crate::setup::Layout;

/// How long the node may take at start to tell what it has; reads are incomplete until then.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// What a node is made of.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The data directory.
    pub layout: Layout,
    /// Its name.
    pub node: NodeName,
    /// Everything in memory: no QEMU, no disks, no bridges.
    pub simulated: bool,
    /// The user that guests run as, when this process is root.
    pub guest_user: String,
    /// Where guests' sockets are; short and gone after a boot.
    pub runtime_root: PathBuf,
    /// Its storages.
    pub storages: Vec<DirSetting>,
}

/// Where Prometheus scrapes.
#[derive(Debug, Clone, Copy)]
pub enum Scrape {
    /// Nowhere.
    Nowhere,
    /// Here, or the server does not start.
    At(SocketAddr),
    /// Here, unless something else listens there: nobody asked for it.
    IfFree(SocketAddr),
}

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The node in the same process.
    pub node: NodeOptions,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Where Prometheus scrapes.
    pub metrics: Scrape,
    /// Certificate and key; those that `init` made unless given.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Status for a guest that does not exist: 500 as Proxmox VE, or 404.
    pub missing_guest_status: u16,
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub listening: Listening,
    scraped: Option<Scraped>,
    node: NodeEngine,
    plane: ControlPlane,
}

impl Server {
    /// Where Prometheus scrapes.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.scraped.as_ref().map(|s| s.address)
    }

    /// Stops serving; guests keep running.
    pub async fn stop(self) {
        self.listening.stop().await;
        drop(self.scraped);
        self.plane.shutdown();
        self.node.close();
    }
}

/// Starts a server all in one: control plane and node in one process.
pub async fn serve(options: &ServerOptions) -> Result<Server> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let layout = &options.node.layout;
    let made = || (layout.path("pki/server.crt"), layout.path("pki/server.key"));
    let (certificate, key) = options.tls.clone().unwrap_or_else(made);
    let tls = Tls::load(&certificate, &key)?;
    let store: Arc<dyn Store> = open_store(&layout.path("server.db"), &clock).await?;
    let accounts = AccountStore::load(Arc::clone(&store)).await?;
    let node = node(&options.node, &clock).await?;
    let plane = ControlPlane::builder(store, Arc::clone(&clock), Arc::new(Bus::new())).node(Arc::new(node.clone())).build().await?;
    for late in plane.ready(NODE_PATIENCE).await {
        tracing::warn!(node = %late, "a node has not told what it has yet");
    }
    let about = About {
        node: options.node.node.clone(),
        fingerprint: tls.fingerprint.clone(),
        certificate: tls.certificate.clone(),
        storages: options.node.storages.clone(),
        missing_guest_status: options.missing_guest_status,
    };
    let app = App::new(plane.clone(), accounts, Box::new(Administrator), clock, about);
    let scraped = match options.metrics {
        Scrape::Nowhere => None,
        Scrape::At(address) => Some(scrape(app.clone(), address).await?),
        Scrape::IfFree(address) => match scrape(app.clone(), address).await {
            Ok(scraped) => Some(scraped),
            Err(e) => {
                tracing::warn!(error = %e.report(), "no figures are served: say where with --metrics-listen");
                None
            }
        },
    };
    let listening = listen(app, &tls, &options.listen).await?;
    Ok(Server { listening, scraped, node, plane })
}

/// Starts a node engine: takes up running guests and goes on with interrupted work.
pub async fn node(options: &NodeOptions, clock: &Arc<dyn Clock>) -> Result<NodeEngine> {
    let storages = options.storages.iter().map(dir).collect::<Result<_>>()?;
    let options = gpve::NodeOptions {
        name: options.node.clone(),
        data_dir: options.layout.root().to_path_buf(),
        runtime_dir: options.runtime_root.clone(),
        simulated: options.simulated,
        guest_user: options.guest_user.clone(),
        storages,
        plugins: Vec::new(),
    };
    let store = open_store(&options.store_path(), clock).await?;
    gpve::node(&options, store, clock).await
}

/// A folder storage as its plugin wants it.
fn dir(setting: &DirSetting) -> Result<DirConfig> {
    let refused = |field: &str, e: &dyn std::fmt::Display| Error::field("wire", format!("storage.{field}"), e.to_string());
    let id = setting.name.parse().map_err(|e| refused("name", &e))?;
    let mut config = DirConfig::new(id, &setting.path);
    if !setting.content.is_empty() {
        config.content =
            setting.content.iter().map(|c| c.parse()).collect::<std::result::Result<_, _>>().map_err(|e| refused("content", &e))?;
    }
    Ok(config)
}
