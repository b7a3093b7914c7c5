//! Events as they came: raw, so that one from a later QEMU is passed on rather than lost.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::broadcast::{self, error::RecvError};

use super::codec::Timestamp;

/// Events held for a subscriber that is behind. A burst is a few events per device; a subscriber that is 256 behind
/// is stuck, and is told to look at the state again rather than trust the stream.
pub const EVENT_BACKLOG: usize = 256;

/// Something that happened in a QEMU.
#[derive(Debug, Clone)]
pub struct QmpEvent {
    /// Its name, such as `SHUTDOWN`.
    pub name: Box<str>,
    /// When, by the peer's clock.
    pub timestamp: Timestamp,
    /// Its data as JSON, which some events have none of.
    pub data: Option<Box<RawValue>>,
}

impl QmpEvent {
    /// The data as one of `qapi`'s event types, or `None` when the event is another.
    ///
    /// # Errors
    /// The name fits but the data does not: a QEMU that changed the event.
    pub fn typed<E: qapi_spec::Event>(&self) -> Result<Option<E>, serde_json::Error> {
        if *self.name == *E::NAME { self.decode().map(Some) } else { Ok(None) }
    }

    /// The data as any type; an event without data reads as `{}`.
    ///
    /// # Errors
    /// The data does not fit the type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.as_ref().map_or("{}", |data| data.get()))
    }
}

/// The next thing a subscriber learns.
#[derive(Debug, Clone)]
pub enum Notice {
    /// An event.
    Event(Arc<QmpEvent>),
    /// The subscriber was too slow: this many events are lost to it. Look at the state again.
    Lagged(u64),
}

/// One subscriber's view of the events of one connection.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Arc<QmpEvent>>);

impl EventStream {
    pub(super) fn new(receiver: broadcast::Receiver<Arc<QmpEvent>>) -> Self {
        Self(receiver)
    }

    /// The next event or loss; `None` once the connection has ended and all was delivered. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(event) => Some(Notice::Event(event)),
            Err(RecvError::Lagged(lost)) => Some(Notice::Lagged(lost)),
            Err(RecvError::Closed) => None,
        }
    }

    /// Waits for the first event with this name, passing over others and losses; `None` once the connection has
    /// ended. Cancel safe.
    pub async fn wait_for(&mut self, name: &str) -> Option<Arc<QmpEvent>> {
        loop {
            if let Notice::Event(event) = self.next().await?
                && *event.name == *name
            {
                return Some(event);
            }
        }
    }
}
