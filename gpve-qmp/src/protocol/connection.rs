//! The moving part of a connection: one task reads, callers write directly, and a map of ids joins the two.
//!
//! A caller's line goes to the socket in the caller's own poll when the socket takes it, so a round trip costs no
//! hand-over on the way out. What the socket does not take stays in the outbox, which the task drains. A line is
//! queued whole, under the lock, before the caller can be cancelled: a dropped future never leaves half a line.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, OwnedMutexGuard, OwnedSemaphorePermit, broadcast, oneshot, watch};

use super::client::MAX_OUTBOX_BYTES;
use super::codec::{self, ErrorBody, Greeting, LineBuffer, Message};
use super::error::CloseReason;
use super::events::{EVENT_BACKLOG, QmpEvent};

pub(super) type Outcome = Result<Box<RawValue>, ErrorBody>;

pub(super) struct Connection {
    state: Mutex<State>,
    writer: OwnedWriteHalf,
    /// The outbox holds what the socket did not take.
    stalled: Notify,
    closed: watch::Sender<Option<Arc<CloseReason>>>,
    next_id: AtomicU64,
}

struct State {
    pending: HashMap<u64, Pending>,
    outbox: VecDeque<Outgoing>,
    /// `None` once closed, so that subscribers learn of the end.
    events: Option<broadcast::Sender<Arc<QmpEvent>>>,
    greeting: Option<oneshot::Sender<Greeting>>,
}

/// A command that the peer has not answered. Stays after its caller gave up: its place in the peer's queue is
/// taken until the peer answers.
pub(super) struct Pending {
    pub(super) reply: oneshot::Sender<Outcome>,
    pub(super) _place: Option<OwnedSemaphorePermit>,
    /// Held by a command that carries a descriptor: QEMU keeps only the descriptor received last.
    pub(super) _descriptor_turn: Option<OwnedMutexGuard<()>>,
}

pub(super) struct Outgoing {
    pub(super) line: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
    sent: usize,
}

impl Outgoing {
    pub(super) fn new(line: Vec<u8>, descriptor: Option<OwnedFd>) -> Self {
        Self { line, descriptor, sent: 0 }
    }
}

