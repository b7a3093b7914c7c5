//! `cargo xtask`: the project's tasks. Run it without arguments for the list.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a developer's tool: it runs programs and reads the clock itself")]

mod bench;
mod demo;
mod failure;
mod guest;
mod layers;
mod needs;
mod package;
mod parity;
mod place;
mod program;
mod suite;
mod tally;
mod tool;

use std::process::ExitCode;

use failure::{Failure, Result};
use program::Program;

const USAGE: &str = "usage: cargo xtask TASK
  demo [--once]   install what is missing, build, start a server, boot a guest on it; --once ends when the guest is up
  test [STEP]     install what is missing, run every test (or the steps whose names hold STEP)
  ci              what continuous integration runs: the same, built outside of the clone
  layers          check which crate uses which, and who touches processes, clocks and wires
  parity          write docs/parity.md and the READMEs' tables: which test proves which operation through which door
  bench [NAME]    measure, and write docs/benchmarks.md
  package [--tarball | --sbom]
                  make the Debian package, a tarball of the same files, or the bill of materials; GPVE_BIN names a program that is built
  guest-image     build the demo and test guest into the cache; print where its files are, as JSON";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            program::say(failure);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result {
    match arguments {
        ["demo"] => demo::run(false),
        ["demo", "--once"] => demo::run(true),
        ["test", wanted @ ..] => suite::run(wanted),
        ["ci"] => Program::new(place::root().join(".ci/run")).run(),
        ["bench", wanted @ ..] => bench::run(wanted),
        ["package"] => package::run(package::Form::Debian),
        ["package", "--tarball"] => package::run(package::Form::Tarball),
        ["package", "--sbom"] => package::run(package::Form::Materials),
        ["layers"] => layers::check(),
        ["parity"] => parity::write(),
        ["guest-image"] => {
            needs::install(&[needs::Purpose::Guests])?;
            println!("{}", guest::image()?.describe());
            Ok(())
        }
        _ => Err(Failure::new(USAGE)),
    }
}
