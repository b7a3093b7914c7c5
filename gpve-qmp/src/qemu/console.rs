//! Consoles: serial ports that several can watch at once, and the VNC server's socket.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use gpve_core::error::{Error, Result};
use gpve_core::ports::{ByteStream, ConsoleKind, OpCx};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use super::fault;

/// Output of a serial port kept for whoever opens it later: a few screens, enough for a boot's messages.
const KEPT_BYTES: usize = 64 << 10;

/// Chunks held for a viewer that is behind; what it misses is gone, as on a real line.
const VIEWER_BACKLOG: usize = 256;

/// Most bytes read at once.
const CHUNK_BYTES: usize = 4 << 10;

const OP: &str = "console.open";

/// A guest's consoles.
#[derive(Debug)]
pub(super) struct Consoles {
    serials: BTreeMap<u8, Arc<SerialPort>>,
    vnc: Option<PathBuf>,
}

impl Consoles {
    /// Begins to read the serial ports with these sockets.
    pub(super) fn new(serials: impl IntoIterator<Item = (u8, PathBuf)>, vnc: Option<PathBuf>) -> Self {
        let serials = serials.into_iter().map(|(number, path)| (number, Arc::new(SerialPort::read(path)))).collect();
        Self { serials, vnc }
    }

    pub(super) async fn open(&self, cx: &OpCx, kind: ConsoleKind) -> Result<Box<dyn ByteStream>> {
        match kind {
            ConsoleKind::Serial(number) => match self.serials.get(&number) {
                Some(port) => Ok(Box::new(port.view())),
                None => Err(Error::not_found(OP, format!("serial{number}"))),
            },
            ConsoleKind::Vnc => {
                let path = self.vnc.as_ref().ok_or_else(|| Error::not_found(OP, "a display"))?;
                cx.run(OP, Raw::connect(path)).await
            }
        }
    }
}

/// A serial port. QEMU serves one client and forgets what nobody reads, so this reads always and keeps the end.
#[derive(Debug)]
struct SerialPort {
    output: Arc<Mutex<Output>>,
    input: Arc<tokio::sync::Mutex<Option<OwnedWriteHalf>>>,
    reader: AbortHandle,
}

#[derive(Debug)]
struct Output {
    kept: VecDeque<u8>,
    /// `None` after the end.
    viewers: Option<broadcast::Sender<Bytes>>,
}

impl SerialPort {
    fn read(path: PathBuf) -> Self {
        let viewers = Some(broadcast::channel(VIEWER_BACKLOG).0);
        let output = Arc::new(Mutex::new(Output { kept: VecDeque::new(), viewers }));
        let input = Arc::new(tokio::sync::Mutex::new(None));
        // Held until the connection stands, so that early input waits for it.
        let connecting = Arc::clone(&input).try_lock_owned();
        let reader = tokio::spawn({
            let output = Arc::clone(&output);
            async move {
                match UnixStream::connect(&path).await {
                    Ok(stream) => {
                        let (from, to) = stream.into_split();
                        if let Ok(mut input) = connecting {
                            *input = Some(to);
                        }
                        copy(from, &output).await;
                    }
                    Err(error) => tracing::warn!(path = %path.display(), %error, "the serial port cannot be read"),
                }
                lock(&output).viewers = None;
            }
        });
        Self { output, input, reader: reader.abort_handle() }
    }

    fn view(&self) -> SerialView {
        let output = lock(&self.output);
        let (front, back) = output.kept.as_slices();
        let kept = Bytes::from([front, back].concat());
        let live = output.viewers.as_ref().map(broadcast::Sender::subscribe);
        SerialView { kept: Some(kept).filter(|kept| !kept.is_empty()), live, input: Arc::clone(&self.input) }
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn copy(mut from: OwnedReadHalf, output: &Mutex<Output>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let mut output = lock(output);
        output.kept.extend(&chunk[..count]);
        let surplus = output.kept.len().saturating_sub(KEPT_BYTES);
        output.kept.drain(..surplus);
        if let Some(viewers) = &output.viewers {
            // No viewer is no error.
            let _ = viewers.send(Bytes::copy_from_slice(&chunk[..count]));
        }
    }
}

fn lock(output: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

struct SerialView {
    kept: Option<Bytes>,
    live: Option<broadcast::Receiver<Bytes>>,
    input: Arc<tokio::sync::Mutex<Option<OwnedWriteHalf>>>,
}

#[async_trait]
impl ByteStream for SerialView {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        let Some(live) = &mut self.live else { return Ok(None) };
        loop {
            match live.recv().await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut input = self.input.lock().await;
        let gone = || Error::precondition("console.write", "the serial port is closed");
        let written = input.as_mut().ok_or_else(gone)?.write_all(&bytes).await;
        written.map_err(|error| fault::io("console.write", "the serial port", &error))
    }
}

/// A console that is a socket and no more.
struct Raw(UnixStream);

impl Raw {
    async fn connect(path: &Path) -> Result<Box<dyn ByteStream>> {
        let stream = UnixStream::connect(path).await.map_err(|error| fault::io(OP, path.display(), &error))?;
        Ok(Box::new(Self(stream)))
    }
}

#[async_trait]
impl ByteStream for Raw {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = self.0.read_buf(&mut chunk).await.map_err(|error| fault::io("console.read", "the console", &error))?;
        Ok((read > 0).then(|| chunk.into()))
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.write_all(&bytes).await.map_err(|error| fault::io("console.write", "the console", &error))
    }
}
