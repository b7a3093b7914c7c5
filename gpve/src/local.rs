//! Control plane and node in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gpve_api::client::{Client, Events, Reply, Request, Session, Transport};
use gpve_api::v1::{VmObject, WatchEvent};
use gpve_core::bus::Bus;
use gpve_core::clock::SystemClock;
use gpve_core::control::{Call, ControlPlane};
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::node::NodeEngine;
use gpve_core::ports::{ByteStream, Clock, StoragePlugin};
use gpve_core::types::{NodeName, TextError, UserId};
use gpve_storage::DirConfig;
use gpve_store::EmbeddedStore;

use crate::native::{Asked, Watch};
use crate::node::{NodeOptions, PluginOption, node, open_store};

/// How long the node may take at start to tell what it has; reads are incomplete until then.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// This machine's virtual machines, without a server. Cheap to clone; dropping the last clone leaves guests running, and the next one
/// over the same directory takes them up again.
#[derive(Clone)]
pub struct Local {
    plane: ControlPlane,
    node: NodeEngine,
    stores: [Arc<EmbeddedStore>; 2],
    user: UserId,
    is_closed: Arc<AtomicBool>,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Takes what a [`Local`] is made of.
#[derive(Debug)]
pub struct LocalBuilder {
    data_dir: PathBuf,
    runtime_dir: Option<PathBuf>,
    node: Option<NodeName>,
    simulated: bool,
    guest_user: String,
    storages: Vec<DirConfig>,
    plugins: Vec<PluginOption>,
}

impl LocalBuilder {
    /// Everything in memory: no QEMU, no disks, no bridges. For tests and for trying things out.
    #[must_use]
    pub fn simulated(mut self, simulated: bool) -> Self {
        self.simulated = simulated;
        self
    }

    /// Adds a directory storage; without any, there is `local` below the data directory.
    #[must_use]
    pub fn storage(mut self, storage: DirConfig) -> Self {
        self.storages.push(storage);
        self
    }

    /// Adds a storage of your own.
    #[must_use]
    pub fn plugin(mut self, storage: Arc<dyn StoragePlugin>) -> Self {
        self.plugins.push(PluginOption(storage));
        self
    }

    /// Where guests' sockets are; `run` below the data directory unless given. Keep it short: a socket's path has at most 107 bytes.
    #[must_use]
    pub fn runtime_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.runtime_dir = Some(directory.into());
        self
    }

    /// The user that guests run as when this process is root: `nobody` unless given.
    #[must_use]
    pub fn guest_user(mut self, user: impl Into<String>) -> Self {
        self.guest_user = user.into();
        self
    }

    /// The node's name in tasks and objects: `localhost` unless given.
    #[must_use]
    pub fn node(mut self, name: NodeName) -> Self {
        self.node = Some(name);
        self
    }

    /// Starts it: takes up running guests and goes on with interrupted work.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the option, [`ErrorKind::Unavailable`] when another process uses the directory.
    pub async fn open(self) -> Result<Local> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        make(&self.data_dir)?;
        let options = self.options()?;
        let store = open_store(&options.data_dir.join("server.db"), &clock).await?;
        let of_node = open_store(&options.store_path(), &clock).await?;
        let stores = [Arc::clone(&store), Arc::clone(&of_node)];
        let node = node(&options, of_node, &clock).await?;
        let plane = ControlPlane::builder(store, clock, Arc::new(Bus::new())).node(Arc::new(node.clone())).build().await?;
        if let Some(late) = plane.ready(NODE_PATIENCE).await.first() {
            return Err(Error::new(ErrorKind::Timeout, "local.open", format!("node '{late}' has not told what it has")));
        }
        Ok(Local { plane, node, stores, user: fixed("root@pam")?, is_closed: Arc::default() })
    }
}

