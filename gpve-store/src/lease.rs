//! Leases: who is alive until when, and the task that tells the store when the next one ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gpve_core::ports::{Clock, LeaseId};
use tokio::sync::watch;

/// The leases that are alive. Times are those of [`Clock::monotonic`].
#[derive(Debug)]
pub(crate) struct Leases {
    alive: HashMap<LeaseId, Lease>,
    by_deadline: BTreeSet<(Duration, LeaseId)>,
    next_end: watch::Sender<Option<Duration>>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    ttl: Duration,
    deadline: Duration,
}

impl Leases {
    /// None alive.
    pub(crate) fn new() -> Self {
        Self { alive: HashMap::new(), by_deadline: BTreeSet::new(), next_end: watch::Sender::new(None) }
    }

    /// How many are alive.
    pub(crate) fn len(&self) -> usize {
        self.alive.len()
    }

    /// Whether `lease` exists and has not run out at `now`.
    pub(crate) fn is_alive(&self, lease: LeaseId, now: Duration) -> bool {
        self.alive.get(&lease).is_some_and(|l| l.deadline > now)
    }

    /// The full time of `lease`.
    pub(crate) fn ttl(&self, lease: LeaseId) -> Option<Duration> {
        self.alive.get(&lease).map(|l| l.ttl)
    }

    /// Sets `lease` to end at `deadline`.
    pub(crate) fn set(&mut self, lease: LeaseId, ttl: Duration, deadline: Duration) {
        self.forget(lease);
        self.alive.insert(lease, Lease { ttl, deadline });
        self.by_deadline.insert((deadline, lease));
    }

    /// Removes `lease`.
    pub(crate) fn forget(&mut self, lease: LeaseId) {
        if let Some(old) = self.alive.remove(&lease) {
            self.by_deadline.remove(&(old.deadline, lease));
        }
    }

    /// Leases that have run out at `now`, earliest first.
    pub(crate) fn due(&self, now: Duration) -> Vec<LeaseId> {
        self.by_deadline.iter().take_while(|(at, _)| *at <= now).map(|(_, lease)| *lease).collect()
    }

    /// Tells the [`end_on_time`] task when to fire next. Call after every change, and after each of its calls.
    pub(crate) fn announce(&self) {
        self.next_end.send_replace(self.by_deadline.first().map(|(at, _)| *at));
    }

    /// What [`end_on_time`] listens to.
    pub(crate) fn next_end(&self) -> watch::Receiver<Option<Duration>> {
        self.next_end.subscribe()
    }
}

/// Calls `end_due` whenever the announced time has come, until that returns false or the leases are dropped.
pub(crate) async fn end_on_time<F: Future<Output = bool>>(
    clock: Arc<dyn Clock>,
    mut next_end: watch::Receiver<Option<Duration>>,
    end_due: impl Fn() -> F,
) {
    loop {
        let at = *next_end.borrow_and_update();
        let due = async {
            match at {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = next_end.changed() => if changed.is_err() { return },
            () = due => {
                if !end_due().await || next_end.changed().await.is_err() {
                    return;
                }
                // Seen again at the top: the store has announced what comes next.
                next_end.mark_changed();
            }
        }
    }
}
