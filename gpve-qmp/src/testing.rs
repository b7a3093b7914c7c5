//! A scripted peer: QEMU's or the guest agent's side of a socket, played line by line by a test.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's own peer fails by panicking")]

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};

use crate::protocol::codec::LineBuffer;

/// A monitor socket that a test accepts connections on.
#[derive(Debug)]
pub struct FakeSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl FakeSocket {
    /// Listens on `path`.
    ///
    /// # Panics
    /// The path is taken or too long.
    #[must_use]
    pub fn bind(path: &Path) -> Self {
        Self { listener: UnixListener::bind(path).expect("a free socket path"), path: path.into() }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection.
    ///
    /// # Panics
    /// The socket fails.
    pub async fn accept(&self) -> FakePeer {
        FakePeer::over(self.listener.accept().await.expect("a connection").0)
    }
}

/// The far side of one connection.
#[derive(Debug)]
pub struct FakePeer {
    stream: UnixStream,
    lines: LineBuffer,
    /// Descriptors received with the bytes so far.
    pub descriptors: Vec<OwnedFd>,
}

/// A command as the peer received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// Its id.
    pub id: Option<u64>,
    /// Whether it was sent out of band.
    pub out_of_band: bool,
}

impl FakePeer {
    /// A peer and the socket of its client.
    ///
    /// # Panics
    /// No sockets are left.
    #[must_use]
    pub fn pair() -> (Self, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Self::over(ours), theirs)
    }

    fn over(stream: UnixStream) -> Self {
        Self { stream, lines: LineBuffer::default(), descriptors: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// The client is gone.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("a client that reads");
    }

    /// Sends a value as a line.
    pub async fn send_line(&mut self, value: &Value) {
        self.send(format!("{value}\r\n").as_bytes()).await;
    }

    /// Greets with these capabilities on offer.
    pub async fn greet(&mut self, capabilities: &[&str]) {
        let version = json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "fake"});
        self.send_line(&json!({"QMP": {"version": version, "capabilities": capabilities}})).await;
    }

    /// Greets, and answers the negotiation that follows; yields what the client enabled.
    pub async fn negotiate(&mut self, capabilities: &[&str]) -> Value {
        self.greet(capabilities).await;
        let negotiation = self.expect("qmp_capabilities").await;
        self.answer(&negotiation, json!({})).await;
        negotiation.arguments["enable"].clone()
    }

    /// The next command; `None` when the client hung up.
    ///
    /// # Panics
    /// The client sent something that is no command.
    pub async fn receive(&mut self) -> Option<Received> {
        let line = self.receive_line().await?;
        let mut value: Value = serde_json::from_slice(&line).expect("a JSON line");
        let out_of_band = value.get("exec-oob").is_some();
        let name = value[if out_of_band { "exec-oob" } else { "execute" }].as_str().expect("a command").to_owned();
        Some(Received { name, arguments: value["arguments"].take(), id: value["id"].as_u64(), out_of_band })
    }

    /// The next line as it came; `None` when the client hung up.
    pub async fn receive_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.lines.next_line().expect("a line of sane length") {
                return Some(line.to_vec());
            }
            if self.read().await == 0 {
                return None;
            }
        }
    }

    /// The next command, which must be this one.
    ///
    /// # Panics
    /// It is another, or none.
    pub async fn expect(&mut self, name: &str) -> Received {
        let received = self.receive().await.unwrap_or_else(|| panic!("hung up instead of {name}"));
        assert_eq!(received.name, name);
        received
    }

    /// Answers a command.
    pub async fn answer(&mut self, command: &Received, value: Value) {
        self.send_line(&json!({"return": value, "id": command.id})).await;
    }

    /// Refuses a command.
    pub async fn refuse(&mut self, command: &Received, class: &str, desc: &str) {
        self.send_line(&json!({"error": {"class": class, "desc": desc}, "id": command.id})).await;
    }

    /// Sends an event.
    pub async fn event(&mut self, name: &str, data: Value) {
        let timestamp = json!({"seconds": 1, "microseconds": 0});
        self.send_line(&json!({"timestamp": timestamp, "event": name, "data": data})).await;
    }

    async fn read(&mut self) -> usize {
        let Self { stream, lines, descriptors } = self;
        stream
            .async_io(Interest::READABLE, || {
                let mut bytes = [0; 4096];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let mut slices = [IoSliceMut::new(&mut bytes)];
                let message = rustix::net::recvmsg(&*stream, &mut slices, &mut ancillary, RecvFlags::DONTWAIT)?;
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        descriptors.extend(received);
                    }
                }
                lines.spare().extend_from_slice(&bytes[..message.bytes]);
                Ok(message.bytes)
            })
            .await
            .unwrap_or(0)
    }
}
