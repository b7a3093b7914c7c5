//! Bytes to lines, lines to messages, commands to bytes. Pure: no socket, no clock.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Longest line accepted, in bytes. The longest legitimate one is the agent's answer to a `guest-file-read` of its
/// maximum, 48 MiB, which is 64 MiB of base64 and its wrapping; QEMU's own schema is 0.3 MiB.
pub const MAX_LINE_BYTES: usize = 72 << 20;

/// Least free space offered to a read: most replies fit, and an idle connection holds no more than this.
const READ_CHUNK_BYTES: usize = 4 << 10;

/// Capacity above which an emptied buffer is given back: one schema query must not cost each of a thousand guests
/// a megabyte for ever.
const KEEP_BUFFER_BYTES: usize = 16 << 10;

/// A line grew past [`MAX_LINE_BYTES`] (or the limit given) with no end in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {limit} bytes")]
pub struct LineTooLong {
    /// The limit in force, in bytes.
    pub limit: usize,
}

/// Splits a byte stream into lines without their ends (`\n` or `\r\n`), however the reads cut it.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the first unreturned line starts.
    start: usize,
    /// Up to where no line end was found, so that a long line is searched once.
    searched: usize,
    limit: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::with_limit(MAX_LINE_BYTES)
    }
}

impl LineBuffer {
    /// A buffer which refuses lines over `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, limit }
    }

    /// Where the next read goes: append to this vector, which has free capacity, and nothing else.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        self.compact();
        self.bytes.reserve(READ_CHUNK_BYTES);
        &mut self.bytes
    }

    /// The next complete line, which may be empty; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`LineTooLong`] once the line under way passes the limit; the stream cannot be followed after that.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        if !self.has_line()? {
            return Ok(None);
        }
        let (from, end) = (self.start, self.searched);
        self.start = end + 1;
        self.searched = self.start;
        let line = &self.bytes[from..end];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Whether [`LineBuffer::next_line`] would yield a line.
    ///
    /// # Errors
    /// As [`LineBuffer::next_line`].
    pub fn has_line(&mut self) -> Result<bool, LineTooLong> {
        let found = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n');
        self.searched = found.map_or(self.bytes.len(), |offset| self.searched + offset);
        if self.searched - self.start > self.limit {
            return Err(LineTooLong { limit: self.limit });
        }
        Ok(found.is_some())
    }

    /// Forgets everything held.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        self.searched = 0;
    }

    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP_BUFFER_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// One message of a peer, its payload still in JSON and borrowed from the line.
#[derive(Debug)]
pub enum Message<'a> {
    /// The first line of a QMP server.
    Greeting(Greeting),
    /// A command's answer.
    Reply {
        /// The id the command carried; `None` when the peer could not tell.
        id: Option<u64>,
        /// The returned value, or why there is none.
        outcome: Result<&'a RawValue, ErrorBody>,
    },
    /// Something that happened by itself.
    Event {
        /// Its name, such as `SHUTDOWN`.
        name: Cow<'a, str>,
        /// Its data, absent for some.
        data: Option<&'a RawValue>,
        /// When, by the peer's clock.
        timestamp: Timestamp,
    },
    /// A JSON object of no kind known here: a later QEMU's, to be passed over.
    Unknown,
}

/// What a QMP server says of itself on connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Greeting {
    /// Version of the program behind the socket, to be shown, never to be compared: see [`super::schema`].
    pub version: Version,
    /// Capabilities on offer, such as `oob`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// A QEMU version, for people to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// The three numbers.
    pub qemu: VersionNumber,
    /// What the packager added.
    #[serde(default)]
    pub package: String,
}

/// The numbers of a QEMU version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct VersionNumber {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub micro: u32,
}

/// Why a command failed, in the peer's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ErrorBody {
    /// Machine-readable class, such as `GenericError` or `CommandNotFound`.
    pub class: String,
    /// Text for people.
    pub desc: String,
}

/// Time of an event by the peer's clock; both parts are -1 when the peer's clock failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Microseconds on top.
    pub microseconds: i64,
}

/// Parses one line.
///
/// # Errors
/// The line is not a JSON object, or a known member has the wrong type.
pub fn parse(line: &[u8]) -> Result<Message<'_>, serde_json::Error> {
    // serde would also read the members from a list, in order.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(serde::de::Error::custom("a message is a JSON object"));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line)?;
    let id = envelope.id.as_ref().and_then(|id| id.get().parse().ok());
    Ok(if let Some(name) = envelope.event {
        Message::Event { name, data: envelope.data, timestamp: envelope.timestamp.unwrap_or_default() }
    } else if let Some(value) = envelope.returned {
        Message::Reply { id, outcome: Ok(value) }
    } else if let Some(error) = envelope.error {
        Message::Reply { id, outcome: Err(error) }
    } else if let Some(greeting) = envelope.greeting {
        Message::Greeting(greeting)
    } else {
        Message::Unknown
    })
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "return", deserialize_with = "even_null")]
    returned: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorBody>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default, rename = "QMP")]
    greeting: Option<Greeting>,
}

/// `"return": null` is an answer, not the absence of one.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Which queue of the peer a command joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Behind the commands before it.
    InBand,
    /// Past them; only where the peer offered `oob`, only for commands that allow it.
    OutOfBand,
}

/// Encodes a command as one line with its end. `id` is left out for peers that know none (the guest agent).
///
/// # Errors
/// `arguments` cannot be expressed in JSON.
pub fn encode(lane: Lane, name: &str, arguments: &impl Serialize, id: Option<u64>) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Call<'a, A> {
        #[serde(skip_serializing_if = "Option::is_none")]
        execute: Option<&'a str>,
        #[serde(rename = "exec-oob", skip_serializing_if = "Option::is_none")]
        exec_oob: Option<&'a str>,
        arguments: &'a A,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    }
    let (execute, exec_oob) = match lane {
        Lane::InBand => (Some(name), None),
        Lane::OutOfBand => (None, Some(name)),
    };
    let mut line = Vec::with_capacity(128);
    serde_json::to_writer(&mut line, &Call { execute, exec_oob, arguments, id })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests;
