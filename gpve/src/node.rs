//! The node of this machine: the engine with every adapter.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gpve_core::error::{Error, Result};
use gpve_core::node::{NodeBuilder, NodeEngine};
use gpve_core::ports::{Clock, GuestDriver, Hooks, Host, NetworkBackend, StoragePlugin, Store};
use gpve_core::testing::mem::{MemHooks, MemHost, MemNetwork, MemQemu, MemSampler, MemStorage};
use gpve_core::types::{IfName, NodeName};
use gpve_exec::{Identity, System, Tools};
use gpve_net::{NetConfig, detect};
use gpve_qmp::qemu::config::{QemuConfig, TapOpener};
use gpve_qmp::qemu::driver::QemuDriver;
use gpve_storage::{DirConfig, DirStorage};
use gpve_store::EmbeddedStore;

use crate::LinuxHost;
use crate::hooks::HostHooks;

/// What a node is made of.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name.
    pub name: NodeName,
    /// Where its state is kept, and what QEMU leaves behind.
    pub data_dir: PathBuf,
    /// Where guests' sockets are: a short path, gone after a boot.
    pub runtime_dir: PathBuf,
    /// Everything in memory: no QEMU, no disks, no bridges. What it keeps in `data_dir` is real.
    pub simulated: bool,
    /// The user that guests run as when this process is root; otherwise guests run as this process.
    pub guest_user: String,
    /// Its directory storages.
    pub storages: Vec<DirConfig>,
    /// Storages of your own, beside them.
    pub plugins: Vec<PluginOption>,
}

/// A storage of an embedder's own.
#[derive(Clone)]
pub struct PluginOption(pub Arc<dyn StoragePlugin>);

impl std::fmt::Debug for PluginOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0.id(), self.0.kind())
    }
}

/// The adapters of one node.
struct Adapters {
    driver: Arc<dyn GuestDriver>,
    network: Arc<dyn NetworkBackend>,
    storages: Vec<Arc<dyn StoragePlugin>>,
    host: Arc<dyn Host>,
    hooks: Arc<dyn Hooks>,
}

impl NodeOptions {
    /// The file of its store; a simulated node has another one.
    pub fn store_path(&self) -> PathBuf {
        self.data_dir.join(if self.simulated { "sim.db" } else { "node.db" })
    }
}

/// Starts a node engine over a store that is its alone: takes up running guests and goes on with interrupted work.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](gpve_core::error::ErrorKind::InvalidInput) naming the option.
pub async fn node(options: &NodeOptions, store: Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Result<NodeEngine> {
    let adapters = if options.simulated { simulated(options, clock) } else { real(options, clock).await? };
    let mut builder = NodeBuilder::new(options.name.clone())
        .store(store)
        .driver(adapters.driver)
        .network(adapters.network)
        .clock(Arc::clone(clock))
        .host(adapters.host)
        .hooks(adapters.hooks);
    for storage in adapters.storages.into_iter().chain(options.plugins.iter().map(|plugin| Arc::clone(&plugin.0))) {
        builder = builder.storage(storage);
    }
    builder.build().await
}

/// Opens a store file, made if it is not there.
///
/// # Errors
/// [`ErrorKind::Unavailable`](gpve_core::error::ErrorKind::Unavailable) when another process has it open.
pub async fn open_store(path: &Path, clock: &Arc<dyn Clock>) -> Result<Arc<EmbeddedStore>> {
    Ok(Arc::new(EmbeddedStore::open(path, Arc::clone(clock)).await?))
}

async fn real(options: &NodeOptions, clock: &Arc<dyn Clock>) -> Result<Adapters> {
    let identity = guest_identity(&options.guest_user)?;
    let owner = identity.as_ref().map(|i| i.uid);
    let driver = QemuDriver::new(QemuConfig {
        runtime_root: options.runtime_dir.clone(),
        state_dir: options.data_dir.clone(),
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
        storages.push(Arc::new(DirStorage::new(setting.clone(), runner.clone())?));
    }
    let host = LinuxHost::new(options.name.clone(), Arc::clone(clock)).with_qemu(None, Some(accelerator.to_owned()));
    let network = detect(NetConfig { owner }).await;
    if let Some(reason) = &network.limited_because {
        tracing::warn!(reason, "guests have user-mode networking only");
    }
    let hooks = Arc::new(HostHooks::new(runner));
    Ok(Adapters { driver: Arc::new(driver), network: network.backend, storages, host: Arc::new(host), hooks })
}

fn simulated(options: &NodeOptions, clock: &Arc<dyn Clock>) -> Adapters {
    let host = MemHost::new(Arc::clone(clock));
    let mut storages: Vec<Arc<dyn StoragePlugin>> = Vec::new();
    for setting in &options.storages {
        storages.push(Arc::new(MemStorage::new(host.clone(), setting.id.clone())));
    }
    Adapters {
        driver: Arc::new(MemQemu::new(host.clone())),
        network: Arc::new(MemNetwork::new(host.clone())),
        storages,
        host: Arc::new(MemSampler::new(host, options.name.clone())),
        hooks: Arc::new(MemHooks::new()),
    }
}

/// The user that guests run as; none if this process is not root and guests can only run as it.
fn guest_identity(user: &str) -> Result<Option<Identity>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| Error::internal("node", format!("/etc/passwd: {e}")))?;
    let entry = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&user));
    let ids = entry.and_then(|f| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)));
    match ids {
        Some((uid, gid)) => Ok(Some(Identity { uid, gid, groups: Vec::new() })),
        None => Err(Error::field("node", "guest-user", format!("there is no user '{user}': make one with 'useradd --system {user}'"))),
    }
}

/// Joins QEMU and the host's network: an unprivileged QEMU may not open `/dev/net/tun`, so it is given the queues open.
struct Taps;

impl TapOpener for Taps {
    fn open(&self, interface: &IfName, queues: u8) -> std::io::Result<Vec<OwnedFd>> {
        (0..queues).map(|_| gpve_net::Tap::open(interface, queues > 1).map(Into::into)).collect()
    }
}
