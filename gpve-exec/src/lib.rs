//! The only place in gpve that starts a program.
//!
//! # Map
//! - [`Tool`], [`Tools`]: named programs and the fixed directories they are found in.
//! - [`Invocation`]: what to run; [`Output`]: what came of it; [`ExecError`]: why nothing did.
//! - [`Runner`]: the port. [`System`] runs real programs, [`Recorder`] writes down what it saw, [`Transcript`] replays it.
//! - [`Launch`]: starts a program that outlives this process. [`Process`], [`ProcessId`]: hold it, adopt it, wait for its end.
//! - [`Hidden`], [`Redactor`]: bytes that are never printed.
//!
//! # Invariants
//! - No shell, no `PATH` of the caller, no environment of the caller; the locale is always `C`.
//! - A secret never is an argument, and never is in `Debug`, an error, a log or a transcript.
//! - Dropping the future of [`Runner::run`] kills the program and its process group.
//! - A program gets descriptors 0, 1, 2 and the listed ones; nothing else that this process has open.
//!
//! # Example
//! ```
//! use gpve_exec::{Invocation, Runner, System, Tool, Tools};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gpve_exec::ExecError> {
//! let runner = System::new(Tools::system());
//! let output = runner.run(Invocation::new(Tool::PRINTF).arg("%s").arg_value("a b;c")).await?.require_success()?;
//! assert_eq!(output.stdout, b"a b;c");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod invocation;
mod launch;
mod output;
mod process;
mod redact;
mod runner;
mod tool;
mod transcript;
mod tree;

pub use error::ExecError;
pub use invocation::{DEADLINE_DEFAULT, Invocation, Limits, OUTPUT_CAP_BYTES};
pub use launch::{Identity, Launch};
pub use output::{Output, Status};
pub use process::{Exit, Process, ProcessId, Signal};
pub use redact::{Hidden, Redactor};
pub use runner::{RUNNING_MAX, Runner, System};
pub use tool::{DIRECTORIES, Tool, Tools};
pub use transcript::{Exchange, Recorder, Transcript};

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
