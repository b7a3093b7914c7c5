//! Virtual machines on QEMU, embedded in your program or on a server: the gpve crates in one dependency.
//!
//! | | |
//! | --- | --- |
//! | [`Local`] | this machine's guests, without a server |
//! | [`client`] | the client of a server; [`Local::client`] is the same, answered in this process |
//! | [`native`] | the operations of the native API on a control plane, for servers of your own |
//! | [`node()`] | the node engine with QEMU, directories, bridges or user-mode networking |
//! | [`LinuxHost`] | facts and use of this machine |
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let directory = tempfile::tempdir().unwrap();
//! use gpve::Local;
//!
//! let here = Local::builder(directory.path()).simulated(true).open().await?;
//! let machines = here.client().virtual_machines("default");
//! let web = serde_json::json!({ "metadata": { "name": "web" }, "spec": { "memory": { "size": "256Mi" } } });
//! machines.create(&web).await?.job.await?;
//! machines.start("web").await?.await?;
//! assert_eq!(machines.get("web").await?.status.phase.to_string(), "Running");
//! # here.close().await;
//! # gpve::Result::<()>::Ok(()) }).unwrap();
//! ```
//!
//! # Invariants
//! - What a client asks of a [`Local`] takes the same way as over HTTP: the route table checks it, [`native`] performs it.
//! - Dropping everything leaves guests running.

mod hooks;
mod linux_host;
mod local;
pub mod native;
mod node;

pub use gpve_api::client;
pub use gpve_api::v1;
pub use gpve_core::error::{Error, ErrorKind, Result, Retry};
pub use gpve_core::ports::ByteStream;
pub use gpve_core::types::{GuestPhase, Vmid};
pub use gpve_storage::DirConfig;
pub use linux_host::LinuxHost;
pub use local::{Local, LocalBuilder};
pub use node::{NodeOptions, PluginOption, node, open_store};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
