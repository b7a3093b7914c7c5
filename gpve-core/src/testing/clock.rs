//! A clock that tests turn by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::ports::Clock;
use crate::types::Timestamp;

/// A [`Clock`] that stands still until [`ManualClock::advance`]. Cheap to clone; all clones are one clock.
///
/// Sleepers wake in the order of their times, and in the order in which they fell asleep where those are equal.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Mutex<Dial>>);

#[derive(Debug, Default)]
struct Dial {
    start: Timestamp,
    elapsed: Duration,
    /// By wake-up time and order of arrival.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    arrivals: u64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Dial { start, ..Dial::default() })))
    }

    /// Turns the clock forward, stopping at every sleeper on the way so that what it does next happens at its time.
    pub async fn advance(&self, by: Duration) {
        let end = self.monotonic() + by;
        while let Some(sleeper) = self.turn_to_next(end) {
            // A sleeper that was dropped meanwhile does not want to be woken.
            let _ = sleeper.send(());
            settle().await;
        }
        self.lock().elapsed = end;
        settle().await;
    }

    /// Turns the clock straight to the next sleeper; false if there is none.
    pub async fn advance_to_next(&self) -> bool {
        let sleeper = self.turn_to_next(Duration::MAX);
        let woken = sleeper.map(|s| s.send(())).is_some();
        settle().await;
        woken
    }

    /// How many sleep now.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.values().filter(|s| !s.is_closed()).count()
    }

    fn turn_to_next(&self, end: Duration) -> Option<oneshot::Sender<()>> {
        let mut dial = self.lock();
        let first = dial.sleepers.first_entry().filter(|e| e.key().0 <= end)?;
        let ((at, _), sleeper) = first.remove_entry();
        dial.elapsed = dial.elapsed.max(at);
        Some(sleeper)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Dial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the woken task run as far as it gets: it and what it wakes each need a turn on a current-thread runtime.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let dial = self.lock();
        dial.start.plus(dial.elapsed)
    }

    fn monotonic(&self) -> Duration {
        self.lock().elapsed
    }

    async fn sleep_until(&self, at: Duration) {
        let woken = {
            let mut dial = self.lock();
            if at <= dial.elapsed {
                return;
            }
            let (wake, woken) = oneshot::channel();
            dial.arrivals += 1;
            let order = dial.arrivals;
            dial.sleepers.insert((at, order), wake);
            woken
        };
        // The clock was dropped while somebody slept by it: that time never comes.
        if woken.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
