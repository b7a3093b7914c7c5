//! Watching virtual machines.

use std::sync::Arc;

use gpve_core::error::Error;

use super::transport::Events;
use super::{Backoff, Client, Request};
use crate::routes::Operation;
use crate::v1::{VmObject, WatchEvent, WatchType};

/// A watch of virtual machines that reconnects by itself.
///
/// It resumes after the last event it gave, so that nothing is missed or told twice. When the server no longer keeps the
/// history in between, [`GuestWatch::next`] gives [`ErrorKind::Conflict`](gpve_core::error::ErrorKind::Conflict): list again and watch
/// from there.
pub struct GuestWatch {
    client: Client,
    namespace: Option<String>,
    selector: Option<String>,
    position: String,
    stream: Option<Box<dyn Events>>,
    backoff: Backoff,
}

impl std::fmt::Debug for GuestWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestWatch").field("namespace", &self.namespace).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Client {
    /// Watches virtual machines of `namespace` (all if none) after `resource_version`, which a list gave.
    pub fn watch(&self, namespace: Option<&str>, selector: Option<&str>, resource_version: &str) -> GuestWatch {
        GuestWatch {
            client: self.clone(),
            namespace: namespace.map(str::to_owned),
            selector: selector.map(str::to_owned),
            position: resource_version.to_owned(),
            stream: None,
            backoff: Backoff::default(),
        }
    }
}

impl GuestWatch {
    /// Resume after this.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// The next event that is no bookmark. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](gpve_core::error::ErrorKind::Conflict) when history is gone; an error that a retry does not help; or the
    /// last of several failures to reconnect.
    pub async fn next(&mut self) -> Result<WatchEvent<VmObject>, Error> {
        loop {
            let error = match self.step().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => continue,
                Err(e) => e,
            };
            self.stream = None;
            if !self.backoff.may_retry(&error) {
                return Err(error);
            }
            self.backoff.pause().await;
        }
    }

    /// One event, or none for a bookmark.
    async fn step(&mut self) -> Result<Option<WatchEvent<VmObject>>, Error> {
        if self.stream.is_none() {
            let (transport, request) = (Arc::clone(&self.client.transport), self.request());
            self.stream = Some(transport.watch(&request).await?);
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let event = stream.next().await?;
        self.backoff.reset();
        if let (WatchType::Error, Some(problem)) = (event.kind, &event.error) {
            return Err(problem.to_error());
        }
        self.position.clone_from(&event.resource_version);
        Ok((event.kind != WatchType::Bookmark).then_some(event))
    }

    fn request(&self) -> Request {
        let request = Request::to(Operation::V1VmList).path_opt("namespace", self.namespace.as_deref());
        request.param("watch", true).param("resourceVersion", &self.position).param_opt("labelSelector", self.selector.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_can_be_waited_for_on_any_thread() {
        fn sendable<T: Send>(_: &T) {}
        let _checked = |mut watch: GuestWatch| sendable(&watch.next());
    }
}
