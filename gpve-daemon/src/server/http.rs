//! From an HTTP request to a dialect and back.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use gpve_api::pve2::Reply;
use gpve_api::route::Router;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tracing::Instrument;

use super::{App, pve2, v1};

/// The body of an answer: whole, or a stream.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request's id, as in logs, the audit log and answers. One that the client sends in `traceparent` is taken over.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Why a body was not read.
pub(super) enum BodyError {
    /// Larger than allowed.
    TooLarge,
    /// The client went away.
    Broken,
}

/// Answers one request. Never fails: what goes wrong is an answer.
pub(super) async fn answer(app: App, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let id = request_id(&parts);
    parts.extensions.insert(RequestId(id.clone()));
    let (started, method, path) = (app.clock.monotonic(), parts.method.clone(), parts.uri.path().to_owned());
    let span = tracing::info_span!("request", trace_id = %id, component = "api", resource = %path);
    let route = route(&app, method.as_str(), &path);
    let mut response = dispatch(&app, parts, body, peer, &id, &path).instrument(span.clone()).await;
    if let Ok(value) = HeaderValue::try_from(&id) {
        response.headers_mut().insert(HeaderName::from_static("gpve-trace-id"), value);
    }
    let (status, took) = (response.status().as_u16(), app.clock.monotonic().saturating_sub(started));
    app.metrics.request(method.as_str(), route, status, took);
    span.in_scope(|| tracing::info!(target: "gpve::access", %peer, %method, status, ms = took.as_secs_f64() * 1e3, "answered"));
    Ok(response)
}

async fn dispatch(app: &App, parts: Parts, body: Incoming, peer: SocketAddr, id: &str, path: &str) -> Response<Body> {
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = below("/api2/json") {
        return pve2::answer(app, parts, rest, body, peer).await;
    }
    if let Some(rest) = below("/api/v1") {
        return v1::answer(app, parts, rest, body, peer, id).await;
    }
    response(match path {
        "/healthz" => plain(200, "ok\n"),
        "/readyz" if app.plane.ready(std::time::Duration::ZERO).await.is_empty() => plain(200, "ready\n"),
        "/readyz" => plain(503, "the node has not told what it has yet\n"),
        _ => plain(404, "not found: the APIs are below /api2/json and /api/v1\n"),
    })
}

/// The table's path for a request, for figures.
fn route(app: &App, method: &str, path: &str) -> &'static str {
    let found = |router: &Router, prefix: &str| router.find(method, path.strip_prefix(prefix)?).ok().map(|m| m.route.path);
    found(&app.pve2, "/api2/json").or_else(|| found(&app.v1, "/api/v1")).unwrap_or("other")
}

/// The trace id of the client's `traceparent`, or a new one.
fn request_id(parts: &Parts) -> String {
    let given = header(parts, "traceparent").and_then(|t| t.split('-').nth(1));
    let is_id = |t: &&str| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit());
    given.filter(is_id).map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

fn plain(status: u16, text: &str) -> Reply {
    Reply { status, reason: None, content_type: Some("text/plain;charset=UTF-8"), headers: Vec::new(), body: text.into() }
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// A header as text; one that is not visible ASCII counts as absent.
pub(super) fn header<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    parts.headers.get(name).and_then(|v| v.to_str().ok())
}

pub(super) fn response(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(reason) = reply.reason.and_then(|r| ReasonPhrase::try_from(r.into_bytes()).ok()) {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    if let Some(kind) = reply.content_type {
        headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
