//! The stream of changes, as server-sent events or over a WebSocket, with resume.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use gpve_api::v1::{LabelSelector, Problem, VmObject, WatchEvent, WatchType};
use gpve_core::control::{GuestEvent, GuestObject, GuestWatch};
use gpve_core::error::{Error, Result};
use gpve_core::ports::Revision;
use gpve_core::types::{Namespace, Vmid};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio_tungstenite::tungstenite::Message;

use super::guest::is_selected;
use super::{Cx, websocket};
use crate::server::http::{Body, header};

type Event = WatchEvent<VmObject>;

/// A watch as one client sees it: its namespace, its labels.
struct Filtered {
    watch: GuestWatch,
    namespace: Option<Namespace>,
    labels: Option<LabelSelector>,
    /// The stream ends with its error.
    ended: bool,
}

pub(super) async fn watch(mut cx: Cx) -> Result<Response<Body>> {
    let (namespace, labels) = (cx.params.parse_opt("namespace")?, cx.params.parse_opt("labelSelector")?);
    let after = match cx.params.text("resourceVersion").or(header(&cx.parts, "last-event-id")) {
        Some(text) => Revision(
            text.parse().map_err(|_| Error::field("watch", "resourceVersion", format!("'{text}' is not one that a list or event gave")))?,
        ),
        None => cx.app.plane.guests().revision(),
    };
    let filtered = Filtered { watch: cx.app.plane.watch(after).await?, namespace, labels, ended: false };
    if websocket::is_asked(&cx.parts) {
        return websocket::accept(&mut cx.parts, move |socket| over_websocket(filtered, socket));
    }
    let stream = futures::stream::unfold(filtered, |mut f| async move {
        let event = f.next().await?;
        Some((Ok(Frame::data(Bytes::from(event.to_sse()))), f))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn over_websocket(mut watch: Filtered, socket: websocket::Socket) {
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

impl Filtered {
    /// The next event for the client; none after the one that ends the stream.
    async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            match self.watch.next().await {
                Ok((revision, event)) => {
                    if let Some(event) = self.show(revision, event) {
                        return Some(event);
                    }
                }
                Err(e) => {
                    self.ended = true;
                    return Some(Event { error: Some(Problem::from(&e)), ..Event::new(WatchType::Error, self.watch.position()) });
                }
            }
        }
        None
    }

    fn show(&self, revision: Revision, event: GuestEvent) -> Option<Event> {
        let selected = |g: &GuestObject| is_selected(g, self.namespace.as_ref(), self.labels.as_ref());
        let about = |kind, guest: &GuestObject| Event { object: Some(VmObject::from(guest)), ..Event::new(kind, revision) };
        let gone = |vmid: Vmid, last: Option<&GuestObject>| Event {
            object: last.map(VmObject::from),
            vmid: Some(vmid.get()),
            ..Event::new(WatchType::Deleted, revision)
        };
        match event {
            GuestEvent::Added(g) => selected(&g).then(|| about(WatchType::Added, &g)),
            // Its labels may have changed: to this client it is gone.
            GuestEvent::Modified(g) if selected(&g) => Some(about(WatchType::Modified, &g)),
            GuestEvent::Modified(g) => self.labels.is_some().then(|| gone(g.object.spec.vmid, Some(&g))),
            GuestEvent::Deleted { vmid, last } => last.as_deref().is_none_or(selected).then(|| gone(vmid, last.as_deref())),
            GuestEvent::Bookmark => Some(Event::new(WatchType::Bookmark, revision)),
        }
    }
}
