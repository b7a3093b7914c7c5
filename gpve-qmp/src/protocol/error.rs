//! What can go wrong between us and a QEMU or a guest agent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::codec::{ErrorBody, LineTooLong};

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// The socket could not be reached.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// The socket's path.
        endpoint: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The peer refused the command.
    #[error("{command}: {desc} ({class})")]
    Refused {
        /// The command's name.
        command: String,
        /// The peer's machine-readable class.
        class: ErrorClass,
        /// The peer's text.
        desc: String,
    },
    /// No answer came in time. The command may still take effect.
    #[error("{command}: no answer within {after:?}")]
    Timeout {
        /// The command's name.
        command: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The connection ended before the answer came. The command may have taken effect.
    #[error("{command}: the connection is closed")]
    Closed {
        /// The command's name.
        command: String,
        /// Why it ended.
        #[source]
        reason: Arc<CloseReason>,
    },
    /// The arguments cannot be written as JSON.
    #[error("{command}: the arguments cannot be encoded")]
    Encode {
        /// The command's name.
        command: String,
        /// The encoder's words.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is not of the type that this command returns.
    #[error("{command}: the answer has an unexpected shape")]
    Decode {
        /// The command's name.
        command: String,
        /// The decoder's words.
        #[source]
        source: serde_json::Error,
    },
    /// More connections than the pool may hold.
    #[error("{open} connections are open, the most allowed")]
    PoolFull {
        /// How many.
        open: usize,
    },
}

impl QmpError {
    pub(crate) fn refused(command: &str, body: ErrorBody) -> Self {
        Self::Refused { command: command.into(), class: ErrorClass::from(body.class), desc: body.desc }
    }

    /// The peer's error class, if it was the peer that refused.
    #[must_use]
    pub fn class(&self) -> Option<&ErrorClass> {
        match self {
            Self::Refused { class, .. } => Some(class),
            _ => None,
        }
    }

    /// Whether the peer is gone, so that only a new connection can help.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Closed { .. })
    }
}

/// The protocol's error classes; all but `GenericError` may be acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// No special class: only the text tells.
    Generic,
    /// This QEMU does not have the command.
    CommandNotFound,
    /// The device is not ready for this.
    DeviceNotActive,
    /// There is no such device.
    DeviceNotFound,
    /// KVM lacks what this needs.
    KvmMissingCap,
    /// A class of a later QEMU.
    Other(String),
}

impl From<String> for ErrorClass {
    fn from(class: String) -> Self {
        match class.as_str() {
            "GenericError" => Self::Generic,
            "CommandNotFound" => Self::CommandNotFound,
            "DeviceNotActive" => Self::DeviceNotActive,
            "DeviceNotFound" => Self::DeviceNotFound,
            "KVMMissingCap" => Self::KvmMissingCap,
            _ => Self::Other(class),
        }
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generic => "GenericError",
            Self::CommandNotFound => "CommandNotFound",
            Self::DeviceNotActive => "DeviceNotActive",
            Self::DeviceNotFound => "DeviceNotFound",
            Self::KvmMissingCap => "KVMMissingCap",
            Self::Other(class) => class,
        })
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it: QEMU exited, or another client took its place.
    #[error("the peer closed the connection")]
    Eof,
    /// We closed it.
    #[error("it was closed here")]
    Local,
    /// Reading or writing failed.
    #[error("the socket failed")]
    Io(#[source] io::Error),
    /// The peer sent a line past the limit.
    #[error(transparent)]
    TooLong(#[from] LineTooLong),
    /// The peer sent something that is not JSON.
    #[error("the peer sent a line that is no message")]
    Garbage(#[source] serde_json::Error),
    /// More bytes wait to be sent than [`super::client::MAX_OUTBOX_BYTES`].
    #[error("the peer does not read: {waiting} bytes wait")]
    Stuck {
        /// Bytes waiting.
        waiting: usize,
    },
}
