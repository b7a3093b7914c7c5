//! The connection: where to, whom to trust, and one request with its retries.

use std::sync::RwLock;
use std::time::Duration;

use gpve_auth::Secret;
use gpve_core::error::{Error, ErrorKind, FieldError, Retry};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::request::Wire;
use super::{Backoff, Request, Session, SessionSecrets};
use crate::route::{Dialect, Method};
use crate::routes::Operation;
use crate::v1::{IDEMPOTENCY_KEY, Problem};

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

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    http: reqwest::Client,
    session: RwLock<Session>,
}

impl Client {
    /// A client that is nobody yet.
    ///
    /// # Errors
    /// When the trusted authority is no PEM certificate.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
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

    /// The same client, proving who it is by `session`.
    #[must_use]
    pub fn with_session(self, session: Session) -> Self {
        Self { session: RwLock::new(session), ..self }
    }

    /// Logs in with a password, or renews with a ticket as the password. Later requests use the session.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] when the server refuses.
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
        *self.session.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Session::Ticket(secrets.clone());
        Ok(secrets)
    }

    /// Sends a request and gives the answer's data. Repeats it while that is harmless and may help.
    ///
    /// # Errors
    /// The server's error, or [`ErrorKind::Unavailable`] when it does not answer.
    pub async fn send(&self, request: Request) -> Result<Json, Error> {
        let wire = request.wire()?;
        let mut backoff = Backoff::default();
        loop {
            let error = match self.once(&wire, request.key.as_deref()).await {
                Ok(data) => return Ok(data),
                Err(e) => e,
            };
            if !request.is_repeatable(wire.method) || !backoff.may_retry(&error) {
                return Err(error);
            }
            backoff.pause().await;
        }
    }

    /// The same, read into a type.
    ///
    /// # Errors
    /// As [`Self::send`]; [`ErrorKind::Internal`] when the answer is not of that type.
    pub async fn get<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let answer = self.send(request).await?;
        serde_json::from_value(answer).map_err(|e| Error::internal("client.read", format!("an answer of an unexpected shape: {e}")))
    }

    async fn once(&self, wire: &Wire, key: Option<&str>) -> Result<Json, Error> {
        let response = self.respond(wire, key, Some(REQUEST)).await?;
        let status = response.status().as_u16();
        let body = read(response).await?;
        let parsed: Option<Json> = serde_json::from_slice(&body).ok();
        if (200..300).contains(&status) {
            return Ok(match (wire.dialect, parsed) {
                (Dialect::Pve2, Some(mut envelope)) => envelope["data"].take(),
                (Dialect::V1, Some(document)) => document,
                (_, None) => Json::Null,
            });
        }
        Err(refusal(wire.dialect, status, parsed.as_ref()))
    }

    /// Sends once; `deadline` none for a stream.
    pub(super) async fn respond(&self, wire: &Wire, key: Option<&str>, deadline: Option<Duration>) -> Result<reqwest::Response, Error> {
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
        if let Some(key) = key {
            builder = builder.header(IDEMPOTENCY_KEY, key);
        }
        if let Some((kind, body)) = &wire.body {
            builder = builder.header("content-type", *kind).body(body.clone());
        }
        if let Some(deadline) = deadline {
            builder = builder.timeout(deadline);
        }
        builder.send().await.map_err(|e| unreachable_server(&self.endpoint.url, &e))
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
pub(super) fn refusal(dialect: Dialect, status: u16, body: Option<&Json>) -> Error {
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
