//! Streams of changes.
//!
//! As server-sent events, each change is one event whose `id` is its resource version and whose `data` is a
//! [`WatchEvent`]; a client that lost its connection sends the last id as `Last-Event-ID`, or as `?resourceVersion=`, and
//! misses nothing. Over a WebSocket each text message is a [`WatchEvent`].

use serde::{Deserialize, Serialize};

use super::Problem;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WatchType {
    /// An object was made.
    Added,
    /// An object changed.
    Modified,
    /// An object is gone; the event holds it as it last was, or null if that is not known any more.
    Deleted,
    /// Nothing; resume after this version.
    Bookmark,
    /// The stream ends; list again if the code is `Conflict`, resume if it is retryable.
    Error,
}

/// One change of a watched list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchEvent<T> {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: WatchType,
    /// Resume after this version.
    pub resource_version: String,
    /// The object.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub object: Option<T>,
    /// The number of a deleted object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<u32>,
    /// Why the stream ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

impl<T: Serialize> WatchEvent<T> {
    /// An event about nothing yet.
    pub fn new(kind: WatchType, resource_version: impl std::fmt::Display) -> Self {
        Self { kind, resource_version: resource_version.to_string(), object: None, vmid: None, error: None }
    }

    /// The event as a server-sent event, ready to be written.
    pub fn to_sse(&self) -> String {
        // An event of plain data always serializes.
        let data = serde_json::to_string(self).unwrap_or_default();
        format!("id: {}\ndata: {data}\n\n", self.resource_version)
    }
}

/// Longest event that [`Frames`] accepts; an object with every device is some 20 KiB.
const LONGEST_EVENT: usize = 4 << 20;

/// Cuts a byte stream into the data of server-sent events.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Adds bytes as they come.
    ///
    /// # Errors
    /// An event beyond all bounds: the peer is no gpve server.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), gpve_core::error::Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LONGEST_EVENT {
            self.buffer.clear();
            return Err(gpve_core::error::Error::internal("watch.read", "an event is longer than 4 MiB"));
        }
        Ok(())
    }

    /// The data of the next whole event. Comments and events without data do not count.
    pub fn next_data(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.windows(2).position(|w| w == b"\n\n")?;
            let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&frame);
            let data: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("data:")).map(|d| d.strip_prefix(' ').unwrap_or(d)).collect();
            if !data.is_empty() {
                return Some(data.join("\n"));
            }
        }
    }
}
