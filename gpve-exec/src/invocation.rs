use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{ExecError, Hidden, Redactor, Tool};

/// How long a program may run when its invocation does not say: far above what a healthy tool needs, far below what a person waits for.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(60);

/// How much a program may print, stdout and stderr together, when its invocation does not say: ten thousand volumes as JSON are about 6 MB.
pub const OUTPUT_CAP_BYTES: usize = 16 * 1024 * 1024;

/// Linux refuses a longer single argument (`MAX_ARG_STRLEN`); said here it names the argument.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;

/// The first descriptor number that carries a secret: 0, 1 and 2 are taken.
const SECRET_DESCRIPTOR_FIRST: i32 = 3;

/// One run of a program: what, with which arguments, input and limits.
///
/// Literal parts are `&'static str`, so that nothing from outside can become a flag by accident; outside values go through
/// [`arg_value`](Self::arg_value), [`option`](Self::option) or [`operand`](Self::operand). A refused value is reported by
/// [`Runner::run`](crate::Runner::run), before anything is started.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub(crate) tool: Tool,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) stdin: Stdin,
    pub(crate) secret_files: Vec<Hidden>,
    pub(crate) directory: PathBuf,
    pub(crate) deadline: Duration,
    pub(crate) output_cap_bytes: usize,
    pub(crate) watcher: Option<Watcher>,
    pub(crate) stderr_watcher: Option<Watcher>,
    pub(crate) file: Option<Arc<OwnedFd>>,
    pub(crate) limits: Option<Limits>,
    refused: Option<(String, &'static str)>,
    options_ended: bool,
}

/// What a program that reads untrusted input may use at most, such as `qemu-img` on a foreign image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of each of its processes; beyond it an allocation fails.
    pub memory_bytes: u64,
    /// Processor time of each of its processes, in whole seconds, at least one; beyond it the process is killed.
    pub cpu: Duration,
}

/// Sees stdout while the program runs.
#[derive(Clone)]
pub(crate) struct Watcher(Arc<Watch>);

type Watch = dyn Fn(&[u8]) + Send + Sync;

impl Watcher {
    pub(crate) fn see(&self, piece: &[u8]) {
        (self.0)(piece);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stdin {
    Nothing,
    Bytes(Vec<u8>),
    Secret(Hidden),
}

impl Invocation {
    /// A run of `tool` without arguments, with empty input, in `/`.
    pub fn new(tool: Tool) -> Self {
        Self {
            tool,
            args: Vec::new(),
            env: Vec::new(),
            stdin: Stdin::Nothing,
            secret_files: Vec::new(),
            directory: PathBuf::from("/"),
            deadline: DEADLINE_DEFAULT,
            output_cap_bytes: OUTPUT_CAP_BYTES,
            watcher: None,
            stderr_watcher: None,
            file: None,
            limits: None,
            refused: None,
            options_ended: false,
        }
    }

    /// A run of an opened file, such as a script that somebody else wrote; `tool` only names it in errors. The file runs as it was
    /// opened, whatever becomes of its path, which it does not know: its `$0` is `/dev/fd/N`.
    pub fn of_file(tool: Tool, file: impl Into<OwnedFd>) -> Self {
        Self { file: Some(Arc::new(file.into())), ..Self::new(tool) }
    }

    /// The program.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// The arguments so far, without the program's name.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// Adds a literal argument.
    #[must_use]
    pub fn arg(mut self, literal: &'static str) -> Self {
        self.options_ended |= literal == "--";
        self.push(literal.into())
    }

    /// Adds literal arguments.
    #[must_use]
    pub fn args(self, literals: impl IntoIterator<Item = &'static str>) -> Self {
        literals.into_iter().fold(self, Self::arg)
    }

    /// Adds a value that belongs to the literal before it, as in `-o VALUE`. NUL is refused.
    #[must_use]
    pub fn arg_value(self, value: impl Into<OsString>) -> Self {
        self.push(value.into())
    }

    /// Adds `prefix` and `value` as one argument, as in `--size=VALUE`. NUL is refused.
    #[must_use]
    pub fn option(self, prefix: &'static str, value: impl Into<OsString>) -> Self {
        let mut argument = OsString::from(prefix);
        argument.push(value.into());
        self.push(argument)
    }

    /// Adds a positional value. NUL is refused, and so is a leading `-` unless `--` came before.
    #[must_use]
    pub fn operand(mut self, value: impl Into<OsString>) -> Self {
        let value = value.into();
        if !self.options_ended && value.as_bytes().starts_with(b"-") {
            self.refuse(format!("argument {} {value:?}", self.args.len() + 1), "a value here must not start with '-'");
        }
        self.push(value)
    }

    /// Adds a file as a positional value. It must be absolute.
    #[must_use]
    pub fn path(mut self, path: &Path) -> Self {
        if !path.is_absolute() {
            self.refuse(format!("argument {} {path:?}", self.args.len() + 1), "a path must be absolute");
        }
        self.push(path.into())
    }

    /// Hands `secret` to the program in a file in memory and adds `prefix` with that file's path as one argument, as in
    /// `--key-file=/dev/fd/3`.
    #[must_use]
    pub fn secret_file(mut self, prefix: &'static str, secret: Hidden) -> Self {
        let descriptor = self.secret_descriptor(self.secret_files.len());
        self.secret_files.push(secret);
        self.option(prefix, format!("/dev/fd/{descriptor}"))
    }

    /// Feeds these bytes to the program's stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Feeds a secret to the program's stdin.
    #[must_use]
    pub fn stdin_secret(mut self, secret: Hidden) -> Self {
        self.stdin = Stdin::Secret(secret);
        self
    }

    /// Adds a variable to the otherwise empty environment (`PATH`, `LC_ALL` and `HOME` are always set).
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        let value = value.into();
        self.check(&value, || format!("variable {name}"));
        self.env.push((name, value));
        self
    }

    /// Runs in this directory instead of `/`.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Kills the program's tree after this long; the wait for a free slot counts too.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Kills the program's tree when it printed more than this.
    #[must_use]
    pub fn output_cap_bytes(mut self, cap_bytes: usize) -> Self {
        self.output_cap_bytes = cap_bytes;
        self
    }

    /// Limits what the program may use of memory and processor, beside its deadline.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Shows each piece of stdout to `watcher` as it comes, besides collecting it: for a tool that prints its progress. A piece ends
    /// anywhere, even within a character.
    #[must_use]
    pub fn watch_stdout(mut self, watcher: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Watcher(Arc::new(watcher)));
        self
    }

