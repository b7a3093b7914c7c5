//! What a request presents of its caller, in every spelling that clients use.

use gpve_auth::{Credentials, Secret};

use crate::route::percent_decode;

use super::Failure;

const COOKIE: &str = "PVEAuthCookie";
const TOKEN: &str = "PVEAPIToken";
/// Longest header that is looked at.
const MAX_HEADER_BYTES: usize = 8192;

/// Finds credentials in a request's `Cookie` and `Authorization` headers.
///
/// | form | from |
/// | --- | --- |
/// | `Cookie: PVEAuthCookie=TICKET`, raw or percent-encoded, among others | browsers, most libraries |
/// | `Authorization: PVEAuthCookie=TICKET` | Telmate |
/// | `Authorization: PVEAPIToken=USER@REALM!NAME=SECRET` | everyone with a token |
/// | `Authorization: PVEAPIToken USER@REALM!NAME=SECRET` | .NET |
/// | `Authorization: Bearer USER@REALM!NAME=SECRET` | the native dialect |
///
/// # Errors
/// 401 when there are none (`No ticket`), and when what is there cannot be a token.
pub fn credentials(cookie: Option<&str>, authorization: Option<&str>) -> Result<Credentials, Failure> {
    if let Some(found) = authorization.filter(|a| a.len() <= MAX_HEADER_BYTES).and_then(from_authorization) {
        return found;
    }
    cookie.filter(|c| c.len() <= MAX_HEADER_BYTES).and_then(ticket_in_cookie).map(ticket).ok_or_else(Failure::no_ticket)
}

fn from_authorization(value: &str) -> Option<Result<Credentials, Failure>> {
    let value = value.trim();
    if let Some(text) = value.strip_prefix(COOKIE).and_then(|rest| rest.strip_prefix('=')) {
        let text = percent_decode(text, false)?;
        return Some(Ok(ticket(text)));
    }
    let rest = value.strip_prefix(TOKEN).and_then(|rest| rest.strip_prefix(['=', ' ']));
    let rest = rest.or_else(|| value.strip_prefix("Bearer "))?;
    Some(token(rest.trim()).ok_or_else(Failure::not_authenticated))
}

fn token(text: &str) -> Option<Credentials> {
    // The .NET library writes `id=secret` too; older ones `id:secret`.
    let (id, secret) = text.split_once('=').or_else(|| text.rsplit_once(':'))?;
    let id = percent_decode(id, false)?.parse().ok()?;
    Some(Credentials::Token { id, secret: Secret::new(secret.to_owned()) })
}

fn ticket(text: String) -> Credentials {
    Credentials::Ticket(Secret::new(text))
}

fn ticket_in_cookie(header: &str) -> Option<String> {
    let value = header.split(';').find_map(|part| part.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    percent_decode(value.trim_matches('"'), false)
}
