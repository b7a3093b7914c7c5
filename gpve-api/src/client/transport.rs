//! How requests reach whoever answers them.

use std::fmt::Debug;

use async_trait::async_trait;
use gpve_core::error::Error;
use gpve_core::ports::ByteStream;
use serde_json::Value as Json;

use super::{Request, Session};
use crate::v1::{VmObject, WatchEvent};

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Its document; in Proxmox VE's dialect what `data` holds.
    pub data: Json,
    /// Tasks that carry the change out, where the document is not the task itself.
    pub tasks: Vec<String>,
}

/// Carries requests to a server, over HTTP or within the process. A client works the same over each.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends a request once.
    async fn send(&self, request: &Request) -> Result<Reply, Error>;

    /// Opens a stream of changes.
    async fn watch(&self, request: &Request) -> Result<Box<dyn Events>, Error>;

    /// Opens a guest's console.
    async fn console(&self, request: &Request) -> Result<Box<dyn ByteStream>, Error>;

    /// Proves from now on who asks by `session`.
    ///
    /// # Errors
    /// When there is nobody to prove it to.
    fn set_session(&self, session: Session) -> Result<(), Error>;
}

/// A stream of changes; an error ends it.
#[async_trait]
pub trait Events: Send {
    /// The next event, bookmarks included. Cancel safe.
    async fn next(&mut self) -> Result<WatchEvent<VmObject>, Error>;
}
