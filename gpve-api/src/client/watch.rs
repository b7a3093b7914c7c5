//! Watching virtual machines.

use gpve_core::error::{Error, ErrorKind};

use super::{Backoff, Client, Request};
use crate::routes::Operation;
use crate::v1::{Frames, VmObject, WatchEvent, WatchType};

/// A watch of virtual machines that reconnects by itself.
///
/// It resumes after the last event it gave, so that nothing is missed or told twice. When the server no longer keeps the
/// history in between, [`GuestWatch::next`] gives [`ErrorKind::Conflict`]: list again and watch from there.
#[derive(Debug)]
pub struct GuestWatch<'a> {
    client: &'a Client,
    namespace: Option<String>,
    selector: Option<String>,
    position: String,
    stream: Option<(reqwest::Response, Frames)>,
    backoff: Backoff,
}

impl Client {
    /// Watches virtual machines of `namespace` (all if none) after `resource_version`, which a list gave.
    pub fn watch(&self, namespace: Option<&str>, selector: Option<&str>, resource_version: &str) -> GuestWatch<'_> {
        GuestWatch {
            client: self,
            namespace: namespace.map(str::to_owned),
            selector: selector.map(str::to_owned),
            position: resource_version.to_owned(),
            stream: None,
            backoff: Backoff::default(),
        }
    }
}

impl GuestWatch<'_> {
    /// Resume after this.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// The next event that is no bookmark. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when history is gone; an error that a retry does not help; or the last of several failures
    /// to reconnect.
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
            self.stream = Some((self.open().await?, Frames::default()));
        }
        let Some((response, frames)) = &mut self.stream else { return Ok(None) };
        let broken = || Error::new(ErrorKind::Unavailable, "client.watch", "the stream broke off");
        let data = loop {
            if let Some(data) = frames.next_data() {
                break data;
            }
            let chunk = response.chunk().await.map_err(|e| broken().because(&e))?;
            frames.push(&chunk.ok_or_else(broken)?)?;
        };
        let unreadable = |e: serde_json::Error| Error::internal("client.watch", format!("an event of an unexpected shape: {e}"));
        let event: WatchEvent<VmObject> = serde_json::from_str(&data).map_err(unreadable)?;
        self.backoff.reset();
        if let (WatchType::Error, Some(problem)) = (event.kind, &event.error) {
            return Err(problem.to_error());
        }
        self.position.clone_from(&event.resource_version);
        Ok((event.kind != WatchType::Bookmark).then_some(event))
    }

    async fn open(&self) -> Result<reqwest::Response, Error> {
        let mut request = Request::to(Operation::V1VmList).param("watch", true).param("resourceVersion", &self.position);
        request = request.param_opt("labelSelector", self.selector.as_deref());
        if let Some(namespace) = &self.namespace {
            request = request.path("namespace", namespace);
        }
        let wire = request.wire()?;
        let response = self.client.respond(&wire, None, None).await?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let body = response.bytes().await.ok().and_then(|b| serde_json::from_slice(&b).ok());
        Err(super::connect::refusal(wire.dialect, status, body.as_ref()))
    }
}
