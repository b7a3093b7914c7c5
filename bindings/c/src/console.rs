//! Consoles.

use std::sync::Arc;

use bytes::Bytes;
use engine::{ByteStream, Error, ErrorKind, Result};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{gpve_error, gpve_status};
use crate::raw::{self, Caller, Object};
use crate::runtime::{Runtime, within};

/// Pieces that wait in each direction; beyond them the other side waits.
const PIECES: usize = 16;

/// A serial port of a running machine. One thread may read while another writes.
pub struct gpve_console {
    runtime: Arc<Runtime>,
    output: Mutex<Output>,
    input: mpsc::Sender<Input>,
    pump: JoinHandle<()>,
}

/// What the guest wrote.
struct Output {
    pieces: mpsc::Receiver<Result<Bytes>>,
    /// What did not fit into the last read.
    rest: Bytes,
}

/// What the guest shall read, and who waits until it was written.
struct Input {
    bytes: Bytes,
    written: oneshot::Sender<Result<()>>,
}

impl Object for gpve_console {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:con");
    const NAME: &'static str = "console";
}

impl Drop for gpve_console {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl gpve_console {
    pub(crate) fn new(runtime: &Arc<Runtime>, stream: Box<dyn ByteStream>) -> Result<Self> {
        let (to_c, pieces) = mpsc::channel(PIECES);
        let (input, from_c) = mpsc::channel(PIECES);
        let pump = runtime.spawn(pump(stream, to_c, from_c))?;
        Ok(Self { runtime: Arc::clone(runtime), output: Mutex::new(Output { pieces, rest: Bytes::new() }), input, pump })
    }

    /// At most `room` bytes; none at the end.
    async fn read(&self, room: usize) -> Result<Bytes> {
        let mut output = self.output.lock().await;
        while output.rest.is_empty() {
            match output.pieces.recv().await {
                Some(piece) => output.rest = piece?,
                None => return Ok(Bytes::new()),
            }
        }
        let count = room.min(output.rest.len());
        Ok(output.rest.split_to(count))
    }

    async fn write(&self, bytes: Bytes) -> Result<()> {
        let ended = || Error::new(ErrorKind::Unavailable, "console.write", "the console has ended");
        let (written, wait) = oneshot::channel();
        self.input.send(Input { bytes, written }).await.map_err(|_| ended())?;
        wait.await.map_err(|_| ended())?
    }
}

/// Carries bytes both ways until either side ends.
async fn pump(mut stream: Box<dyn ByteStream>, to_c: mpsc::Sender<Result<Bytes>>, mut from_c: mpsc::Receiver<Input>) {
    loop {
        let read = async {
            // Nothing is read that has no place to go to.
            let place = to_c.reserve().await.ok()?;
            let piece = stream.read().await.transpose()?;
            let goes_on = piece.is_ok();
            place.send(piece);
            goes_on.then_some(())
        };
        tokio::select! {
            went_on = read => if went_on.is_none() { return },
            input = from_c.recv() => {
                let Some(Input { bytes, written }) = input else { return };
                let _nobody_waits = written.send(stream.write(bytes).await);
            }
        }
    }
}

/// Blocks until the guest has written something, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT, and nothing
/// is lost. At most `size` bytes, at least 1, go to `buffer`, and their number to `count`: 0 at the end of the stream. They are what
/// the guest wrote, no text of any encoding. Any thread; one at a time gets bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_console_read(
    console: *const gpve_console,
    buffer: *mut u8,
    size: usize,
    timeout_ms: u64,
    count: *mut usize,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_console_read", error) };
    c.run(|| {
        let out = c.place(count, "count")?;
        let console = c.object(console)?;
        if buffer.is_null() || size == 0 {
            return Err(c.refuse("buffer", "has no room"));
        }
        let bytes = console.runtime.wait(within(timeout_ms, "console.read", console.read(size)))??;
        c.fill(buffer, &bytes);
        out.put(bytes.len());
        Ok(())
    })
}

/// Blocks until `size` bytes were written to the guest's serial port, or `timeout_ms` milliseconds have passed (0: for ever):
/// GPVE_STATUS_TIMEOUT, and they may still be written. Any thread; each call's bytes stay together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_console_write(
    console: *const gpve_console,
    bytes: *const u8,
    size: usize,
    timeout_ms: u64,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_console_write", error) };
    c.run(|| {
        let console = c.object(console)?;
        let bytes = Bytes::copy_from_slice(c.bytes(bytes, size, "bytes")?);
        console.runtime.wait(within(timeout_ms, "console.write", console.write(bytes)))?
    })
}

/// Closes a console and frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no console. Any thread, while no
/// other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_console_free(console: *mut gpve_console) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_console_free", console) }
}
