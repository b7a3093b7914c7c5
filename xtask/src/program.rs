use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::{Context as _, Failure, Result};

/// Where programs may be that are not on a user's `PATH`.
const EXTRA_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program to run, shown to the person as one line when it fails.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let found = find(program).unwrap_or_else(|| program.into());
        let mut command = Command::new(found);
        command.stdin(Stdio::null());
        Self { command, shown: program.to_string_lossy().into_owned() }
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{} {}", self.shown, argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    pub(crate) fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of the inherited environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// The command line, as a person would type it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs it with the terminal as its output.
    pub(crate) fn run(mut self) -> Result {
        let status = self.command.status().context(format!("cannot start `{}`", self.shown))?;
        self.judge(status, "")
    }

    /// Runs it and gives its stdout; its stderr is shown only when it fails.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self.command.output().context(format!("cannot start `{}`", self.shown))?;
        self.judge(output.status, &String::from_utf8_lossy(&output.stderr))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it without showing what it prints, unless it fails.
    pub(crate) fn quiet(self) -> Result {
        self.read().map(drop)
    }

    /// Hands the prepared command over, for programs that run beside this one.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn judge(&self, status: ExitStatus, stderr: &str) -> Result {
        if status.success() {
            return Ok(());
        }
        let separator = if stderr.is_empty() { "" } else { "\n" };
        Err(Failure::new(format!("`{}` ended with {status}{separator}{}", self.shown, stderr.trim_end())))
    }
}

/// The file that `program` is on this host.
pub(crate) fn find(program: impl AsRef<Path>) -> Option<PathBuf> {
    let program = program.as_ref();
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_path_buf());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(EXTRA_DIRECTORIES.map(PathBuf::from));
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// One line of progress.
pub(crate) fn say(line: impl std::fmt::Display) {
    // The person may have closed the terminal; the task goes on.
    let _ = writeln!(std::io::stderr(), "xtask: {line}");
}
