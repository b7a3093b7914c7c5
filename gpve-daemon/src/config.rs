//! Configuration files: both spellings of the design documents, read into one [`Settings`].
//!
//! | file | schema |
//! | --- | --- |
//! | `gpve.yaml`, `gpve.conf`, `config.yaml` | `gpve` (document 000) |
//! | `server.yaml` | `ServerConfiguration` (document 002); known by its `kind` |
//! | `agent.yaml` | `AgentConfiguration` (document 002); known by its `kind` |
//!
//! Unknown keys are refused with file, line and column; `${NAME}` is replaced from the environment. Keys that this version
//! reads and has no use for yet are named in [`Settings::without_effect`], never passed over in silence.

mod agent;
mod cluster;
mod load;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use agent::{AgentConfiguration, AgentSettings};
pub use cluster::GpveConfiguration;
pub use load::{FILES, Loaded, find, load};
pub use server::ServerConfiguration;

/// What a server is told by its file. Switches of the command line go before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Name of the cluster.
    pub cluster: Option<String>,
    /// Name of this node.
    pub node: Option<String>,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key, both PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Storages.
    pub storages: Vec<DirSetting>,
    /// Where Prometheus scrapes.
    pub metrics: Option<SocketAddr>,
    /// Nowhere: the file says `enabled: false`.
    pub metrics_off: bool,
    /// `error`, `warn`, `info` or `debug`.
    pub log_level: Option<String>,
    /// Where logs go; standard error unless given.
    pub log_file: Option<PathBuf>,
    /// Keys that were given and that this version has no use for.
    pub without_effect: Vec<&'static str>,
}

/// A folder storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirSetting {
    /// Name.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// What it may hold; everything if empty.
    pub content: Vec<String>,
}

/// An address as the documents write it: `0.0.0.0:8006`, or `:9090` for every address.
fn socket(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| format!("'{text}' is not ADDRESS:PORT"))
}
