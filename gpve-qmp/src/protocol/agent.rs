//! The guest agent: QMP's framing without greeting, ids or events, and a peer that may be absent, slow or hostile.
//!
//! The agent answers in order and one at a time, so commands take turns. Whenever an answer may still be on its way
//! (first use, a deadline that passed, a dropped future) the next command first resynchronises with
//! `guest-sync-delimited`: everything up to the answer with our own random number is thrown away.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qapi_spec::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::codec::{self, Lane, LineBuffer, Message};
use super::error::{CloseReason, QmpError};

/// Resets the agent's parser, whatever half a command it was left with; marks the answer of a resynchronisation.
const DELIMITER: u8 = 0xFF;

/// How long a command that answers only its failure (`guest-shutdown`) is watched for one.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

const SYNC: &str = "guest-sync-delimited";

/// A guest's agent behind the unix socket of its channel. Connects when first used and again after a loss.
#[derive(Debug)]
pub struct AgentClient {
    path: PathBuf,
    channel: Mutex<Channel>,
    next_sync: AtomicU64,
}

#[derive(Debug, Default)]
struct Channel {
    stream: Option<UnixStream>,
    lines: LineBuffer,
    /// Nothing but the answer to our next command can arrive.
    in_sync: bool,
}

impl AgentClient {
    /// An agent at the unix socket `path`. `seed` makes the synchronisation numbers differ between daemons that
    /// used the same channel one after the other; take it from a clock or a random source.
    #[must_use]
    pub fn new(path: PathBuf, seed: u64) -> Self {
        // The agent's parser takes signed 64-bit integers.
        Self { path, channel: Mutex::default(), next_sync: AtomicU64::new(seed & (u64::MAX >> 2)) }
    }

    /// Executes a command of `qapi::qga`; `timeout` includes waiting for other commands' turns. Cancel safe.
    ///
    /// # Errors
    /// [`QmpError::Timeout`] when the agent is absent, asleep or busy; `Refused` in the agent's own words;
    /// `Connect` when QEMU is gone.
    pub async fn execute<C: Command>(&self, command: &C, timeout: Duration) -> Result<C::Ok, QmpError> {
        self.call(C::NAME, command, timeout).await
    }

    /// Executes a command that `qapi` has no type for. As [`AgentClient::execute`].
    ///
    /// # Errors
    /// As [`AgentClient::execute`].
    pub async fn raw(&self, name: &str, arguments: &Value, timeout: Duration) -> Result<Value, QmpError> {
        self.call(name, arguments, timeout).await
    }

    /// Sends a command that answers only when it fails: `guest-shutdown` and the suspends. Cancel safe.
    ///
    /// # Errors
    /// As [`AgentClient::execute`]; silence after sending is success.
    pub async fn post<C: Command>(&self, command: &C, timeout: Duration) -> Result<(), QmpError> {
        let exchange = async {
            let mut channel = self.channel.lock().await;
            self.send(&mut channel, C::NAME, command).await?;
            match tokio::time::timeout(REFUSAL_GRACE, channel.answer(C::NAME)).await {
                // Going down takes the channel along.
                Err(_) | Ok(Err(QmpError::Closed { .. })) => Ok(()),
                Ok(answer) => answer.map(|_: Value| ()),
            }
        };
        within(timeout, C::NAME, exchange).await
    }

    async fn call<A: Serialize, R: DeserializeOwned>(&self, name: &str, arguments: &A, timeout: Duration) -> Result<R, QmpError> {
        let exchange = async {
            let mut channel = self.channel.lock().await;
            self.send(&mut channel, name, arguments).await?;
            channel.answer(name).await
        };
        within(timeout, name, exchange).await
    }

    /// Brings the channel in step and sends; until the answer is read it counts as out of step.
    async fn send<A: Serialize>(&self, channel: &mut Channel, name: &str, arguments: &A) -> Result<(), QmpError> {
        let line =
            codec::encode(Lane::InBand, name, arguments, None).map_err(|source| QmpError::Encode { command: name.into(), source })?;
        if !channel.in_sync {
            self.synchronise(channel).await?;
        }
        channel.in_sync = false;
        channel.write(name, &line).await
    }

    async fn synchronise(&self, channel: &mut Channel) -> Result<(), QmpError> {
        if channel.stream.is_none() {
            let connected = UnixStream::connect(&self.path).await;
            let endpoint = || self.path.display().to_string();
            let stream = connected.map_err(|source| QmpError::Connect { endpoint: endpoint(), source })?;
            channel.stream = Some(stream);
            channel.lines.clear();
        }
        let number = self.next_sync.fetch_add(1, Ordering::Relaxed);
        let mut request = vec![DELIMITER];
        let sync = codec::encode(Lane::InBand, SYNC, &json!({ "id": number }), None)
            .map_err(|source| QmpError::Encode { command: SYNC.into(), source })?;
        request.extend(sync);
        channel.write(SYNC, &request).await?;
        loop {
            let line = channel.line(SYNC).await?;
            let Some(delimiter) = line.iter().rposition(|&byte| byte == DELIMITER) else { continue };
            if is_answer_to(number, &line[delimiter + 1..]) {
                return Ok(());
            }
        }
    }
}

async fn within<T>(timeout: Duration, command: &str, exchange: impl Future<Output = Result<T, QmpError>>) -> Result<T, QmpError> {
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| Err(QmpError::Timeout { command: command.into(), after: timeout }))
}

fn is_answer_to(number: u64, line: &[u8]) -> bool {
    match codec::parse(line) {
        Ok(Message::Reply { outcome: Ok(value), .. }) => value.get().parse() == Ok(number),
        _ => false,
    }
}

impl Channel {
    async fn write(&mut self, command: &str, bytes: &[u8]) -> Result<(), QmpError> {
        let Some(stream) = &mut self.stream else { return Err(self.lose(command, CloseReason::Eof)) };
        match stream.write_all(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lose(command, CloseReason::Io(error))),
        }
    }

    /// Reads the answer to the one command sent.
    async fn answer<R: DeserializeOwned>(&mut self, command: &str) -> Result<R, QmpError> {
        let line = self.line(command).await?;
        let message = codec::parse(line).map_err(|source| QmpError::Decode { command: command.into(), source });
        let result = match message? {
            Message::Reply { outcome: Ok(value), .. } => {
                serde_json::from_str(value.get()).map_err(|source| QmpError::Decode { command: command.into(), source })
            }
            Message::Reply { outcome: Err(body), .. } => Err(QmpError::refused(command, body)),
            _ => {
                let source = serde::de::Error::custom("neither a return nor an error");
                return Err(QmpError::Decode { command: command.into(), source });
            }
        };
        self.in_sync = true;
        result
    }

    /// The next line that is not empty.
    async fn line(&mut self, command: &str) -> Result<&[u8], QmpError> {
        loop {
            match self.lines.has_line() {
                Ok(true) => break,
                Ok(false) => {}
                Err(too_long) => return Err(self.lose(command, too_long.into())),
            }
            let Some(stream) = &mut self.stream else { return Err(self.lose(command, CloseReason::Eof)) };
            match stream.read_buf(self.lines.spare()).await {
                Ok(0) => return Err(self.lose(command, CloseReason::Eof)),
                Ok(_) => {}
                Err(error) => return Err(self.lose(command, CloseReason::Io(error))),
            }
        }
        Ok(self.lines.next_line().ok().flatten().unwrap_or_default())
    }

    fn lose(&mut self, command: &str, reason: CloseReason) -> QmpError {
        *self = Self::default();
        QmpError::Closed { command: command.into(), reason: Arc::new(reason) }
    }
}
