use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::invocation::{Invocation, Stdin};
use crate::redact::{MASK, replace};
use crate::{ExecError, Output, Runner, Status};

/// One recorded run: a line of a transcript file. Secrets are masked; bytes that are not UTF-8 are kept as `{"hex": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What was asked.
    #[serde(flatten)]
    asked: Asked,
    status: Status,
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    stdout: Bytes,
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    stderr: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    tool: String,
    args: Vec<Bytes>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<(String, Bytes)>,
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    stdin: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

/// Names that stand for what differs from run to run, such as a temporary directory.
type Aliases = Vec<(Vec<u8>, Vec<u8>)>;

/// Runs through another runner and appends each exchange to a file. Runs that end in an [`ExecError`] are not written.
#[derive(Debug)]
pub struct Recorder<R> {
    inner: R,
    path: PathBuf,
    file: Mutex<File>,
    aliases: Aliases,
}

impl<R: Runner> Recorder<R> {
    /// Appends to the file at `path`, made when missing.
    ///
    /// # Errors
    /// [`ExecError::Transcript`] when it cannot be opened.
    pub fn append(inner: R, path: impl Into<PathBuf>) -> Result<Self, ExecError> {
        let path = path.into();
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(Self { inner, path, file: Mutex::new(file), aliases: Aliases::new() }),
            Err(source) => Err(ExecError::Transcript { path, source }),
        }
    }

    /// Writes `name` wherever `actual` (not empty) occurs.
    #[must_use]
    pub fn alias(mut self, actual: &str, name: &str) -> Self {
        self.aliases.push((actual.into(), name.into()));
        self
    }

    fn write(&self, exchange: &Exchange) -> io::Result<()> {
        let mut line = serde_json::to_vec(exchange)?;
        line.push(b'\n');
        // One write per line: concurrent runs never mix.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }
}

#[async_trait]
impl<R: Runner> Runner for Recorder<R> {
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError> {
        let rename = |bytes: &[u8]| renamed(bytes, &self.aliases);
        let asked = Asked::of(&invocation, rename);
        let redactor = invocation.redactor();
        let output = self.inner.run(invocation).await?;
        let exchange = Exchange {
            asked,
            status: output.status,
            stdout: Bytes::of(&rename(&redactor.clean(&output.stdout))),
            stderr: Bytes::of(&rename(&redactor.clean(&output.stderr))),
        };
        self.write(&exchange).map_err(|source| ExecError::Transcript { path: self.path.clone(), source })?;
        Ok(output)
    }
}

/// Answers from a recording, each exchange once and equal ones in their order. Starts nothing.
#[derive(Debug)]
pub struct Transcript {
    left: Mutex<VecDeque<Exchange>>,
    aliases: Aliases,
}

impl Transcript {
    /// Reads a recording made by [`Recorder`].
    ///
    /// # Errors
    /// [`ExecError::Transcript`] naming the file and the line.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ExecError> {
        let path = path.as_ref();
        let wrong = |source| ExecError::Transcript { path: path.into(), source };
        Self::parse(&std::fs::read_to_string(path).map_err(wrong)?).map_err(wrong)
    }

    /// Reads a recording from memory: JSON lines; empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] naming the line.
    pub fn parse(text: &str) -> io::Result<Self> {
        let exchange = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", index + 1)))
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        Ok(Self { left: Mutex::new(lines.map(exchange).collect::<io::Result<_>>()?), aliases: Aliases::new() })
    }

    /// Reads `name` of the recording as `actual` (neither empty): the reverse of [`Recorder::alias`].
    #[must_use]
    pub fn alias(mut self, actual: &str, name: &str) -> Self {
        self.aliases.push((actual.into(), name.into()));
        self
    }

    /// How many recorded exchanges nobody asked for yet.
    pub fn unused_count(&self) -> usize {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl Runner for Transcript {
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError> {
        invocation.accepted()?;
        let asked = Asked::of(&invocation, |bytes| renamed(bytes, &self.aliases));
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exchange) = left.iter().position(|exchange| exchange.asked == asked).and_then(|at| left.remove(at)) else {
            let nearest = left.iter().find(|exchange| exchange.asked.tool == asked.tool);
            let nearest = nearest.map_or_else(|| "none".to_owned(), |exchange| exchange.asked.to_string());
            return Err(ExecError::NotRecorded { asked: asked.to_string(), nearest });
        };
        let reverse: Aliases = self.aliases.iter().map(|(actual, name)| (name.clone(), actual.clone())).collect();
        let stdout = renamed(&exchange.stdout.bytes(), &reverse);
        if let Some(watcher) = &invocation.watcher {
            watcher.see(&stdout);
        }
        Ok(Output {
            tool: invocation.tool,
            status: exchange.status,
            stdout,
            stderr: renamed(&exchange.stderr.bytes(), &reverse),
            elapsed: Duration::ZERO,
        })
    }
}

fn renamed(bytes: &[u8], aliases: &Aliases) -> Vec<u8> {
    aliases.iter().fold(bytes.to_vec(), |bytes, (from, to)| replace(&bytes, from, to))
}

impl Asked {
    fn of(invocation: &Invocation, rename: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let kept = |value: &std::ffi::OsString| Bytes::of(&rename(value.as_encoded_bytes()));
        let stdin = match &invocation.stdin {
            Stdin::Nothing => Bytes::Text(String::new()),
            Stdin::Bytes(bytes) => Bytes::of(&rename(bytes)),
            Stdin::Secret(_) => Bytes::Text(MASK.to_owned()),
        };
        Self {
            tool: invocation.tool.name().to_owned(),
            args: invocation.args.iter().map(kept).collect(),
            env: invocation.env.iter().map(|(name, value)| ((*name).to_owned(), kept(value))).collect(),
            stdin,
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex { hex } => hex.as_bytes().chunks(2).filter_map(hex_byte).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
}
