//! One QMP connection: commands by id, each with its own deadline, and events to whoever subscribes.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qapi_spec::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, broadcast, oneshot};

use super::codec::{self, Greeting, Lane};
use super::connection::{Connection, Outcome, Outgoing, Pending};
use super::error::{CloseReason, QmpError};
use super::events::{EventStream, QmpEvent};

/// In-band commands sent and not answered. QEMU queues eight and then stops reading, which would hold up
/// out-of-band commands too: with seven it always reads on. Further commands wait here.
pub const IN_BAND_WINDOW: usize = 7;

/// Out-of-band commands sent and not answered; they are rare and short.
pub const OUT_OF_BAND_WINDOW: usize = 4;

/// Bytes queued for a peer that does not read before the connection is given up: two of the longest lines.
pub const MAX_OUTBOX_BYTES: usize = 2 * codec::MAX_LINE_BYTES;

/// How a connection is made and how long its commands may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// Greeting and capability negotiation together.
    pub handshake_timeout: Duration,
    /// A command whose request names no other deadline, waiting for its turn included.
    pub command_timeout: Duration,
    /// Ask for out-of-band execution where the peer offers it.
    pub out_of_band: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { handshake_timeout: Duration::from_secs(10), command_timeout: Duration::from_secs(30), out_of_band: true }
    }
}

/// A QMP connection. Clones share it; it closes when the last is dropped.
///
/// Dropping a future of any method leaves the connection usable: a command already sent is still executed by
/// QEMU, and its answer is thrown away.
#[derive(Clone)]
pub struct QmpClient(Arc<Shared>);

struct Shared {
    connection: Arc<Connection>,
    greeting: Greeting,
    has_out_of_band: bool,
    options: Options,
    in_band: Arc<Semaphore>,
    out_of_band: Arc<Semaphore>,
    descriptor_turn: Arc<tokio::sync::Mutex<()>>,
    first_subscriber: Mutex<Option<broadcast::Receiver<Arc<QmpEvent>>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.connection.close(CloseReason::Local);
    }
}

impl fmt::Debug for QmpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.0.connection.close_reason();
        f.debug_struct("QmpClient").field("greeting", &self.0.greeting).field("closed", &closed).finish()
    }
}

impl QmpClient {
    /// Connects to the unix socket `path` and negotiates.
    ///
    /// # Errors
    /// [`QmpError::Connect`] when the socket cannot be reached; otherwise as [`QmpClient::over`].
    pub async fn connect(path: &Path, options: Options) -> Result<Self, QmpError> {
        let stream =
            UnixStream::connect(path).await.map_err(|source| QmpError::Connect { endpoint: path.display().to_string(), source })?;
        Self::over(stream, options).await
    }

    /// Negotiates on a connected socket: reads the greeting, takes `oob` when it is offered and wanted.
    ///
    /// # Errors
    /// [`QmpError::Timeout`] without a greeting in time (a monitor serves one client: another may hold it),
    /// [`QmpError::Closed`] when the peer hangs up or does not speak QMP.
    pub async fn over(stream: UnixStream, options: Options) -> Result<Self, QmpError> {
        let deadline = options.handshake_timeout;
        let handshake = Self::handshake(stream, options);
        tokio::time::timeout(deadline, handshake)
            .await
            .unwrap_or_else(|_| Err(QmpError::Timeout { command: NEGOTIATE.into(), after: deadline }))
    }

    async fn handshake(stream: UnixStream, options: Options) -> Result<Self, QmpError> {
        let (connection, greeting, first_subscriber) = Connection::start(stream);
        let mut shared = Shared {
            connection,
            greeting: Greeting::default(),
            has_out_of_band: false,
            options,
            in_band: Arc::new(Semaphore::new(IN_BAND_WINDOW)),
            out_of_band: Arc::new(Semaphore::new(OUT_OF_BAND_WINDOW)),
            descriptor_turn: Arc::default(),
            first_subscriber: Mutex::new(Some(first_subscriber)),
        };
        shared.greeting = greeting.await.map_err(|_| shared.closed(NEGOTIATE))?;
        let offered = shared.greeting.capabilities.iter().any(|capability| capability == "oob");
        shared.has_out_of_band = offered && shared.options.out_of_band;
        let client = Self(Arc::new(shared));
        let enable: &[&str] = if client.0.has_out_of_band { &["oob"] } else { &[] };
        client.raw(NEGOTIATE, &json!({ "enable": enable })).send().await?;
        Ok(client)
    }

