//! The server's side of a WebSocket handshake.

use bytes::Bytes;
use gpve_core::error::{Error, Result};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::http::{Body, header};

/// Largest message that a client may send: keystrokes and pasted text.
const MESSAGE_MAX: usize = 64 * 1024;

/// A WebSocket whose handshake was answered.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether the request asks for a WebSocket.
pub(super) fn is_asked(parts: &Parts) -> bool {
    header(parts, "upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket"))
}

/// Answers the handshake and runs `work` on the socket once the connection is switched.
///
/// # Errors
/// A request that is no handshake.
pub(super) fn accept<W: Future<Output = ()> + Send + 'static>(
    parts: &mut Parts,
    work: impl FnOnce(Socket) -> W + Send + 'static,
) -> Result<Response<Body>> {
    let refused = |why: &str| Error::field("websocket", "request", why);
    let key = parts.headers.get("sec-websocket-key").ok_or_else(|| refused("has no Sec-WebSocket-Key: this path is a WebSocket"))?;
    let accept = derive_accept_key(key.as_bytes());
    let switch = parts.extensions.remove::<OnUpgrade>().ok_or_else(|| refused("this connection cannot be switched to WebSocket"))?;
    tokio::spawn(async move {
        let Ok(upgraded) = switch.await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
        work(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await).await;
    });
    let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(accept).map_err(|e| Error::internal("websocket", e.to_string()))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    // Old browsers' viewers ask for this one, and give up without it.
    if header(parts, "sec-websocket-protocol").is_some_and(|offered| offered.split(',').any(|p| p.trim() == "binary")) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
    }
    Ok(response)
}
