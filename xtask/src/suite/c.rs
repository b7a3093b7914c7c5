//! The C library: its own tests, and those of C and C++ programs that use it once it is installed.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{Suite, follow};
use crate::failure::{Context as _, Result};
use crate::place;
use crate::program::Program;
use crate::tally::Tally;
use crate::tool::Tool;

/// A workspace of its own, because it has unsafe code, which the others forbid.
const WORKSPACE: &str = "bindings/c";

/// The newest one that the oldest Rust of this project builds.
const CARGO_C: Tool = Tool { package: "cargo-c", version: "0.10.24+cargo-0.98.0", program: "cargo-cinstall", switches: &[], is_long: true };

pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    // What it depends on is built already for the other steps.
    let (directory, target) = (place::root().join(WORKSPACE), &suite.target);
    let format = suite.cargo(&["fmt", "--check", "--", "-l"]).directory(&directory);
    suite.check(tally, "format of the C library", format)?;
    let clippy = suite.cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]).directory(&directory);
    suite.check(tally, "clippy of the C library", clippy)?;
    let test = suite.cargo(&["test", "--no-fail-fast"]).directory(&directory);
    if !follow(test, "tests", |line| tally.read_test_line(line))? {
        tally.fail("tests of the C library");
    }
    suite.cargo(&["build", "--quiet"]).directory(&directory).run()?;
    suite.cargo(&["build", "--quiet", "--package", "gpve-daemon"]).run()?;
    let installed = target.join("c/installed");
    Program::new(directory.join("stage.sh")).arg(target.join("debug")).arg(&installed).run()?;
    programs(suite, tally, &["all".into(), installed.clone().into()])?;
    by_cargo_c(suite, tally, &directory)
}

/// Installs it by the standard tool instead of our own script: the same header, and programs find it by pkg-config alone.
fn by_cargo_c(suite: &Suite, tally: &mut Tally, directory: &Path) -> Result {
    let cargo_c = match CARGO_C.get() {
        Ok(cargo_c) => cargo_c,
        Err(why) => {
            tally.skip("cargo cinstall", &why.to_string());
            return Ok(());
        }
    };
    let prefix = suite.target.join("c/cinstalled");
    if prefix.exists() {
        fs::remove_dir_all(&prefix).context(prefix.display())?;
    }
    let install = suite.prepare(Program::new(cargo_c)).args(["cinstall", "--locked", "--debug", "--libdir", "lib", "--prefix"]);
    install.arg(&prefix).directory(directory).quiet()?;
    programs(suite, tally, &["installed".into(), prefix.into()])
}

fn programs(suite: &Suite, tally: &mut Tally, arguments: &[OsString]) -> Result {
    let run = Program::new("python3").arg("-u").arg(place::root().join(WORKSPACE).join("tests/run.py")).args(arguments);
    let run = suite.prepare(run).env("GPVE_BIN", suite.target.join("debug/gpve"));
    let failed_before = tally.failed;
    if !follow(run, "c", |line| tally.read_proof_line(line))? && tally.failed == failed_before {
        tally.fail("the programs in C did not run to their end");
    }
    Ok(())
}
