use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ExecError, Tool};

/// How much of a failed program's stderr an error carries: enough for a message, short enough for a log line.
const MESSAGE_BYTES_MAX: usize = 2048;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ended by itself with this code; 0 is success.
    Exited(i32),
    /// A signal of this number killed it.
    Signalled(i32),
}

impl Status {
    /// Whether it ended with code 0.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Exited(code),
            None => Self::Signalled(status.signal().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "code {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The program.
    pub tool: Tool,
    /// How it ended.
    pub status: Status,
    /// Its stdout, as printed.
    pub stdout: Vec<u8>,
    /// Its stderr, with the invocation's secrets masked.
    pub stderr: Vec<u8>,
    /// Wall time from start to end; zero when replayed.
    pub elapsed: Duration,
}

impl Output {
    /// The output, if the program ended with code 0.
    ///
    /// # Errors
    /// [`ExecError::Failed`] with the end of its stderr.
    pub fn require_success(self) -> Result<Self, ExecError> {
        if self.status.is_success() { Ok(self) } else { Err(self.failure()) }
    }

    /// The error that says how this program failed; for callers that accept some codes and not others.
    pub fn failure(&self) -> ExecError {
        ExecError::Failed { tool: self.tool, status: self.status, message: message(&self.stderr) }
    }

    /// Its stdout as text.
    ///
    /// # Errors
    /// [`ExecError::Output`] when it is not UTF-8.
    pub fn text(&self) -> Result<&str, ExecError> {
        std::str::from_utf8(&self.stdout).map_err(|source| self.unusable(source))
    }

    /// Its stdout read as one JSON document.
    ///
    /// # Errors
    /// [`ExecError::Output`] when it is not the JSON that `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ExecError> {
        serde_json::from_slice(&self.stdout).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: impl std::error::Error + Send + Sync + 'static) -> ExecError {
        ExecError::Output { tool: self.tool, source: Box::new(source) }
    }
}

fn message(stderr: &[u8]) -> String {
    let tail = &stderr[stderr.len().saturating_sub(MESSAGE_BYTES_MAX)..];
    let text = String::from_utf8_lossy(tail).trim().to_owned();
    if text.is_empty() { "it printed no reason".to_owned() } else { text }
}
