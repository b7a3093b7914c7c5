//! `/api/v1`: the native dialect. One handler per operation of the route table.

mod console;
mod watch;

use std::net::SocketAddr;

use bytes::Bytes;
use gpve::native::{Answered, Asked};
use gpve_api::pve2::credentials;
use gpve_api::pve2::request::{BodyKind, MAX_BODY_BYTES, decode};
use gpve_api::route::{Access, Body as Carries, Matched, Params};
use gpve_api::routes::Operation as Op;
use gpve_api::v1::{IDEMPOTENCY_KEY, Problem};
use gpve_auth::{Credentials, Decision, Identity, Login};
use gpve_core::control::Call;
use gpve_core::error::{Error, ErrorKind, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::App;
use super::http::{Body, BodyError, header, read};

/// A request whose caller is known and whose parameters are checked.
struct Cx {
    parts: Parts,
    asked: Asked,
}

/// Answers a request below `/api/v1`.
pub(super) async fn answer(app: &App, parts: Parts, path: &str, body: Incoming, peer: SocketAddr, id: &str) -> Response<Body> {
    match serve(app, parts, path, body, peer, id).await {
        Ok(response) => response,
        Err(problem) => {
            let mut response = document(problem.status, &problem.traced(id));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
            response
        }
    }
}

async fn serve(app: &App, parts: Parts, path: &str, body: Incoming, peer: SocketAddr, id: &str) -> Result<Response<Body>, Problem> {
    let matched = app.v1.find(parts.method.as_str(), path)?;
    let who = match identify(app, &parts, &matched) {
        Ok(who) => who,
        Err(_) if matches!(matched.route.access, Access::Public) => Identity::user(gpve_auth::UserId::root()),
        Err(e) => return Err(Problem::from(&e)),
    };
    let body = read(body, MAX_BODY_BYTES).await.map_err(|e| Problem::from(&unread(&e)))?;
    let carries = matches!(matched.route.body, Carries::Document(_));
    let of_params = if carries { &[][..] } else { &body[..] };
    let kind =
        if header(&parts, "content-type").is_some_and(|t| t.starts_with("application/json")) { BodyKind::Json } else { BodyKind::Form };
    let given = decode(parts.uri.query(), kind, of_params).map_err(|f| Problem::from(&Error::field("api", "request", f.message())))?;
    if let Decision::Denied(why) = matched.authorize(app.authority.as_ref(), &who, &given) {
        return Err(Problem::from(&Error::new(ErrorKind::PermissionDenied, "api", why.to_string())));
    }
    let params = matched.validate(given)?;
    let call = call(&parts, &params, &who, peer, id).map_err(|e| Problem::from(&e))?;
    let is_yaml = header(&parts, "content-type").is_some_and(|kind| kind.contains("yaml"));
    let asked = Asked { plane: app.plane.clone(), matched, params, call, body, is_root: who.is_root(), is_yaml };
    Box::pin(handle(Cx { parts, asked })).await.map_err(|e| Problem::from(&e))
}

fn unread(e: &BodyError) -> Error {
    match e {
        BodyError::TooLarge => Error::field("api", "body", format!("is larger than {MAX_BODY_BYTES} bytes")),
        BodyError::Broken => Error::field("api", "body", "could not be read"),
    }
}

/// Who asks; writes with a ticket, and WebSockets from a page, must come from a page of ours.
fn identify(app: &App, parts: &Parts, matched: &Matched) -> Result<Identity> {
    let refused = |why: &str| Error::new(ErrorKind::Unauthenticated, "api", why);
    let given = credentials(header(parts, "cookie"), header(parts, "authorization"))
        .map_err(|f| refused(&format!("{}: log in at POST /api2/json/access/ticket, or send an API token", f.message())))?;
    let who = Login::new(&app.keys, &app.accounts)
        .identify(&given, app.now())
        .map_err(|_| refused("the ticket or token is not valid or has expired: log in again"))?;
    let by_ticket = matches!(given, Credentials::Ticket(_));
    let token = || header(parts, "csrfpreventiontoken").unwrap_or_default();
    if by_ticket && !matched.route.method.is_read() && !app.keys.verify_csrf(token(), who.owner(), app.now()) {
        return Err(refused("a change by ticket needs the header CSRFPreventionToken of the login"));
    }
    if by_ticket && header(parts, "upgrade").is_some() && !same_origin(parts) {
        return Err(refused("a WebSocket from another site's page"));
    }
    Ok(who)
}

/// Whether the page that asks, if it is one, was served by this host.
fn same_origin(parts: &Parts) -> bool {
    let Some(origin) = parts.headers.get("origin") else { return true };
    let host = header(parts, "host").unwrap_or_default();
    origin.to_str().is_ok_and(|o| o.split_once("://").is_some_and(|(_, h)| h == host))
}

fn call(parts: &Parts, params: &Params, who: &Identity, peer: SocketAddr, id: &str) -> Result<Call> {
    let user = who.to_string().parse().map_err(|e: gpve_core::types::TextError| Error::field("api", "user", e.to_string()))?;
    let key = params.text("idempotencyKey").or(header(parts, IDEMPOTENCY_KEY));
    let key =
        key.map(str::parse).transpose().map_err(|e: gpve_core::types::TextError| Error::field("api", IDEMPOTENCY_KEY, e.to_string()))?;
    Ok(Call {
        source_ip: peer.ip().to_string(),
        user_agent: header(parts, "user-agent").unwrap_or_default().chars().take(256).collect(),
        request_id: id.to_owned(),
        idempotency_key: key,
        dry_run: params.flag("dryRun"),
        ..Call::by(user)
    })
}

/// An answer with a JSON body.
fn document(status: u16, value: &impl Serialize) -> Response<Body> {
    whole(Answered::document(status, value))
}

fn whole(answered: Answered) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(answered.body)).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answered.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// What holds a connection open is served here; the rest is an answer of the library's.
async fn handle(cx: Cx) -> Result<Response<Body>> {
    match cx.asked.matched.route.operation {
        Op::V1VmList if cx.asked.params.flag("watch") => watch::watch(cx).await,
        Op::V1VmConsole => console::console(cx).await,
        _ => cx.asked.answer().await.map(whole),
    }
}