    /// Shows each piece of stderr to `watcher` as it comes, as [`watch_stdout`](Self::watch_stdout) does of stdout. Secrets are not
    /// hidden from it.
    #[must_use]
    pub fn watch_stderr(mut self, watcher: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.stderr_watcher = Some(Watcher(Arc::new(watcher)));
        self
    }

    /// What hides this invocation's secrets.
    pub fn redactor(&self) -> Redactor {
        let stdin = match &self.stdin {
            Stdin::Secret(secret) => Some(secret.clone()),
            Stdin::Nothing | Stdin::Bytes(_) => None,
        };
        Redactor::new(self.secret_files.iter().cloned().chain(stdin))
    }

    /// `Ok` if every value was accepted.
    pub(crate) fn accepted(&self) -> Result<(), ExecError> {
        match &self.refused {
            None => Ok(()),
            Some((what, reason)) => Err(ExecError::BadArgument { tool: self.tool, what: what.clone(), reason }),
        }
    }

    /// The number under which the program finds its `index`th secret file.
    pub(crate) fn secret_descriptor(&self, index: usize) -> i32 {
        SECRET_DESCRIPTOR_FIRST.saturating_add(i32::try_from(index).unwrap_or(i32::MAX))
    }

    /// The number under which a program that is a file finds itself.
    pub(crate) fn file_descriptor(&self) -> i32 {
        self.secret_descriptor(self.secret_files.len())
    }

    fn push(mut self, argument: OsString) -> Self {
        let position = self.args.len() + 1;
        self.check(&argument, || format!("argument {position} {argument:?}"));
        self.args.push(argument);
        self
    }

    fn check(&mut self, value: &OsString, what: impl FnOnce() -> String) {
        if let Some(reason) = fault(value) {
            self.refuse(what(), reason);
        }
    }

    fn refuse(&mut self, what: String, reason: &'static str) {
        self.refused.get_or_insert((what, reason));
    }
}

/// Why `value` cannot be an argument or an environment value, if it cannot.
pub(crate) fn fault(value: &OsString) -> Option<&'static str> {
    if value.as_bytes().contains(&0) {
        Some("it must not hold a NUL byte")
    } else if value.len() > ARGUMENT_BYTES_MAX {
        Some("it must not be longer than 131071 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    fn refusal(invocation: &Invocation) -> String {
        invocation.accepted().unwrap_err().to_string()
    }

    #[test]
    fn a_nul_byte_is_refused_wherever_it_stands() {
        let new = || Invocation::new(Tool::PRINTF);
        assert_eq!(refusal(&new().arg_value("a\0b")), r#"printf: argument 1 "a\0b" is refused: it must not hold a NUL byte"#);
        assert!(new().option("--size=", "1\0").accepted().is_err());
        assert!(new().operand("\0").accepted().is_err());
        assert!(new().env("A", "\0").accepted().is_err());
    }

    #[test]
    fn an_operand_that_looks_like_a_flag_needs_the_end_of_options() {
        assert_eq!(
            refusal(&Invocation::new(Tool::PRINTF).operand("-f")),
            r#"printf: argument 1 "-f" is refused: a value here must not start with '-'"#
        );
        assert!(Invocation::new(Tool::PRINTF).arg("--").operand("-f").accepted().is_ok());
    }

    #[test]
    fn a_path_must_be_absolute_and_an_argument_not_endless() {
        assert!(Invocation::new(Tool::PRINTF).path(Path::new("a")).accepted().is_err());
        assert!(Invocation::new(Tool::PRINTF).path(Path::new("/a")).accepted().is_ok());
        assert!(Invocation::new(Tool::PRINTF).arg_value("x".repeat(ARGUMENT_BYTES_MAX)).accepted().is_ok());
        assert!(Invocation::new(Tool::PRINTF).arg_value("x".repeat(ARGUMENT_BYTES_MAX + 1)).accepted().is_err());
    }

    #[test]
    fn the_first_refusal_is_the_one_reported() {
        assert!(refusal(&Invocation::new(Tool::PRINTF).operand("-a").operand("-b")).contains("-a"));
    }

    #[test]
    fn secrets_are_in_neither_the_arguments_nor_the_debug_form() {
        let invocation = Invocation::new(Tool::PRINTF)
            .secret_file("--key=", Hidden::new("hunter22"))
            .secret_file("", Hidden::new("hunter33"))
            .stdin_secret(Hidden::new("hunter44"));
        assert_eq!(invocation.arguments(), ["--key=/dev/fd/3", "/dev/fd/4"]);
        assert!(!format!("{invocation:?}").contains("hunter"));
    }
}
