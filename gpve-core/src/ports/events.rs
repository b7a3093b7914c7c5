//! The `Events` port: what happened, to whoever listens now.
//!
//! Events are hints; the truth is in the store. A subscriber that falls behind is told so and lists again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::types::{NodeName, Timestamp, Vmid};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A guest was made.
    GuestCreated,
    /// A guest's phase changed.
    GuestPhaseChanged,
    /// A guest's spec changed.
    GuestUpdated,
    /// A guest is gone.
    GuestDeleted,
    /// The guest's kernel panicked.
    GuestPanicked,
    /// The guest reset itself.
    GuestReset,
    /// A snapshot was made.
    SnapshotCreated,
    /// A snapshot was deleted.
    SnapshotDeleted,
    /// A task was accepted.
    TaskStarted,
    /// A task ended.
    TaskEnded,
    /// Guests were given back to a restarted daemon.
    GuestAdopted,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
    /// Where.
    pub node: NodeName,
    /// Which guest, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    /// Details by name (`phase`, `snapshot`, `upid`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// Which events a subscriber wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// Only these kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Only this guest.
    pub vmid: Option<Vmid>,
}

impl EventFilter {
    /// True if `event` passes.
    pub fn admits(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind)) && (self.vmid.is_none() || self.vmid == event.vmid)
    }
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Event(Event),
    /// So many events were dropped before the next one: list again what you mirror.
    Lagged(u64),
}

/// A subscription. Dropping it ends it.
#[async_trait]
pub trait EventSubscription: Send {
    /// The next event, or notice of a gap; `None` once the bus is closed. Cancel safe.
    async fn next(&mut self) -> Option<Received>;
}

/// The bus. In process now; NATS can stand behind the same port.
pub trait Events: Send + Sync + 'static {
    /// Publishes without waiting; slow subscribers lag, the publisher never blocks.
    fn publish(&self, event: Event);

    /// Subscribes from now on.
    fn subscribe(&self, filter: EventFilter) -> Box<dyn EventSubscription>;
}
