//! One QMP connection per guest, shared by all who talk to it.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::{Options, QmpClient};
use super::error::QmpError;

/// Connections a pool holds unless told otherwise: PVE's own advice ends near 1,000 guests a host.
pub const DEFAULT_MAX_CONNECTIONS: usize = 2_000;

/// Connections by guest id. Callers that ask for the same guest at once share one attempt to connect.
#[derive(Debug)]
pub struct QmpPool<K> {
    slots: Mutex<HashMap<K, Arc<Slot>>>,
    options: Options,
    max_connections: usize,
}

/// A guest's place; locked while connecting.
type Slot = tokio::sync::Mutex<Option<QmpClient>>;

impl<K: Hash + Eq + Clone> QmpPool<K> {
    /// A pool of at most `max_connections`, each made with `options`.
    #[must_use]
    pub fn new(options: Options, max_connections: usize) -> Self {
        Self { slots: Mutex::default(), options, max_connections }
    }

    /// The guest's connection: the one that is open, else a new one to the unix socket `path`. Cancel safe.
    ///
    /// # Errors
    /// [`QmpError::PoolFull`] when every place is taken by an open connection, else as [`QmpClient::connect`].
    pub async fn get(&self, guest: &K, path: &Path) -> Result<QmpClient, QmpError> {
        let slot = self.slot(guest)?;
        let mut held = slot.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        // Given up before the new one: a monitor serves one client.
        *held = None;
        let client = QmpClient::connect(path, self.options.clone()).await?;
        *held = Some(client.clone());
        Ok(client)
    }

    /// Takes a connection made elsewhere (at launch) into the pool, in place of an older one.
    ///
    /// # Errors
    /// [`QmpError::PoolFull`] as [`QmpPool::get`].
    pub async fn insert(&self, guest: &K, client: QmpClient) -> Result<(), QmpError> {
        let slot = self.slot(guest)?;
        *slot.lock().await = Some(client);
        Ok(())
    }

    /// Closes the guest's connection, also for those who still hold it; without effect when there is none.
    pub async fn release(&self, guest: &K) {
        let slot = self.lock().remove(guest);
        if let Some(slot) = slot {
            close(&slot).await;
        }
    }

    /// Lets go of the guest's connection: it closes once nobody uses it any more.
    pub fn forget(&self, guest: &K) {
        self.lock().remove(guest);
    }

    /// Closes every connection.
    pub async fn close_all(&self) {
        let slots = std::mem::take(&mut *self.lock());
        for slot in slots.into_values() {
            close(&slot).await;
        }
    }

    /// Places taken, by open connections and attempts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no place is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn slot(&self, guest: &K) -> Result<Arc<Slot>, QmpError> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(guest) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= self.max_connections {
            slots.retain(|_, slot| is_in_use(slot));
        }
        if slots.len() >= self.max_connections {
            return Err(QmpError::PoolFull { open: slots.len() });
        }
        Ok(Arc::clone(slots.entry(guest.clone()).or_default()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is being connected, or whose connection is open.
fn is_in_use(slot: &Arc<Slot>) -> bool {
    Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|held| held.as_ref().is_some_and(|client| !client.is_closed()))
}

async fn close(slot: &Slot) {
    if let Some(client) = slot.lock().await.take() {
        client.close();
    }
}
