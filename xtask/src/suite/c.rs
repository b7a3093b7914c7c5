//! The C library: its own tests, and those of C and C++ programs that use it once it is installed.

use super::{Suite, follow};
use crate::failure::Result;
use crate::place;
use crate::program::Program;
use crate::tally::Tally;

/// A workspace of its own, because it has unsafe code, which the others forbid.
const WORKSPACE: &str = "bindings/c";

pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let (directory, target) = (place::root().join(WORKSPACE), suite.target.join("c"));
    let format = suite.cargo(&["fmt", "--check", "--", "-l"]).directory(&directory);
    suite.check(tally, "format of the C library", format)?;
    let clippy = suite.cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]).directory(&directory);
    suite.check(tally, "clippy of the C library", clippy.env("CARGO_TARGET_DIR", &target))?;
    let test = suite.cargo(&["test", "--no-fail-fast"]).directory(&directory).env("CARGO_TARGET_DIR", &target);
    if !follow(test, "tests", |line| tally.read_test_line(line))? {
        tally.fail("tests of the C library");
    }
    suite.cargo(&["build", "--quiet"]).directory(&directory).env("CARGO_TARGET_DIR", &target).run()?;
    suite.cargo(&["build", "--quiet", "--package", "gpve-daemon"]).run()?;
    let installed = target.join("installed");
    Program::new(directory.join("stage.sh")).arg(target.join("debug")).arg(&installed).run()?;
    let programs = Program::new("python3").arg("-u").arg(directory.join("tests/run.py")).arg(&installed);
    let programs = suite.prepare(programs).env("GPVE_BIN", suite.target.join("debug/gpve"));
    let failed_before = tally.failed;
    if !follow(programs, "c", |line| tally.read_proof_line(line))? && tally.failed == failed_before {
        tally.fail("the programs in C did not run to their end");
    }
    Ok(())
}
