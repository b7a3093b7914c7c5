use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::{Status, Tool};

/// Why a program was not run to a usable end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The program is not on this host.
    #[error("{tool} is not installed (looked in {}); install it with: apt install {}", places(searched), tool.package())]
    ToolMissing {
        /// The program.
        tool: Tool,
        /// The files that were tried.
        searched: Vec<PathBuf>,
    },
    /// An argument, environment value or descriptor was refused before anything was started.
    #[error("{tool}: {what} is refused: {reason}")]
    BadArgument {
        /// The program.
        tool: Tool,
        /// Which argument: its position and value.
        what: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// The program could not be started.
    #[error("cannot start {tool}")]
    Start {
        /// The program.
        tool: Tool,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Talking to the running program failed.
    #[error("cannot {what} {tool}")]
    Io {
        /// The program.
        tool: Tool,
        /// What was tried, such as `read the output of`.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The program did not end in time; it and its process group were killed.
    #[error("{tool} did not end within {after:?} and was killed")]
    Deadline {
        /// The program.
        tool: Tool,
        /// The deadline.
        after: Duration,
    },
    /// The program printed more than allowed; it and its process group were killed.
    #[error("{tool} printed more than {cap_bytes} bytes and was killed")]
    OutputTooLarge {
        /// The program.
        tool: Tool,
        /// The cap on stdout and stderr together.
        cap_bytes: usize,
    },
    /// The program ended with an error of its own.
    #[error("{tool} ended with {status}: {message}")]
    Failed {
        /// The program.
        tool: Tool,
        /// How it ended.
        status: Status,
        /// The end of what it printed on stderr, secrets removed.
        message: String,
    },
    /// The program's output is not what its parser expects.
    #[error("cannot understand the output of {tool}")]
    Output {
        /// The program.
        tool: Tool,
        /// Where it went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A transcript holds no answer for this invocation.
    #[error("the transcript has no answer left for: {asked}\nnext of the same tool: {nearest}")]
    NotRecorded {
        /// The invocation that was asked for.
        asked: String,
        /// The next recorded invocation of the same tool, or `none`.
        nearest: String,
    },
    /// A transcript could not be read or written.
    #[error("transcript {}", path.display())]
    Transcript {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
}

fn places(searched: &[PathBuf]) -> String {
    let is_list = searched.len() > 1;
    let shown = |path: &PathBuf| match path.parent() {
        Some(directory) if is_list => directory.display().to_string(),
        _ => path.display().to_string(),
    };
    searched.iter().map(shown).collect::<Vec<_>>().join(", ")
}
