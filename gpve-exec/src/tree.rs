#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this file is the one place that starts programs")]

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::invocation::{Invocation, Stdin};
use crate::{ExecError, Hidden, Limits, Tool, Tools};

/// A running program with everything it started: dropping this kills its process group.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) child: Child,
}

impl Tree {
    pub(crate) fn start(invocation: &Invocation, tools: &Tools) -> Result<Self, ExecError> {
        let start = |source| ExecError::Start { tool: invocation.tool, source };
        let mut mappings = secret_mappings(invocation).map_err(start)?;
        let program = match &invocation.file {
            None => tools.find(invocation.tool)?,
            Some(file) => {
                let child_fd = invocation.file_descriptor();
                mappings.push(FdMapping { parent_fd: file.try_clone().map_err(start)?, child_fd });
                PathBuf::from(format!("/dev/fd/{child_fd}"))
            }
        };
        let stdin = if invocation.stdin == Stdin::Nothing { Stdio::null() } else { Stdio::piped() };
        let mut command = match invocation.limits {
            None => command(&program, tools),
            Some(limits) => limited(limits, &program, tools)?,
        };
        command
            .args(&invocation.args)
            .envs(invocation.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&invocation.directory)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        inherit(&mut command, mappings).map_err(start)?;
        let child = Command::from(command).process_group(0).kill_on_drop(true).spawn().map_err(start)?;
        Ok(Self { child })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The id is there only while the program is not reaped, so the group cannot be someone else's.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::debug!(%error, "cannot kill a process group");
        }
    }
}

/// A command with nothing of this process's environment.
pub(crate) fn command(program: &Path, tools: &Tools) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env_clear().env("PATH", tools.path_variable()).env("LC_ALL", "C").env("HOME", "/");
    command
}

/// Starts the program from a thread that has given up gaining privileges by exec, for the kernel keeps that per thread and the program
/// inherits it; gives the process id.
pub(crate) fn spawn_without_new_privileges(mut command: std::process::Command) -> io::Result<u32> {
    let spawn = move || {
        rustix::thread::set_no_new_privs(true)?;
        command.spawn().map(|child| child.id())
    };
    let thread = std::thread::Builder::new().name("gpve-launch".to_owned()).spawn(spawn)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts the program panicked")))
}

/// A command that limits itself and then becomes `program`.
fn limited(limits: Limits, program: &Path, tools: &Tools) -> Result<std::process::Command, ExecError> {
    let mut command = command(&tools.find(Tool::PRLIMIT)?, tools);
    let seconds = limits.cpu.as_secs().max(1);
    command.arg(format!("--as={}", limits.memory_bytes)).arg(format!("--cpu={seconds}")).arg("--").arg(program);
    Ok(command)
}

/// Gives the program exactly these descriptors beside 0, 1 and 2.
pub(crate) fn inherit(command: &mut std::process::Command, descriptors: Vec<FdMapping>) -> io::Result<()> {
    // Std, tokio and rustix open everything close-on-exec; this catches what C code or our own parent left open.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    command.fd_mappings(descriptors).map(drop).map_err(|collision| io::Error::new(io::ErrorKind::InvalidInput, collision))
}

fn secret_mappings(invocation: &Invocation) -> io::Result<Vec<FdMapping>> {
    let mapping = |(index, secret)| Ok(FdMapping { parent_fd: memory_file(secret)?, child_fd: invocation.secret_descriptor(index) });
    invocation.secret_files.iter().enumerate().map(mapping).collect()
}

fn memory_file(secret: &Hidden) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("gpve-secret", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(secret.reveal())?;
    file.rewind()?;
    Ok(file.into())
}
