//! The threads that a client works on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle};

/// Enough for waiting; work happens on the host or the server.
const WORKERS: usize = 2;
/// How long the end of the last handle waits for what writes to disk.
const END: Duration = Duration::from_secs(10);

/// A runtime that ends with the last handle that was made of it.
pub(crate) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    pub(crate) fn start() -> Result<Arc<Self>> {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("gpve").enable_all().build();
        let runtime = runtime.map_err(|e| Error::new(ErrorKind::ResourceExhausted, "runtime", format!("no threads: {e}")))?;
        Ok(Arc::new(Self(Some(runtime))))
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<tokio::task::JoinHandle<()>> {
        Ok(self.get()?.spawn(work))
    }

    /// Blocks until the work is done. Refuses to where that would block what drives the work.
    pub(crate) fn wait<F: Future>(&self, work: F) -> Result<F::Output> {
        if Handle::try_current().is_ok() {
            return Err(Error::precondition("wait", "this function blocks: it cannot be called from a gpve_machine_test"));
        }
        Ok(self.get()?.block_on(work))
    }

    fn get(&self) -> Result<&tokio::runtime::Runtime> {
        self.0.as_ref().ok_or_else(|| Error::internal("runtime", "it has ended"))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        match self.0.take() {
            Some(runtime) if Handle::try_current().is_ok() => runtime.shutdown_background(),
            Some(runtime) => runtime.shutdown_timeout(END),
            None => {}
        }
    }
}

/// The work's result, or [`ErrorKind::Timeout`] after that many milliseconds; 0 is for ever.
pub(crate) async fn within<T>(timeout_ms: u64, op: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    if timeout_ms == 0 {
        return work.await;
    }
    let late = || Error::new(ErrorKind::Timeout, op, format!("{timeout_ms} ms have passed"));
    tokio::time::timeout(Duration::from_millis(timeout_ms), work).await.unwrap_or_else(|_| Err(late()))
}
