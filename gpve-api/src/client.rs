//! A client, made from the route table: over HTTP, or over any [`Transport`]. What `gpvectl` and the bindings use.
//!
//! ```no_run
//! # async fn example() -> gpve_core::error::Result<()> {
//! use gpve_api::client::Client;
//!
//! let client = Client::new("https://127.0.0.1:8006", "root@pam!ci=…")?;
//! let machines = client.virtual_machines("default");
//! machines.start("web").await?.await?;
//! println!("{:?}", machines.get("web").await?.status.phase);
//! # Ok(())
//! # }
//! ```
//!
//! Reads, and writes with an idempotency key, are repeated with back-off when the server says that it may help or does not
//! answer at all; nothing else is. Every call can be dropped at any time; a write that was sent may then have been done.

mod connect;
mod http;
mod machines;
mod request;
mod retry;
mod session;
mod storage;
mod tasks;
mod transport;
mod watch;

pub use connect::Client;
pub use gpve_core::control::Plan;
pub use http::{Endpoint, Trust};
pub use machines::{Changed, VirtualMachines};
pub use request::Request;
pub use retry::Backoff;
pub use session::{Session, SessionSecrets};
pub use storage::Storage;
pub use tasks::{Job, Progress};
pub use transport::{Events, Reply, Transport};
pub use watch::GuestWatch;
