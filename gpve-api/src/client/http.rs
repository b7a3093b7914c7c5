//! Over HTTP: where to, whom to trust, and one request.

use std::sync::RwLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use gpve_core::error::{Error, ErrorKind, FieldError, Retry};
use gpve_core::ports::ByteStream;
use serde_json::Value as Json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::request::Wire;
use super::transport::{Events, Reply, Transport};
use super::{Request, Session};
use crate::route::{Dialect, Method};
use crate::v1::{Frames, IDEMPOTENCY_KEY, Problem, VmObject, WatchEvent};

/// Longest time to make a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for one request; long polls answer within 60 seconds.
const REQUEST: Duration = Duration::from_secs(90);
/// Largest answer that is read: a list of ten thousand guests.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Whose certificates are trusted.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Only this authority (PEM), such as the one that `gpve-server init` made.
    Authority(Vec<u8>),
    /// Anyone. For tests on one machine.
    Anyone,
}

/// Where a server is.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: String,
    trust: Trust,
}

impl Endpoint {
    /// A server at `url` (`https://host:8006`).
    ///
    /// # Errors
    /// When the text is no `http` or `https` URL without a path.
    pub fn new(url: &str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match rest {
            Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => {
                Ok(Self { url: url.to_owned(), trust: Trust::System })
            }
            _ => Err(Error::field("client.endpoint", "server", format!("'{url}' is not of the form https://HOST[:PORT]"))),
        }
    }

    /// With another trust.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A server over HTTP.
#[derive(Debug)]
pub(super) struct Http {
    endpoint: Endpoint,
    http: reqwest::Client,
    session: RwLock<Session>,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, Error> {
        // Proxmox VE's dialect carries messages in the reason phrase, which HTTP/2 does not have.
        let builder =
            reqwest::Client::builder().http1_only().connect_timeout(CONNECT).user_agent(concat!("gpve/", env!("CARGO_PKG_VERSION")));
        let builder = match &endpoint.trust {
            Trust::System => builder,
            Trust::Authority(pem) => {
                let refuse = |e: reqwest::Error| Error::field("client.trust", "authority", format!("no PEM certificate: {e}"));
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).map_err(refuse)?)
            }
            Trust::Anyone => builder.tls_danger_accept_invalid_certs(true),
        };
        let http = builder.build().map_err(|e| Error::internal("client.new", e.to_string()))?;
        Ok(Self { endpoint, http, session: RwLock::default() })
    }

    /// Sends once; `deadline` none for a stream.
    async fn respond(
        &self,
        request: &Request,
        wire: &Wire,
        deadline: Option<Duration>,
        more: &[(&str, &str)],
    ) -> Result<reqwest::Response, Error> {
        let method = match wire.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.http.request(method, format!("{}{}", self.endpoint.url, wire.target)).header("accept", "application/json");
        let session = self.session.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for (name, value) in session.headers(wire.method) {
            builder = builder.header(name, value);
        }
        if let Some(key) = &request.key {
            builder = builder.header(IDEMPOTENCY_KEY, key);
        }
        if let Some((kind, body)) = &wire.body {
            builder = builder.header("content-type", *kind).body(body.clone());
        }
        for (name, value) in more {
            builder = builder.header(*name, *value);
        }
        if let Some(deadline) = deadline {
            builder = builder.timeout(deadline);
        }
        builder.send().await.map_err(|e| unreachable_server(&self.endpoint.url, &e))
    }
}

/// The error that a response which is no success tells of.
async fn told(wire: &Wire, response: reqwest::Response) -> Error {
    let status = response.status().as_u16();
    let body = response.bytes().await.ok().and_then(|b| serde_json::from_slice(&b).ok());
    refusal(wire.dialect, status, body.as_ref())
}

#[async_trait]
impl Transport for Http {
    async fn send(&self, request: &Request) -> Result<Reply, Error> {
        let wire = request.wire()?;
        let response = self.respond(request, &wire, Some(REQUEST), &[]).await?;
        if !response.status().is_success() {
            return Err(told(&wire, response).await);
        }
        let tasks = response.headers().get("gpve-task").and_then(|tasks| tasks.to_str().ok()).unwrap_or_default();
        let tasks = tasks.split(", ").filter(|task| !task.is_empty()).map(str::to_owned).collect();
        let parsed: Option<Json> = serde_json::from_slice(&read(response).await?).ok();
        let data = match (wire.dialect, parsed) {
            (Dialect::Pve2, Some(mut envelope)) => envelope["data"].take(),
            (Dialect::V1, Some(document)) => document,
            (_, None) => Json::Null,
        };
        Ok(Reply { data, tasks })
    }

