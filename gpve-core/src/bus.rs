//! Events inside one process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::ports::{Event, EventFilter, EventSubscription, Events, Received};

/// The [`Events`] port in process. Cheap to clone; all clones are one bus.
///
/// Each subscriber may be [`Bus::CAPACITY`] events behind. One that falls further behind is told how many it missed
/// before it gets the next one; the publisher never waits. When the last clone is gone, subscribers get what is left
/// and then `None`.
///
/// ```
/// use gpve_core::bus::Bus;
/// use gpve_core::ports::{Event, EventFilter, EventKind, Events, Received};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let bus = Bus::new();
/// let mut all = bus.subscribe(EventFilter::default());
/// let event = Event {
///     time: Default::default(),
///     kind: EventKind::GuestCreated,
///     node: "pve1".parse()?,
///     vmid: Some("100".parse()?),
///     details: Default::default(),
/// };
/// bus.publish(event.clone());
/// assert_eq!(all.next().await, Some(Received::Event(event)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Arc<Event>>);

impl Bus {
    /// Most events that a subscriber may be behind: a start publishes about four, so a burst of 1,000 guests fits.
    pub const CAPACITY: usize = 4096;

    /// A bus without subscribers.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(Self::CAPACITY))
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl Events for Bus {
    fn publish(&self, event: Event) {
        // Without subscribers there is nobody to tell, which is no error.
        let _ = self.0.send(Arc::new(event));
    }

    fn subscribe(&self, filter: EventFilter) -> Box<dyn EventSubscription> {
        Box::new(Subscription { events: self.0.subscribe(), filter })
    }
}

struct Subscription {
    events: broadcast::Receiver<Arc<Event>>,
    filter: EventFilter,
}

#[async_trait]
impl EventSubscription for Subscription {
    async fn next(&mut self) -> Option<Received> {
        loop {
            match self.events.recv().await {
                Ok(event) if self.filter.admits(&event) => return Some(Received::Event(Event::clone(&event))),
                Ok(_) => {}
                // Whether any of the lost ones passed the filter is not known: told in any case.
                Err(RecvError::Lagged(lost)) => return Some(Received::Lagged(lost)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
