//! A QMP connection that comes back: negotiated anew after each loss, and every subscriber told of the gap.
//!
//! No command is ever sent twice: one under way when the connection was lost ends with
//! [`QmpError::Closed`](super::error::QmpError::Closed), and only the caller knows whether to repeat it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use super::client::{Options, QmpClient};
use super::error::CloseReason;
use super::events::{EVENT_BACKLOG, EventStream, Notice, QmpEvent};

/// Wait before the first attempt to connect again; doubles up to [`MAX_BACKOFF`].
pub const MIN_BACKOFF: Duration = Duration::from_millis(20);

/// Longest wait between attempts: a QEMU whose monitor comes free is found within this.
pub const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What a subscriber of a [`Link`] learns.
#[derive(Debug, Clone)]
pub enum LinkNotice {
    /// Connected and negotiated; `epoch` counts connections from 1. From 2 on, events were missed since the
    /// [`LinkNotice::Lost`] before: look at the state again.
    Up {
        /// Which connection this is.
        epoch: u64,
    },
    /// An event.
    Event(Arc<QmpEvent>),
    /// The connection ended; the link tries again until it is dropped.
    Lost(Arc<CloseReason>),
    /// The subscriber was too slow: this many notices are lost to it. Look at the state again.
    Lagged(u64),
}

/// A supervised connection to one monitor socket. Stops when dropped.
#[derive(Debug)]
pub struct Link {
    current: watch::Receiver<Option<QmpClient>>,
    notices: broadcast::Sender<LinkNotice>,
    supervisor: AbortHandle,
}

impl Link {
    /// Starts connecting to the unix socket `path`, which need not exist yet. Must be called within a tokio runtime.
    #[must_use]
    pub fn supervise(path: PathBuf, options: Options) -> Self {
        let notices = broadcast::channel(EVENT_BACKLOG).0;
        let (publish, current) = watch::channel(None);
        let supervisor = Supervisor { path, options, publish, notices: notices.clone() };
        let supervisor = tokio::spawn(supervisor.run()).abort_handle();
        Self { current, notices, supervisor }
    }

    /// The connection, waiting for one at most `timeout`; `None` when there was none in time. Cancel safe.
    pub async fn client(&self, timeout: Duration) -> Option<QmpClient> {
        let mut current = self.current.clone();
        let usable = |client: &Option<QmpClient>| client.as_ref().is_some_and(|client| !client.is_closed());
        let found = tokio::time::timeout(timeout, current.wait_for(usable)).await.ok()?.ok()?;
        found.clone()
    }

    /// Notices from now on.
    #[must_use]
    pub fn subscribe(&self) -> LinkStream {
        LinkStream(self.notices.subscribe())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// One subscriber's view of a [`Link`].
#[derive(Debug)]
pub struct LinkStream(broadcast::Receiver<LinkNotice>);

impl LinkStream {
    /// The next notice; `None` once the link is dropped. Cancel safe.
    pub async fn next(&mut self) -> Option<LinkNotice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(lost)) => Some(LinkNotice::Lagged(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}

struct Supervisor {
    path: PathBuf,
    options: Options,
    publish: watch::Sender<Option<QmpClient>>,
    notices: broadcast::Sender<LinkNotice>,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = MIN_BACKOFF;
        let mut epoch = 0;
        loop {
            match QmpClient::connect(&self.path, self.options.clone()).await {
                Ok(client) => {
                    backoff = MIN_BACKOFF;
                    epoch += 1;
                    self.serve(client, epoch).await;
                }
                Err(error) => tracing::debug!(path = %self.path.display(), %error, "no QMP connection yet"),
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Publishes one connection and passes its events on until it ends.
    async fn serve(&self, client: QmpClient, epoch: u64) {
        let events = client.subscribe();
        self.announce(LinkNotice::Up { epoch });
        self.publish.send_replace(Some(client.clone()));
        self.relay(events).await;
        self.publish.send_replace(None);
        self.announce(LinkNotice::Lost(client.closed().await));
    }

    async fn relay(&self, mut events: EventStream) {
        while let Some(notice) = events.next().await {
            self.announce(match notice {
                Notice::Event(event) => LinkNotice::Event(event),
                Notice::Lagged(lost) => LinkNotice::Lagged(lost),
            });
        }
    }

    fn announce(&self, notice: LinkNotice) {
        // No subscriber is no error.
        let _ = self.notices.send(notice);
    }
}
