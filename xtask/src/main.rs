//! `cargo xtask`: the project's tasks. Run it without arguments for the list.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a developer's tool: it runs programs and reads the clock itself")]

mod failure;
mod guest;
mod place;
mod program;

use std::process::ExitCode;

use failure::{Failure, Result};

const USAGE: &str = "usage: cargo xtask TASK
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
        ["guest-image"] => {
            println!("{}", guest::image()?.describe());
            Ok(())
        }
        _ => Err(Failure::new(USAGE)),
    }
}
