//! Hook scripts as programs of this host.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::ports::{HookRun, Hooks, OpCx, VolumeAccess};
use gpve_exec::{ExecError, Invocation, Runner, Tool};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

const OP: &str = "guest.hook";

/// How long a script may run: a start waits for it.
const DEADLINE: Duration = Duration::from_secs(300);

/// How much a script may print: more is no log.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Its name in errors; nothing brings it.
const SCRIPT: Tool = Tool::new("hookscript", "");

/// Whose bits in a file's mode let somebody else than its owner write to it.
const OTHERS_WRITE: u32 = 0o022;

/// Runs hook scripts as the user of this process, with an almost empty environment.
#[derive(Debug, Clone)]
pub(crate) struct HostHooks {
    runner: Arc<dyn Runner>,
}

impl HostHooks {
    /// Scripts that `runner` runs.
    pub(crate) fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }
}

#[async_trait]
impl Hooks for HostHooks {
    async fn run(&self, cx: &OpCx, hook: &HookRun) -> Result<()> {
        let refuse = |why: String| Error::precondition(OP, format!("hookscript '{}': {why}", hook.script));
        let file = open(hook).map_err(refuse)?;
        let (out, err) = (Lines::to(cx), Lines::to(cx));
        let (see_out, see_err) = (Arc::clone(&out), Arc::clone(&err));
        let invocation = Invocation::of_file(SCRIPT, file).operand(hook.vmid.to_string()).arg(hook.phase.as_str());
        let invocation = invocation.deadline(DEADLINE).output_cap_bytes(OUTPUT_BYTES_MAX);
        let invocation = invocation.watch_stdout(move |piece| see_out.add(piece)).watch_stderr(move |piece| see_err.add(piece));
        let ran = async { Ok(self.runner.run(invocation).await) };
        let ran = cx.run(OP, ran).await;
        // What it printed last it may have printed on either.
        let last = [out.end(), err.end()].into_iter().flatten().next_back().unwrap_or_else(|| "it printed nothing".to_owned());
        match ran? {
            Ok(output) if output.status.is_success() => Ok(()),
            Ok(output) => {
                let text = format!("hookscript '{}' ended with {} in {}: {last}", hook.script, output.status, hook.phase.as_str());
                Err(Error::new(ErrorKind::FailedPrecondition, OP, text))
            }
            Err(error @ ExecError::Deadline { .. }) => Err(Error::new(ErrorKind::Timeout, OP, error.to_string()).because(&error)),
            Err(error) => Err(refuse(error.to_string()).because(&error)),
        }
    }
}

/// Opens the script beneath its storage's directory, without following a link there; says why it must not be run.
fn open(hook: &HookRun) -> Result<File, String> {
    let name = hook.script.name().as_str();
    let VolumeAccess::File { path, .. } = &hook.access else { return Err("it is no file of this host".to_owned()) };
    let storage = path.ends_with(name).then(|| path.ancestors().nth(Path::new(name).components().count())).flatten();
    let storage = storage.filter(|_| name.starts_with("snippets/")).ok_or("it is no snippet")?;
    let said = |error: rustix::io::Errno| format!("{}: {}", path.display(), std::io::Error::from(error));
    let directory = openat(CWD, storage, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(said)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&directory, name, flags, Mode::empty(), resolve).map_err(said)?);
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let own = rustix::process::geteuid().as_raw();
    if !metadata.is_file() || metadata.mode() & 0o100 == 0 {
        return Err(format!("it is not executable: chmod u+x {}", path.display()));
    }
    if ![0, own].contains(&metadata.uid()) || metadata.mode() & OTHERS_WRITE != 0 {
        return Err(format!("others than root may change it: chown root {0} && chmod go-w {0}", path.display()));
    }
    Ok(file)
}

/// Makes lines of pieces and gives each to the task's log.
struct Lines {
    cx: OpCx,
    state: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    open: Vec<u8>,
    last: Option<String>,
}

impl Lines {
    fn to(cx: &OpCx) -> Arc<Self> {
        Arc::new(Self { cx: cx.clone(), state: Mutex::default() })
    }

    fn add(&self, piece: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            state.open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.tell(&mut state);
            }
        }
    }

    /// Its last line, of which the end may be missing.
    fn end(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell(&mut state);
        state.last.clone()
    }

    fn tell(&self, state: &mut Collected) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut state.open)).trim_end().to_owned();
        if !line.is_empty() {
            self.cx.log(&line);
            state.last = Some(line);
        }
    }
}

#[cfg(test)]
mod tests;