impl LocalBuilder {
    fn options(self) -> Result<NodeOptions> {
        let mut storages = self.storages;
        if storages.is_empty() && self.plugins.is_empty() {
            storages.push(DirConfig::new(fixed("local")?, self.data_dir.join("storage/local")));
        }
        Ok(NodeOptions {
            name: self.node.map_or_else(|| fixed("localhost"), Ok)?,
            runtime_dir: self.runtime_dir.unwrap_or_else(|| self.data_dir.join("run")),
            data_dir: self.data_dir,
            simulated: self.simulated,
            guest_user: self.guest_user,
            storages,
            plugins: self.plugins,
        })
    }
}

/// A name of our own, which is a good one.
fn fixed<T: std::str::FromStr<Err = TextError>>(name: &str) -> Result<T> {
    name.parse().map_err(|e: TextError| Error::internal("local.open", e.to_string()))
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::PermissionDenied { ErrorKind::PermissionDenied } else { ErrorKind::Unavailable };
        Error::new(kind, "local.open", format!("{}: {e}", directory.display()))
    })
}

impl Local {
    /// State is kept in `directory`, an absolute path, made if it is not there; one process uses it at a time.
    pub fn builder(directory: impl Into<PathBuf>) -> LocalBuilder {
        LocalBuilder {
            data_dir: directory.into(),
            runtime_dir: None,
            node: None,
            simulated: false,
            guest_user: "nobody".to_owned(),
            storages: Vec::new(),
            plugins: Vec::new(),
        }
    }

    /// The same client as that of a server, answered in this process.
    pub fn client(&self) -> Client {
        Client::over(self.clone())
    }

    /// What decides: for what the client does not have.
    pub const fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Stops working without stopping guests, and lets go of the directory: what is under way goes on when it is opened again. Clients
    /// of it get errors from then on.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.plane.shutdown();
        self.node.close();
        for store in &self.stores {
            store.close().await;
        }
    }

    fn asked(&self, request: &Request) -> Result<Asked> {
        // What is in memory would still be told, and not be so any more.
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::precondition("local", "it was closed"));
        }
        let (matched, given) = request.matched()?;
        if matched.route.dialect != gpve_api::route::Dialect::V1 {
            return Err(Error::unsupported("local", "only operations of the native API are answered without a server"));
        }
        let params = matched.validate(given).map_err(Error::from)?;
        let key = request.idempotency_key().map(str::parse).transpose();
        let key = key.map_err(|e: TextError| Error::field("local", "idempotencyKey", e.to_string()))?;
        let call = Call { dry_run: params.flag("dryRun"), idempotency_key: key, ..Call::by(self.user.clone()) };
        let body = request.body().map_or_else(Bytes::new, |document| document.to_string().into());
        Ok(Asked { plane: self.plane.clone(), matched, params, call, body, is_root: true, is_yaml: false })
    }
}

#[async_trait]
impl Transport for Local {
    async fn send(&self, request: &Request) -> Result<Reply> {
        let answered = self.asked(request)?.answer().await?;
        let data = serde_json::from_slice(&answered.body).map_err(|e| Error::internal("local", e.to_string()))?;
        let tasks = answered.headers.iter().filter(|(name, _)| *name == "gpve-task").flat_map(|(_, tasks)| tasks.split(", "));
        Ok(Reply { data, tasks: tasks.filter(|task| !task.is_empty()).map(str::to_owned).collect() })
    }

    async fn watch(&self, request: &Request) -> Result<Box<dyn Events>> {
        Ok(Box::new(Changes(Watch::open(&self.asked(request)?, None).await?)))
    }

    async fn console(&self, request: &Request) -> Result<Box<dyn ByteStream>> {
        self.asked(request)?.console().await
    }

    fn set_session(&self, _session: Session) -> Result<()> {
        Err(Error::unsupported("local", "there is nobody to log in to: whoever holds this may do everything"))
    }
}

struct Changes(Watch);

#[async_trait]
impl Events for Changes {
    async fn next(&mut self) -> Result<WatchEvent<VmObject>> {
        let ended = || Error::new(ErrorKind::Unavailable, "local.watch", "the watch has ended");
        self.0.next().await.ok_or_else(ended)
    }
}