    async fn watch(&self, request: &Request) -> Result<Box<dyn Events>, Error> {
        let wire = request.wire()?;
        let response = self.respond(request, &wire, None, &[]).await?;
        match response.status().as_u16() {
            200 => Ok(Box::new(EventStream { response, frames: Frames::default() })),
            _ => Err(told(&wire, response).await),
        }
    }

    async fn console(&self, request: &Request) -> Result<Box<dyn ByteStream>, Error> {
        let wire = request.wire()?;
        let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
        let handshake = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", &key)];
        let response = self.respond(request, &wire, None, &handshake).await?;
        if response.status().as_u16() != 101 {
            return Err(told(&wire, response).await);
        }
        let upgraded = response.upgrade().await.map_err(|e| broken("client.console", &e))?;
        Ok(Box::new(Socket(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)))
    }

    fn set_session(&self, session: Session) -> Result<(), Error> {
        *self.session.write().unwrap_or_else(std::sync::PoisonError::into_inner) = session;
        Ok(())
    }
}

fn broken(op: &str, e: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(ErrorKind::Unavailable, op, "the connection broke off").because(e).retry(Retry::Later)
}

/// Server-sent events.
struct EventStream {
    response: reqwest::Response,
    frames: Frames,
}

#[async_trait]
impl Events for EventStream {
    async fn next(&mut self) -> Result<WatchEvent<VmObject>, Error> {
        let ended = || Error::new(ErrorKind::Unavailable, "client.watch", "the stream broke off").retry(Retry::Later);
        let data = loop {
            if let Some(data) = self.frames.next_data() {
                break data;
            }
            let chunk = self.response.chunk().await.map_err(|e| broken("client.watch", &e))?;
            self.frames.push(&chunk.ok_or_else(ended)?)?;
        };
        serde_json::from_str(&data).map_err(|e| Error::internal("client.watch", format!("an event of an unexpected shape: {e}")))
    }
}

/// A console over a WebSocket.
struct Socket(WebSocketStream<reqwest::Upgraded>);

#[async_trait]
impl ByteStream for Socket {
    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                Some(Ok(Message::Text(text))) => return Ok(Some(text.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Err(e)) => return Err(broken("client.console", &e)),
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.send(Message::Binary(bytes)).await.map_err(|e| broken("client.console", &e))
    }
}

fn unreachable_server(url: &str, e: &reqwest::Error) -> Error {
    let kind = if e.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
    let message = format!("the server at {url} does not answer: is it running, and is the URL right?");
    Error::new(kind, "client.send", message).on(url).because(e)
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Error> {
    let broken = |e: reqwest::Error| Error::new(ErrorKind::Unavailable, "client.read", "the answer broke off").because(&e);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Error::internal("client.read", "the answer is larger than 256 MiB"));
        }
    }
    Ok(body)
}

/// The error that a refusal tells of.
fn refusal(dialect: Dialect, status: u16, body: Option<&Json>) -> Error {
    if dialect == Dialect::V1
        && let Some(problem) = body.and_then(|b| serde_json::from_value::<Problem>(b.clone()).ok())
    {
        return problem.to_error();
    }
    let message = body.and_then(|b| b["message"].as_str()).map(str::trim).filter(|m| !m.is_empty());
    let message = message.map_or_else(|| format!("the server answered with status {status}"), str::to_owned);
    let fields = body.and_then(|b| b["errors"].as_object()).into_iter().flatten();
    let fields: Vec<FieldError> = fields
        .map(|(field, why)| FieldError { field: field.clone(), reason: why.as_str().unwrap_or_default().trim().to_owned() })
        .collect();
    let error = Error { fields, ..Error::new(kind_of(status, &message), "api", message) };
    let later = matches!(status, 502..=504) || matches!(status, 595..=599);
    error.retry(if later { Retry::Later } else { Retry::No })
}

/// Proxmox VE's dialect has one status for most errors; the rest is in the words.
fn kind_of(status: u16, message: &str) -> ErrorKind {
    match status {
        400 => ErrorKind::InvalidInput,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        501 => ErrorKind::Unsupported,
        502..=504 | 595..=599 => ErrorKind::Unavailable,
        _ if message.contains("does not exist") => ErrorKind::NotFound,
        _ if message.contains("already exists") => ErrorKind::AlreadyExists,
        _ if message.contains("not running") || message.contains("already running") => ErrorKind::FailedPrecondition,
        _ => ErrorKind::Internal,
    }
}
