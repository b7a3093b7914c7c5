//! The stream of changes, as server-sent events or over a WebSocket.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use gpve::native::Watch;
use gpve_core::error::Result;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio_tungstenite::tungstenite::Message;

use super::Cx;
use crate::server::http::{Body, header};
use crate::server::websocket;

pub(super) async fn watch(mut cx: Cx) -> Result<Response<Body>> {
    let watch = Watch::open(&cx.asked, header(&cx.parts, "last-event-id")).await?;
    if websocket::is_asked(&cx.parts) {
        return websocket::accept(&mut cx.parts, move |socket| over_websocket(watch, socket));
    }
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(Frame::data(Bytes::from(event.to_sse()))), watch))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn over_websocket(mut watch: Watch, socket: websocket::Socket) {
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            event = watch.next() => {
                let text = event.and_then(|e| serde_json::to_string(&e).ok());
                let Some(text) = text else { break };
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            // What the client says does not count, but its end does.
            said = source.next() => if !matches!(said, Some(Ok(m)) if !m.is_close()) { break },
        }
    }
    let _already_gone = sink.close().await;
}
