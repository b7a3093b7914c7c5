//! The composition root: the only place that constructs adapters.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gpve_auth::Administrator;
use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::ControlPlane;
use gpve_core::error::{Error, Result};
use gpve_core::node::{NodeBuilder, NodeEngine};
use gpve_core::ports::{Clock, GuestDriver, Host, NetworkBackend, StoragePlugin, Store};
use gpve_core::testing::mem::{MemHost, MemNetwork, MemQemu, MemSampler, MemStorage};
use gpve_core::types::{IfName, NodeName};
use gpve_exec::{Identity, System, Tools};
use gpve_net::{NetConfig, detect};
use gpve_qmp::qemu::config::{QemuConfig, TapOpener};
use gpve_qmp::qemu::driver::QemuDriver;
use gpve_storage::{DirConfig, DirStorage};
use gpve_store::EmbeddedStore;

use crate::agent::LinuxHost;
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

/// The adapters of one node.
struct Adapters {
    driver: Arc<dyn GuestDriver>,
    network: Arc<dyn NetworkBackend>,
    storages: Vec<Arc<dyn StoragePlugin>>,
    host: Arc<dyn Host>,
}

/// Starts a server all in one: control plane and node in one process.
pub async fn serve(options: &ServerOptions) -> Result<Server> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let layout = &options.node.layout;
    let made = || (layout.path("pki/server.crt"), layout.path("pki/server.key"));
    let (certificate, key) = options.tls.clone().unwrap_or_else(made);
    let tls = Tls::load(&certificate, &key)?;
    let store = open(&layout.path("server.db"), &clock).await?;
    let accounts = AccountStore::load(Arc::clone(&store)).await?;
    let node = node(&options.node, &clock).await?;
    let plane = ControlPlane::builder(store, Arc::clone(&clock), Arc::new(Bus::new())).node(Arc::new(node.clone())).build().await?;
    for late in plane.ready(NODE_PATIENCE).await {
        tracing::warn!(node = %late, "a node has not told what it has yet");
    }
    let about = About {
        node: options.node.node.clone(),
        fingerprint: tls.fingerprint.clone(),
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
    let adapters = if options.simulated { simulated(options, clock)? } else { real(options, clock).await? };
    let file = if options.simulated { "sim.db" } else { "node.db" };
    let mut builder = NodeBuilder::new(options.node.clone())
        .store(open(&options.layout.path(file), clock).await?)
        .driver(adapters.driver)
        .network(adapters.network)
        .clock(Arc::clone(clock))
        .host(adapters.host);
    for storage in adapters.storages {
        builder = builder.storage(storage);
    }
    builder.build().await
}

/// Opens a store file.
pub async fn open(path: &std::path::Path, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(EmbeddedStore::open(path, Arc::clone(clock)).await?))
}

async fn real(options: &NodeOptions, clock: &Arc<dyn Clock>) -> Result<Adapters> {
    let identity = guest_identity(&options.guest_user)?;
    let owner = identity.as_ref().map(|i| i.uid);
    let driver = QemuDriver::new(QemuConfig {
        runtime_root: options.runtime_root.clone(),
        state_dir: options.layout.root().to_path_buf(),
        identity,
        tools: Tools::system(),
        clock: Arc::clone(clock),
    })?
    .with_taps(Arc::new(Taps));
    let verdict = driver.accelerator().await.clone();
    tracing::info!(reason = verdict.reason, proven = verdict.proven, "KVM was probed");
    let accelerator = if verdict.proven { "kvm" } else { "tcg" };
    let runner = Arc::new(System::new(Tools::system()));
    let mut storages: Vec<Arc<dyn StoragePlugin>> = Vec::new();
    for setting in &options.storages {
        storages.push(Arc::new(DirStorage::new(dir(setting)?, runner.clone())?));
    }
    let host = LinuxHost::new(options.node.clone(), Arc::clone(clock)).with_qemu(None, Some(accelerator.to_owned()));
    let network = detect(NetConfig { owner }).await;
    if let Some(reason) = &network.limited_because {
        tracing::warn!(reason, "guests have user-mode networking only");
    }
    Ok(Adapters { driver: Arc::new(driver), network: network.backend, storages, host: Arc::new(host) })
}

fn simulated(options: &NodeOptions, clock: &Arc<dyn Clock>) -> Result<Adapters> {
    let host = MemHost::new(Arc::clone(clock));
    let mut storages: Vec<Arc<dyn StoragePlugin>> = Vec::new();
    for setting in &options.storages {
        storages.push(Arc::new(MemStorage::new(host.clone(), dir(setting)?.id)));
    }
    Ok(Adapters {
        driver: Arc::new(MemQemu::new(host.clone())),
        network: Arc::new(MemNetwork::new(host.clone())),
        storages,
        host: Arc::new(MemSampler::new(host, options.node.clone())),
    })
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

/// The user that guests run as; none if this process is not root and guests can only run as it.
fn guest_identity(user: &str) -> Result<Option<Identity>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| Error::internal("wire", format!("/etc/passwd: {e}")))?;
    let entry = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&user));
    let ids = entry.and_then(|f| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)));
    match ids {
        Some((uid, gid)) => Ok(Some(Identity { uid, gid, groups: Vec::new() })),
        None => Err(Error::field("wire", "guest-user", format!("there is no user '{user}': make one with 'useradd --system {user}'"))),
    }
}

/// Joins QEMU and the host's network: an unprivileged QEMU may not open `/dev/net/tun`, so it is given the queues open.
struct Taps;

impl TapOpener for Taps {
    fn open(&self, interface: &IfName, queues: u8) -> std::io::Result<Vec<OwnedFd>> {
        (0..queues).map(|_| gpve_net::Tap::open(interface, queues > 1).map(Into::into)).collect()
    }
}