    /// What QEMU said of itself on connection.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.0.greeting
    }

    /// Whether commands can overtake others here.
    #[must_use]
    pub fn has_out_of_band(&self) -> bool {
        self.0.has_out_of_band
    }

    /// Executes a command with the connection's usual deadline.
    ///
    /// # Errors
    /// Every [`QmpError`] but `Connect` and `PoolFull`.
    pub async fn execute<C: Command>(&self, command: &C) -> Result<C::Ok, QmpError> {
        self.request(command).send().await
    }

    /// A command to be sent with a deadline, lane or descriptor of its own.
    pub fn request<'a, C: Command>(&'a self, command: &'a C) -> Request<'a, C, C::Ok> {
        let request = Request::new(self, C::NAME, command);
        Request { allows_out_of_band: C::ALLOW_OOB, ..request }
    }

    /// A command that `qapi` has no type for, or whose arguments were composed elsewhere. `arguments` is an object.
    pub fn raw<'a>(&'a self, name: &'a str, arguments: &'a Value) -> Request<'a, Value, Value> {
        Request { allows_out_of_band: true, ..Request::new(self, name, arguments) }
    }

    /// Events from now on; the first call also yields those since the connection began.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        let first = self.0.first_subscriber.lock().unwrap_or_else(PoisonError::into_inner).take();
        EventStream::new(first.unwrap_or_else(|| self.0.connection.subscribe()))
    }

    /// Closes the connection for all clones; commands under way end with [`QmpError::Closed`].
    pub fn close(&self) {
        self.0.connection.close(CloseReason::Local);
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.connection.close_reason().is_some()
    }

    /// Waits for the end of the connection and says why. Cancel safe.
    pub async fn closed(&self) -> Arc<CloseReason> {
        let mut watch = self.0.connection.watch_close();
        let reason = watch.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        // The sender lives in `self`, so the watch cannot fail first.
        reason.unwrap_or_else(|| Arc::new(CloseReason::Local))
    }
}

const NEGOTIATE: &str = "qmp_capabilities";

impl Shared {
    fn closed(&self, command: &str) -> QmpError {
        let reason = self.connection.close_reason().unwrap_or_else(|| Arc::new(CloseReason::Eof));
        QmpError::Closed { command: command.into(), reason }
    }
}

/// A command about to be sent.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a, A, R> {
    client: &'a QmpClient,
    name: &'a str,
    arguments: &'a A,
    allows_out_of_band: bool,
    lane: Lane,
    timeout: Duration,
    descriptor: Option<OwnedFd>,
    returns: PhantomData<fn() -> R>,
}

impl<'a, A: Serialize, R: DeserializeOwned> Request<'a, A, R> {
    fn new(client: &'a QmpClient, name: &'a str, arguments: &'a A) -> Self {
        let timeout = client.0.options.command_timeout;
        Self { client, name, arguments, allows_out_of_band: false, lane: Lane::InBand, timeout, descriptor: None, returns: PhantomData }
    }

    /// Overtakes other commands where both the connection and the command allow it; waits its turn otherwise.
    pub fn out_of_band(mut self) -> Self {
        if self.client.has_out_of_band() && self.allows_out_of_band {
            self.lane = Lane::OutOfBand;
        }
        self
    }

    /// Gives up after this long, waiting for a turn included. The command may still take effect.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads the answer as another type.
    pub fn returning<T: DeserializeOwned>(self) -> Request<'a, A, T> {
        let Self { client, name, arguments, allows_out_of_band, lane, timeout, descriptor, returns: _ } = self;
        Request { client, name, arguments, allows_out_of_band, lane, timeout, descriptor, returns: PhantomData }
    }

    /// Sends a descriptor along, for `getfd` and `add-fd`.
    pub fn descriptor(mut self, descriptor: OwnedFd) -> Self {
        self.descriptor = Some(descriptor);
        self
    }

    /// Sends the command and waits for its answer. Cancel safe: dropped before it was sent, nothing happened;
    /// dropped after, QEMU executes it all the same.
    ///
    /// # Errors
    /// Every [`QmpError`] but `Connect` and `PoolFull`.
    pub async fn send(self) -> Result<R, QmpError> {
        let (name, timeout) = (self.name, self.timeout);
        let outcome = tokio::time::timeout(timeout, self.exchange())
            .await
            .map_err(|_| QmpError::Timeout { command: name.into(), after: timeout })??;
        let value = outcome.map_err(|body| QmpError::refused(name, body))?;
        serde_json::from_str(value.get()).map_err(|source| QmpError::Decode { command: name.into(), source })
    }

    async fn exchange(self) -> Result<Outcome, QmpError> {
        let shared = &*self.client.0;
        let connection = &shared.connection;
        let id = connection.next_id();
        let line = codec::encode(self.lane, self.name, self.arguments, Some(id))
            .map_err(|source| QmpError::Encode { command: self.name.into(), source })?;
        let window = match self.lane {
            Lane::InBand => &shared.in_band,
            Lane::OutOfBand => &shared.out_of_band,
        };
        let descriptor_turn = match self.descriptor {
            Some(_) => Some(Arc::clone(&shared.descriptor_turn).lock_owned().await),
            None => None,
        };
        // Windows are never closed, so a place is always found in the end.
        let place = Arc::clone(window).acquire_owned().await.ok();
        let (reply, answer) = oneshot::channel();
        let pending = Pending { reply, _place: place, _descriptor_turn: descriptor_turn };
        connection
            .submit(id, pending, Outgoing::new(line, self.descriptor))
            .map_err(|reason| QmpError::Closed { command: self.name.into(), reason })?;
        answer.await.map_err(|_| shared.closed(self.name))
    }
}
