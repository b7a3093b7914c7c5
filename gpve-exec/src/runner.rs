use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::invocation::{Invocation, Stdin, Watcher};
use crate::tree::Tree;
use crate::{ExecError, Output, Tool, Tools};

/// How many programs one [`System`] runs at a time; more wait within their deadline. Enough for every disk of a host, too few to fork it dry.
pub const RUNNING_MAX: usize = 64;

/// Read at a time; a pipe holds 64 KiB.
const READ_BYTES: usize = 64 * 1024;

/// The port through which programs are run to their end.
///
/// Cancel safe: dropping the future kills the program and its process group. Not idempotent by itself; that is up to the program.
#[async_trait]
pub trait Runner: Send + Sync + fmt::Debug {
    /// Runs a program and gives what it printed, whatever its exit code: see [`Output::require_success`].
    ///
    /// # Errors
    /// [`ExecError`], when it could not be started, overran its deadline or its output cap.
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError>;
}

#[async_trait]
impl<R: Runner + ?Sized> Runner for Arc<R> {
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError> {
        (**self).run(invocation).await
    }
}

/// Runs the programs of this host.
#[derive(Debug, Clone)]
pub struct System {
    tools: Tools,
    slots: Arc<Semaphore>,
}

impl System {
    /// A runner for these tools.
    pub fn new(tools: Tools) -> Self {
        Self { tools, slots: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }

    /// Where it finds programs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    async fn run_to_end(&self, invocation: Invocation) -> Result<Output, ExecError> {
        // The semaphore is never closed, so a missing permit is no case.
        let _slot = self.slots.acquire().await;
        let started = Instant::now();
        let mut tree = Tree::start(&invocation, &self.tools)?;
        let (stdout, stderr) = converse(&mut tree, &invocation).await?;
        let wait = |source| ExecError::Io { tool: invocation.tool, what: "wait for", source };
        let status = tree.child.wait().await.map_err(wait)?.into();
        let output =
            Output { tool: invocation.tool, status, stdout, stderr: invocation.redactor().clean(&stderr), elapsed: started.elapsed() };
        tracing::debug!(tool = %output.tool, %status, elapsed = ?output.elapsed, "ran");
        Ok(output)
    }
}

#[async_trait]
impl Runner for System {
    async fn run(&self, invocation: Invocation) -> Result<Output, ExecError> {
        invocation.accepted()?;
        let (tool, after) = (invocation.tool, invocation.deadline);
        match tokio::time::timeout(after, self.run_to_end(invocation)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ExecError::Deadline { tool, after }),
        }
    }
}

/// Feeds stdin and collects both outputs until the program closes them.
async fn converse(tree: &mut Tree, invocation: &Invocation) -> Result<(Vec<u8>, Vec<u8>), ExecError> {
    let tool = invocation.tool;
    let input: &[u8] = match &invocation.stdin {
        Stdin::Nothing => &[],
        Stdin::Bytes(bytes) => bytes,
        Stdin::Secret(secret) => secret.reveal(),
    };
    let budget = Budget { tool, cap_bytes: invocation.output_cap_bytes, used_bytes: AtomicUsize::new(0) };
    let (stdin, stdout, stderr) = (tree.child.stdin.take(), tree.child.stdout.take(), tree.child.stderr.take());
    let ((), stdout, stderr) = tokio::try_join!(
        feed(tool, stdin, input),
        budget.collect(stdout, invocation.watcher.as_ref()),
        budget.collect(stderr, invocation.stderr_watcher.as_ref())
    )?;
    Ok((stdout, stderr))
}

async fn feed(tool: Tool, pipe: Option<impl AsyncWrite + Unpin>, input: &[u8]) -> Result<(), ExecError> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    match pipe.write_all(input).await {
        // A program may end without reading all of its input; its exit code says whether that was right.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| ExecError::Io { tool, what: "write the input of", source }),
    }
}

/// What may still be printed, shared by stdout and stderr.
struct Budget {
    tool: Tool,
    cap_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Budget {
    async fn collect(&self, pipe: Option<impl AsyncRead + Unpin>, watcher: Option<&Watcher>) -> Result<Vec<u8>, ExecError> {
        let mut collected = Vec::new();
        let Some(mut pipe) = pipe else { return Ok(collected) };
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let read = |source| ExecError::Io { tool: self.tool, what: "read the output of", source };
            match pipe.read(&mut chunk).await.map_err(read)? {
                0 => return Ok(collected),
                count => {
                    self.take(count)?;
                    if let Some(watcher) = watcher {
                        watcher.see(&chunk[..count]);
                    }
                    collected.extend_from_slice(&chunk[..count]);
                }
            }
        }
    }

    fn take(&self, count: usize) -> Result<(), ExecError> {
        let used_bytes = self.used_bytes.fetch_add(count, Ordering::Relaxed) + count;
        if used_bytes > self.cap_bytes {
            return Err(ExecError::OutputTooLarge { tool: self.tool, cap_bytes: self.cap_bytes });
        }
        Ok(())
    }
}
