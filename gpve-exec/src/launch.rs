use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use command_fds::FdMapping;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::invocation::fault;
use crate::{ExecError, Process, Tool, Tools, tree};

/// Whom a launched program runs as. Only root can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, such as `kvm`'s; all others are dropped.
    pub groups: Vec<u32>,
}

/// A program that outlives this process, such as QEMU: in its own process group, which a terminal's Ctrl-C and hang-up do not reach, with
/// `/` as its directory unless told otherwise, without new privileges and core dumps, its output in a log.
///
/// Its umask is this process's. One with supplementary groups starts through `setpriv`, which replaces itself; so its process id is known
/// at once.
#[derive(Debug)]
pub struct Launch {
    tool: Tool,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    descriptors: Vec<FdMapping>,
    identity: Option<Identity>,
    log: Option<File>,
    directory: PathBuf,
}

impl Launch {
    /// A launch of `tool` without arguments, its output thrown away.
    pub fn new(tool: Tool) -> Self {
        Self { tool, args: Vec::new(), env: Vec::new(), descriptors: Vec::new(), identity: None, log: None, directory: PathBuf::from("/") }
    }

    /// Adds arguments; the caller's types vouch for their content. NUL is refused at [`spawn`](Self::spawn).
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the otherwise empty environment (`PATH`, `LC_ALL` and `HOME` are always set).
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Gives the program this descriptor under this number, 3 or more. It gets no other that is not named so.
    #[must_use]
    pub fn descriptor(mut self, number: i32, descriptor: impl Into<OwnedFd>) -> Self {
        self.descriptors.push(FdMapping { parent_fd: descriptor.into(), child_fd: number });
        self
    }

    /// Runs it as someone else.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sends its stdout and stderr to this file; open it for appending.
    #[must_use]
    pub fn log(mut self, file: File) -> Self {
        self.log = Some(file);
        self
    }

    /// Runs in this directory instead of `/`.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Starts it. Call within a tokio runtime, which reaps it if it ends while this process lives. Blocks for a millisecond or two; not
    /// a future, so there is no point at which a cancelled caller could lose a started program.
    ///
    /// An exit right after the start (a missing library, refused privileges) shows as [`Process::exited`] and in the log.
    ///
    /// # Errors
    /// [`ExecError::ToolMissing`], [`ExecError::BadArgument`], [`ExecError::Start`].
    pub fn spawn(self, tools: &Tools) -> Result<Process, ExecError> {
        self.accepted()?;
        let tool = self.tool;
        let start = |source| ExecError::Start { tool, source };
        let mut command = self.command(tools)?;
        tree::inherit(&mut command, self.descriptors).map_err(start)?;
        let child = tree::spawn_without_new_privileges(command).map_err(start)?;
        let process = Process::of_child(child).map_err(start)?;
        // The program has not read anything worth hiding yet. An error means that it has ended already.
        let _ = prlimit(Pid::from_raw(process.id().pid.cast_signed()), Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        tracing::debug!(%tool, process = %process.id(), "launched");
        Ok(process)
    }

    fn accepted(&self) -> Result<(), ExecError> {
        let refuse = |what, reason| Err(ExecError::BadArgument { tool: self.tool, what, reason });
        let args = self.args.iter().enumerate().map(|(index, value)| (format!("argument {} {value:?}", index + 1), value));
        let env = self.env.iter().map(|(name, value)| (format!("variable {name}"), value));
        if let Some((what, reason)) = args.chain(env).find_map(|(what, value)| Some((what, fault(value)?))) {
            return refuse(what, reason);
        }
        let mut numbers: Vec<_> = self.descriptors.iter().map(|mapping| mapping.child_fd).collect();
        numbers.sort_unstable();
        if numbers.first().is_some_and(|number| *number < 3) {
            return refuse(format!("descriptor {}", numbers[0]), "0, 1 and 2 are stdin, stdout and stderr");
        }
        if let Some(twice) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("descriptor {}", twice[0]), "its number is given twice");
        }
        if self.identity.is_some() && !rustix::process::geteuid().is_root() {
            return refuse(format!("{:?}", self.identity), "only root can run a program as someone else");
        }
        Ok(())
    }

    fn command(&self, tools: &Tools) -> Result<std::process::Command, ExecError> {
        let program = tools.find(self.tool)?;
        let start = |source| ExecError::Start { tool: self.tool, source };
        let output = || match &self.log {
            Some(file) => file.try_clone().map(Stdio::from),
            None => Ok(Stdio::null()),
        };
        let mut command = match &self.identity {
            // Std cannot set groups.
            Some(identity) if !identity.groups.is_empty() => {
                let mut command = tree::command(&tools.find(Tool::SETPRIV)?, tools);
                command.args(identity.options()).arg("--").arg(program);
                command
            }
            Some(identity) => {
                let mut command = tree::command(&program, tools);
                command.uid(identity.uid).gid(identity.gid);
                command
            }
            None => tree::command(&program, tools),
        };
        command.args(&self.args).process_group(0);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(output().map_err(start)?).stderr(output().map_err(start)?);
        Ok(command)
    }
}

impl Identity {
    fn options(&self) -> [String; 3] {
        let groups = self.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        [format!("--reuid={}", self.uid), format!("--regid={}", self.gid), format!("--groups={groups}")]
    }
}