impl Connection {
    /// Starts reading. Must be called within a tokio runtime.
    pub(super) fn start(stream: UnixStream) -> (Arc<Self>, oneshot::Receiver<Greeting>, broadcast::Receiver<Arc<QmpEvent>>) {
        let (reader, writer) = stream.into_split();
        let (events, first_subscriber) = broadcast::channel(EVENT_BACKLOG);
        let (greeted, greeting) = oneshot::channel();
        let connection = Arc::new(Self {
            state: Mutex::new(State { pending: HashMap::new(), outbox: VecDeque::new(), events: Some(events), greeting: Some(greeted) }),
            writer,
            stalled: Notify::new(),
            closed: watch::channel(None).0,
            next_id: AtomicU64::new(1),
        });
        tokio::spawn(run(Arc::clone(&connection), reader));
        (connection, greeting, first_subscriber)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues a command and writes what the socket takes. Whole or not at all.
    pub(super) fn submit(&self, id: u64, pending: Pending, outgoing: Outgoing) -> Result<(), Arc<CloseReason>> {
        let mut state = self.lock();
        if let Some(reason) = self.close_reason() {
            return Err(reason);
        }
        state.pending.insert(id, pending);
        state.outbox.push_back(outgoing);
        if let Err(reason) = self.flush(&mut state) {
            return Err(self.close_locked(&mut state, reason));
        }
        if !state.outbox.is_empty() {
            let waiting = state.outbox.iter().map(|outgoing| outgoing.line.len() - outgoing.sent).sum();
            if waiting > MAX_OUTBOX_BYTES {
                return Err(self.close_locked(&mut state, CloseReason::Stuck { waiting }));
            }
            self.stalled.notify_one();
        }
        Ok(())
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<QmpEvent>> {
        match &self.lock().events {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.close_locked(&mut self.lock(), reason);
    }

    pub(super) fn close_reason(&self) -> Option<Arc<CloseReason>> {
        self.closed.borrow().clone()
    }

    pub(super) fn watch_close(&self) -> watch::Receiver<Option<Arc<CloseReason>>> {
        self.closed.subscribe()
    }

    /// Ends everything that waits on this connection; the first reason stands.
    fn close_locked(&self, state: &mut State, reason: CloseReason) -> Arc<CloseReason> {
        if let Some(first) = self.close_reason() {
            return first;
        }
        let reason = Arc::new(reason);
        self.closed.send_replace(Some(Arc::clone(&reason)));
        state.pending.clear();
        state.outbox.clear();
        state.events = None;
        state.greeting = None;
        // Also ends the task's read. A QEMU monitor serves one client: it must see us go while handles remain.
        // Failure means that the peer has closed it already.
        let _ = rustix::net::shutdown(self.writer.as_ref().as_fd(), Shutdown::Both);
        reason
    }

    /// Writes until the outbox is empty or the socket is full.
    fn flush(&self, state: &mut State) -> Result<(), CloseReason> {
        while let Some(outgoing) = state.outbox.front_mut() {
            match self.write(outgoing) {
                Ok(count) => {
                    outgoing.descriptor = None;
                    outgoing.sent += count;
                    if outgoing.sent == outgoing.line.len() {
                        state.outbox.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(CloseReason::Io(error)),
            }
        }
        Ok(())
    }

    fn write(&self, outgoing: &Outgoing) -> io::Result<usize> {
        let bytes = &outgoing.line[outgoing.sent..];
        let Some(descriptor) = &outgoing.descriptor else {
            return self.writer.try_write(bytes);
        };
        let stream = self.writer.as_ref();
        stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [descriptor.as_fd()];
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, flags).map_err(io::Error::from)
        })
    }

    /// Hands one message to whoever waits for it.
    fn dispatch(&self, message: Message<'_>) {
        match message {
            Message::Reply { id: Some(id), outcome } => {
                let pending = self.lock().pending.remove(&id);
                match pending {
                    // A caller that gave up is no error.
                    Some(pending) => drop(pending.reply.send(outcome.map(ToOwned::to_owned))),
                    None => tracing::warn!(id, "a reply to no command"),
                }
            }
            Message::Reply { id: None, outcome } => {
                tracing::warn!(error = ?outcome.err(), "a reply without an id");
            }
            Message::Event { name, data, timestamp } => {
                let data = data.map(ToOwned::to_owned);
                let event = QmpEvent { name: name.into(), timestamp, data };
                if let Some(events) = &self.lock().events {
                    // No subscriber is no error.
                    let _ = events.send(Arc::new(event));
                }
            }
            Message::Greeting(greeting) => {
                if let Some(greeted) = self.lock().greeting.take() {
                    let _ = greeted.send(greeting);
                }
            }
            Message::Unknown => tracing::debug!("a message of an unknown kind was passed over"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics with the lock held; if one did, the maps would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_outbox(&self) -> bool {
        !self.lock().outbox.is_empty()
    }
}

/// Reads until the end, and drains the outbox when the socket was full.
async fn run(connection: Arc<Connection>, mut reader: OwnedReadHalf) {
    let reason = follow(&connection, &mut reader).await;
    connection.close(reason);
}

async fn follow(connection: &Connection, reader: &mut OwnedReadHalf) -> CloseReason {
    let mut lines = LineBuffer::default();
    loop {
        let stalled = connection.has_outbox();
        tokio::select! {
            biased;
            read = reader.read_buf(lines.spare()) => match read {
                Ok(0) => return CloseReason::Eof,
                Ok(_) => {}
                Err(error) => return CloseReason::Io(error),
            },
            writable = connection.writer.writable(), if stalled => {
                let flushed = writable.map_err(CloseReason::Io).and_then(|()| connection.flush(&mut connection.lock()));
                if let Err(reason) = flushed {
                    return reason;
                }
                continue;
            }
            () = connection.stalled.notified(), if !stalled => continue,
        }
        if let Err(reason) = deliver(connection, &mut lines) {
            return reason;
        }
    }
}

fn deliver(connection: &Connection, lines: &mut LineBuffer) -> Result<(), CloseReason> {
    while let Some(line) = lines.next_line()? {
        if !line.is_empty() {
            connection.dispatch(codec::parse(line).map_err(CloseReason::Garbage)?);
        }
    }
    Ok(())
}
