//! The stream of changes, with resume.

use gpve_api::v1::{LabelSelector, Problem, VmObject, WatchEvent, WatchType};
use gpve_core::control::{GuestEvent, GuestObject, GuestWatch};
use gpve_core::error::{Error, Result};
use gpve_core::ports::Revision;
use gpve_core::types::{Namespace, Vmid};

use super::Asked;
use super::guest::is_selected;

type Event = WatchEvent<VmObject>;

/// A watch as one client sees it: its namespace, its labels.
#[derive(Debug)]
pub struct Watch {
    watch: GuestWatch,
    namespace: Option<Namespace>,
    labels: Option<LabelSelector>,
    /// The stream ends with its error.
    ended: bool,
}

impl Watch {
    /// After the `resourceVersion` of the request, or after `last_event` (an SSE client that reconnects), or from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](gpve_core::error::ErrorKind::Conflict) when the history since then is gone.
    pub async fn open(cx: &Asked, last_event: Option<&str>) -> Result<Self> {
        let (namespace, labels) = (cx.params.parse_opt("namespace")?, cx.params.parse_opt("labelSelector")?);
        let after = match cx.params.text("resourceVersion").or(last_event) {
            Some(text) => Revision(
                text.parse()
                    .map_err(|_| Error::field("watch", "resourceVersion", format!("'{text}' is not one that a list or event gave")))?,
            ),
            None => cx.plane.guests().revision(),
        };
        Ok(Self { watch: cx.plane.watch(after).await?, namespace, labels, ended: false })
    }

    /// The next event for the client; none after the one that ends the stream. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
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
