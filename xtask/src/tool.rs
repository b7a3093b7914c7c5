//! Programs that the tests use and crates.io has, built once into the cache.

use std::fs;
use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::place;
use crate::program::{Program, say};

/// Which tools may take their time to be built: all, where this variable is `1`. A tool that the cache has is used by every run.
const LONG: &str = "GPVE_TOOLS";

/// A program of a package, at one version.
pub(crate) struct Tool {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) program: &'static str,
    /// Further switches of `cargo install`.
    pub(crate) switches: &'static [&'static str],
    /// Whether it is too costly for a run that nobody asked to be long.
    pub(crate) is_long: bool,
}

impl Tool {
    /// The program, built if it has to be; the failure is why there is none.
    pub(crate) fn get(&self) -> Result<PathBuf> {
        let directory = place::cache()?.join(format!("tools/{}-{}", self.package, self.version));
        let program = directory.join("bin").join(self.program);
        if program.is_file() {
            return Ok(program);
        }
        if self.is_long && std::env::var(LONG).as_deref() != Ok("1") {
            let wanted = format!("{} {} is not in the cache", self.package, self.version);
            return Err(Failure::new(format!("{wanted}, and takes minutes to build: {LONG}=1 does it, once")));
        }
        say(format!("building {} {}", self.package, self.version));
        let building = directory.join("building");
        let install = Program::cargo().args(["install", "--quiet", "--locked", "--debug", "--version", self.version]).args(self.switches);
        let install = install.arg("--root").arg(&directory).arg("--target-dir").arg(&building).arg(self.package);
        let outcome = install.env("CARGO_PROFILE_DEV_DEBUG", "0").quiet();
        // What is left of it is no program, and large.
        if building.exists() {
            fs::remove_dir_all(&building)?;
        }
        outcome.map(|()| program)
    }
}
