//! The client: a transport, and requests with their retries.

use std::sync::Arc;

use gpve_auth::Secret;
use gpve_core::error::Error;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::http::{Endpoint, Http};
use super::transport::{Reply, Transport};
use super::{Backoff, Job, Request, Session, SessionSecrets, VirtualMachines};
use crate::routes::Operation;
use crate::v1::{List, VmObject};

/// A client of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) transport: Arc<dyn Transport>,
}

impl Client {
    /// A client of the server at `url` (`https://host:8006`), proving who it is by an API token, `user@realm!name=secret`; the system
    /// says whose certificates are trusted.
    ///
    /// # Errors
    /// When the text is no `http` or `https` URL without a path.
    pub fn new(url: &str, token: &str) -> Result<Self, Error> {
        Self::connect(Endpoint::new(url)?)?.with_session(Session::Token(Secret::new(token.to_owned())))
    }

    /// A client that is nobody yet.
    ///
    /// # Errors
    /// When the trusted authority is no PEM certificate.
    pub fn connect(endpoint: Endpoint) -> Result<Self, Error> {
        Http::new(endpoint).map(Self::over)
    }

    /// A client over a transport of your own.
    pub fn over(transport: impl Transport) -> Self {
        Self { transport: Arc::new(transport) }
    }

    /// The same client, proving who it is by `session`, as do its clones.
    ///
    /// # Errors
    /// For a transport that needs no proof.
    pub fn with_session(self, session: Session) -> Result<Self, Error> {
        self.transport.set_session(session)?;
        Ok(self)
    }

    /// Logs in with a password, or renews with a ticket as the password. Later requests use the session.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`](gpve_core::error::ErrorKind::Unauthenticated) when the server refuses.
    pub async fn login(&self, user: &str, password: Secret<String>) -> Result<SessionSecrets, Error> {
        let request = Request::to(Operation::TicketCreate).param("username", user).param("password", password.expose());
        let answer = self.send(request).await?;
        let text = |field: &str| {
            let missing = || Error::internal("client.login", format!("the answer has no {field}"));
            answer[field].as_str().map(str::to_owned).ok_or_else(missing)
        };
        let secrets = SessionSecrets {
            username: text("username")?,
            ticket: Secret::new(text("ticket")?),
            csrf: Secret::new(text("CSRFPreventionToken")?),
        };
        self.transport.set_session(Session::Ticket(secrets.clone()))?;
        Ok(secrets)
    }

    /// The virtual machines of a namespace.
    pub fn virtual_machines(&self, namespace: impl Into<String>) -> VirtualMachines {
        VirtualMachines::new(self.clone(), namespace.into())
    }

    /// Virtual machines of `namespace` (all if none) by number, with those labels if a selector is given (`app=web,tier!=test`).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn list(&self, namespace: Option<&str>, selector: Option<&str>) -> Result<List<VmObject>, Error> {
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let request = Request::to(Operation::V1VmList).path_opt("namespace", namespace);
            let mut page: List<VmObject> = self.get(request.param_opt("labelSelector", selector).param_opt("continue", from)).await?;
            items.append(&mut page.items);
            match page.metadata.continue_.take() {
                Some(next) => from = Some(next),
                None => return Ok(List { items, ..page }),
            }
        }
    }

    /// Sends a request and gives the answer's data. Repeats it while that is harmless and may help.
    ///
    /// # Errors
    /// The server's error, or [`ErrorKind::Unavailable`](gpve_core::error::ErrorKind::Unavailable) when it does not answer.
    pub async fn send(&self, request: Request) -> Result<Json, Error> {
        self.exchange(request).await.map(|reply| reply.data)
    }

    /// The same, with the tasks that the answer names.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn exchange(&self, request: Request) -> Result<Reply, Error> {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.transport.send(&request).await {
                Ok(reply) => return Ok(reply),
                Err(e) => e,
            };
            if !request.is_repeatable()? || !backoff.may_retry(&error) {
                return Err(error);
            }
            backoff.pause().await;
        }
    }

    /// Begins what a task carries out, once: under an idempotency key of its own.
    pub(super) async fn begin(&self, request: Request) -> Result<Job, Error> {
        let answer = self.send(request.idempotent(key())).await?;
        Ok(Job::new(self.clone(), answer["id"].as_str().map(str::to_owned)))
    }

    /// The same, read into a type.
    ///
    /// # Errors
    /// As [`Self::send`]; [`ErrorKind::Internal`](gpve_core::error::ErrorKind::Internal) when the answer is not of that type.
    pub async fn get<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.send(request).await.and_then(read)
    }
}

/// A key for one change.
pub(super) fn key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// An answer as its type.
pub(super) fn read<T: DeserializeOwned>(answer: Json) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|e| Error::internal("client.read", format!("an answer of an unexpected shape: {e}")))
}
