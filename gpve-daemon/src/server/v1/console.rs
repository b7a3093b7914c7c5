//! A guest's serial port over a WebSocket: binary messages both ways, no framing of our own.

use futures::{SinkExt, StreamExt};
use gpve_core::error::{Error, Result};
use gpve_core::ports::ByteStream;
use hyper::Response;
use tokio_tungstenite::tungstenite::Message;

use super::{Cx, websocket};
use crate::server::http::Body;

pub(super) async fn console(mut cx: Cx) -> Result<Response<Body>> {
    if !websocket::is_asked(&cx.parts) {
        return Err(Error::field("vm.console", "upgrade", "this path is a WebSocket: connect with 'gpvectl vm console NAME'"));
    }
    let stream = cx.asked.console().await?;
    websocket::accept(&mut cx.parts, move |socket| relay(stream, socket))
}

/// Carries bytes until either side ends.
async fn relay(mut stream: Box<dyn ByteStream>, socket: websocket::Socket) {
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            read = stream.read() => match read {
                Ok(Some(bytes)) => if sink.send(Message::binary(bytes)).await.is_err() { return },
                Ok(None) | Err(_) => break,
            },
            said = source.next() => match said {
                Some(Ok(Message::Binary(bytes))) => if stream.write(bytes).await.is_err() { break },
                Some(Ok(Message::Text(text))) => if stream.write(text.into()).await.is_err() { break },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            },
        }
    }
    let _already_gone = sink.close().await;
}
