//! A serial port of a running machine.

use std::sync::{Arc, PoisonError};

use gpve::client::VirtualMachines;
use gpve::{ByteStream, Error, ErrorKind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::errors::Failure;
use crate::pending::Pending;
use crate::work::Work;
use crate::{faces, json};

/// Pieces of output that are kept for a reader that is slow; the guest waits then.
const PIECES_KEPT: usize = 64;
/// How much of the last output an error shows.
const SHOWN: usize = 400;

/// A serial port: `with vm.console() as console`, or `async with`. It may be read and written at the same time.
#[pyclass(module = "gpve", frozen)]
pub(crate) struct Console {
    machines: VirtualMachines,
    name: String,
    port: u8,
    input: Arc<Mutex<Option<Input>>>,
    output: Arc<std::sync::Mutex<Option<mpsc::Sender<Write>>>>,
}

/// What the guest wrote.
struct Input {
    pieces: mpsc::Receiver<Result<Vec<u8>, Error>>,
    /// Read, and not given to anybody yet.
    kept: Vec<u8>,
}

/// Bytes for the guest, and who waits for them to be written.
struct Write {
    bytes: Vec<u8>,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Input {
    /// Waits for more; whether there was more. Cancel safe.
    async fn fill(&mut self) -> Result<bool, Error> {
        let piece = self.pieces.recv().await.transpose()?;
        let is_more = piece.is_some();
        self.kept.extend(piece.into_iter().flatten());
        Ok(is_more)
    }

    async fn read(&mut self) -> Result<Vec<u8>, Error> {
        while self.kept.is_empty() && self.fill().await? {}
        Ok(std::mem::take(&mut self.kept))
    }

    /// Everything up to the end of `mark`.
    async fn read_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Error> {
        loop {
            let found = self.kept.windows(mark.len()).position(|bytes| bytes == mark);
            if let Some(start) = found {
                let rest = self.kept.split_off(start + mark.len());
                return Ok(std::mem::replace(&mut self.kept, rest));
            }
            if !self.fill().await? {
                return Err(Error::new(ErrorKind::Unavailable, "console.read", format!("the console was closed after {}", self.tail())));
            }
        }
    }

    fn tail(&self) -> String {
        let last = &self.kept[self.kept.len().saturating_sub(SHOWN)..];
        format!("{:?}", String::from_utf8_lossy(last))
    }
}

/// Carries bytes both ways until nobody reads or writes any more.
async fn carry(mut stream: Box<dyn ByteStream>, read: mpsc::Sender<Result<Vec<u8>, Error>>, mut writes: mpsc::Receiver<Write>) {
    loop {
        // Nothing is read that there is no room for.
        let reading = async { (read.reserve().await, stream.read().await) };
        tokio::select! {
            write = writes.recv() => {
                let Some(Write { bytes, done }) = write else { return };
                // Who wrote may have given up waiting.
                let _gone = done.send(stream.write(bytes.into()).await);
            }
            (room, piece) = reading => match (room, piece.transpose()) {
                (Ok(room), Some(Ok(bytes))) => room.send(Ok(bytes.to_vec())),
                (Ok(room), Some(Err(e))) => return room.send(Err(e)),
                (Err(_), _) | (_, None) => return,
            },
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::FailedPrecondition, "console", "the console is not open: use 'with' or open()")
}

impl Console {
    pub(crate) fn new(machines: VirtualMachines, name: String, port: u8) -> Self {
        Self { machines, name, port, input: Arc::default(), output: Arc::default() }
    }

    fn opening(&self) -> impl Future<Output = Result<(), Failure>> + Send + use<> {
        let (machines, name, port) = (self.machines.clone(), self.name.clone(), self.port);
        let (input, output) = (Arc::clone(&self.input), Arc::clone(&self.output));
        async move {
            let stream = machines.console(&name, port).await?;
            let (read, pieces) = mpsc::channel(PIECES_KEPT);
            let (write, writes) = mpsc::channel(1);
            tokio::spawn(carry(stream, read, writes));
            *input.lock().await = Some(Input { pieces, kept: Vec::new() });
            *output.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
            Ok(())
        }
    }

    /// Ends the carrier, and with it whoever reads.
    fn shut(&self) {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn reading(&self, limit: Option<f64>, mark: Option<Vec<u8>>) -> PyResult<Work> {
        let (input, limit) = (Arc::clone(&self.input), json::seconds(limit)?);
        Ok(Work::new(async move {
            let mut input = input.lock().await;
            let open = input.as_mut().ok_or_else(closed)?;
            let reading = async {
                match &mark {
                    Some(mark) => Ok(open.read_until(mark).await?),
                    None => Ok(open.read().await?),
                }
            };
            let read = json::within("console.read", limit, reading).await;
            read.map(Output).map_err(|failure| told_last(failure, open))
        }))
    }
}

/// A reader that waited in vain wants to know what came instead.
fn told_last(failure: Failure, input: &Input) -> Failure {
    match failure {
        Failure::Gpve(e) if e.kind == ErrorKind::Timeout => {
            Error::new(ErrorKind::Timeout, "console.read", format!("{}; the last output is {}", e.message, input.tail())).into()
        }
        other => other,
    }
}

/// Text as UTF-8, or bytes.
fn bytes(text: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(text) = text.extract::<String>() {
        return Ok(text.into_bytes());
    }
    match text.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
        Err(_) => Err(PyTypeError::new_err("str or bytes is needed")),
    }
}

/// Bytes, to be made Python's.
struct Output(Vec<u8>);

impl<'py> IntoPyObject<'py> for Output {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(PyBytes::new(py, &self.0))
    }
}

faces! {
    impl Console {
        both {
            /// Opens it.
            fn open / open_sync(&self) { Ok(Work::new(self.opening())) }

            /// Closes it. Harmless when it is closed.
            fn close / close_sync(&self) {
                self.shut();
                Ok(Work::new(async { Ok(()) }))
            }

            /// The next output, as bytes; `b""` at the end.
            #[pyo3(signature = (*, timeout_s=None))]
            fn read / read_sync(&self, timeout_s: Option<f64>) { self.reading(timeout_s, None) }

            /// The output up to and with `mark`, which is text or bytes.
            #[pyo3(signature = (mark, *, timeout_s=None))]
            fn read_until / read_until_sync(&self, mark: &Bound<'_, PyAny>, timeout_s: Option<f64>) {
                let mark = bytes(mark)?;
                // Nothing is everywhere.
                if mark.is_empty() { Ok(Work::new(async { Ok(Output(Vec::new())) })) } else { self.reading(timeout_s, Some(mark)) }
            }

            /// Types text (as UTF-8) or bytes.
            fn write / write_sync(&self, text: &Bound<'_, PyAny>) {
                let (bytes, output) = (bytes(text)?, self.output.lock().unwrap_or_else(PoisonError::into_inner).clone());
                Ok(Work::new(async move {
                    let output = output.ok_or_else(closed)?;
                    let (done, written) = oneshot::channel();
                    let ended = || Error::new(ErrorKind::Unavailable, "console.write", "the console was closed");
                    output.send(Write { bytes, done }).await.map_err(|_| ended())?;
                    Ok(written.await.map_err(|_| ended())??)
                }))
            }
        }
        plain {
            fn __enter__(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
                Work::new(slf.get().opening()).block(py)?;
                Ok(slf)
            }

            fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
                self.shut();
            }

            fn __aenter__(slf: Py<Self>) -> Pending {
                let opening = slf.get().opening();
                Pending::new("__aenter__", Work::new(async move { opening.await.map(|()| slf) }))
            }

            fn __aexit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> Pending {
                self.shut();
                Pending::new("__aexit__", Work::new(async { Ok(()) }))
            }

            fn __repr__(&self) -> String {
                format!("<gpve.Console of {}, port {}>", self.name, self.port)
            }
        }
    }
}
