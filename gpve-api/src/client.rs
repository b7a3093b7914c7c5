//! A client over HTTP, made from the route table. What `gpvectl` uses.
//!
//! ```no_run
//! # async fn example() -> gpve_core::error::Result<()> {
//! use gpve_api::client::{Client, Endpoint, Request};
//! use gpve_api::routes::Operation;
//!
//! let client = Client::new(Endpoint::new("https://127.0.0.1:8006")?)?;
//! client.login("root@pam", "secret".into()).await?;
//! let started = client.send(Request::to(Operation::V1VmAction).verb("start").path("namespace", "default").path("name", "web")).await?;
//! println!("{started}");
//! # Ok(())
//! # }
//! ```
//!
//! Reads, and writes with an idempotency key, are repeated with back-off when the server says that it may help or does not
//! answer at all; nothing else is. Every call can be dropped at any time; a write that was sent may then have been done.

mod connect;
mod request;
mod retry;
mod session;
mod tasks;
mod watch;

pub use connect::{Client, Endpoint, Trust};
pub use request::Request;
pub use retry::Backoff;
pub use session::{Session, SessionSecrets};
pub use tasks::Progress;
pub use watch::GuestWatch;
