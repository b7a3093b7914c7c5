//! A guest's console over a WebSocket: binary messages both ways, no framing of our own.

use gpve_core::error::{Error, Result};
use hyper::Response;

use super::Cx;
use crate::server::http::Body;
use crate::server::{console::relay, websocket};

pub(super) async fn console(mut cx: Cx) -> Result<Response<Body>> {
    if !websocket::is_asked(&cx.parts) {
        return Err(Error::field("vm.console", "upgrade", "this path is a WebSocket: connect with 'gpvectl vm console NAME'"));
    }
    let stream = cx.asked.console().await?;
    websocket::accept(&mut cx.parts, move |socket| relay(stream, socket))
}
