//! Numbered observations for whoever follows the node, with a bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Observation, ObservationStream, Observed, Seq};

/// How many observations are kept for followers to resume from. A follower that is further behind takes the whole
/// state again, which costs no more than the observations it missed. At 3 KiB an observation 6 MiB.
pub(super) const KEPT_OBSERVATIONS: usize = 2048;

/// Keeps the last observations and wakes followers.
pub(super) struct Hub {
    kept: Mutex<VecDeque<Arc<Observation>>>,
    last: watch::Sender<Seq>,
}

impl Hub {
    /// Numbering starts after `base`, which must be larger than any number given before a restart.
    pub(super) fn new(base: Seq) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(VecDeque::new()), last: watch::Sender::new(base) })
    }

    /// Publishes; never waits.
    pub(super) fn publish(&self, observed: Observed) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = Seq(self.last.borrow().0 + 1);
        if kept.len() == KEPT_OBSERVATIONS {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Observation { seq, observed }));
        self.last.send_replace(seq);
    }

    /// The number of the newest observation.
    pub(super) fn last(&self) -> Seq {
        *self.last.borrow()
    }

    /// A stream of what follows `after`, or `None` if that is no longer (or never was) known.
    pub(super) fn follow(self: &Arc<Self>, after: Seq) -> Option<Follower> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last();
        let reachable = after == last || kept.front().is_some_and(|o| o.seq.0 <= after.0 + 1 && after < last);
        reachable.then(|| Follower { hub: Arc::clone(self), news: self.last.subscribe(), at: after, first: VecDeque::new() })
    }

    fn after(&self, seq: Seq) -> Next {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(front) = kept.front() else { return Next::Nothing };
        match usize::try_from((seq.0 + 1).saturating_sub(front.seq.0)) {
            _ if seq.0 + 1 < front.seq.0 => Next::Lost,
            Ok(i) => kept.get(i).map_or(Next::Nothing, |o| Next::Is(Arc::clone(o))),
            Err(_) => Next::Lost,
        }
    }
}

enum Next {
    Is(Arc<Observation>),
    Nothing,
    Lost,
}

/// A follower of the hub: first a state to begin with, then what happens.
pub(super) struct Follower {
    hub: Arc<Hub>,
    news: watch::Receiver<Seq>,
    at: Seq,
    first: VecDeque<Observed>,
}

impl Follower {
    /// The same follower, telling `state` and [`Observed::Synced`] first. They carry number 0 until the last, so that a
    /// follower that is cut off in between starts over.
    pub(super) fn beginning_with(mut self, state: Vec<Observed>) -> Self {
        self.first = state.into();
        self.first.push_back(Observed::Synced);
        self
    }
}

#[async_trait]
impl ObservationStream for Follower {
    async fn next(&mut self) -> Result<Observation> {
        if let Some(observed) = self.first.pop_front() {
            let seq = if self.first.is_empty() { self.at } else { Seq(0) };
            return Ok(Observation { seq, observed });
        }
        loop {
            self.news.borrow_and_update();
            match self.hub.after(self.at) {
                Next::Is(o) => {
                    self.at = o.seq;
                    return Ok((*o).clone());
                }
                Next::Lost => {
                    let text = "fell behind the node's observations: observe again";
                    return Err(Error::new(ErrorKind::Unavailable, "node.observe", text));
                }
                Next::Nothing => {}
            }
            if self.news.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Unavailable, "node.observe", "the node engine has ended"));
            }
        }
    }
}
