//! The Python package, tested as it is installed: the built wheel, in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Suite, follow};
use crate::failure::{Context as _, Failure, Result};
use crate::place;
use crate::program::{Program, find, say};
use crate::tally::Tally;

/// The package: a workspace of its own, because its macros need unsafe code.
const PACKAGE: &str = "bindings/python";

/// Builds the wheel, installs it, and runs its tests: against a node in the process, a server, and QEMU.
pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let package = place::root().join(PACKAGE);
    let environment = Environment::of("python-bindings", &package.join("requirements-dev.txt"))?;
    if let Err(why) = environment.complete {
        tally.skip("python", &format!("its environment could not be made: {why}"));
        return Ok(());
    }
    let python = environment.python;
    let cargo = |arguments: &[&str]| suite.cargo(arguments).directory(&package).env("PYO3_PYTHON", &python);
    suite.check(tally, "format of the Python package", cargo(&["fmt", "--check", "--", "-l"]))?;
    suite.check(tally, "clippy of the Python package", cargo(&["clippy", "--quiet", "--", "-D", "warnings"]))?;
    install(suite, &python, &package)?;
    suite.cargo(&["build", "--quiet", "--package", "gpve-daemon"]).run()?;
    let pytest = suite.prepare(Program::new(&python).args(["-m", "pytest", "-p", "no:cacheprovider"])).directory(&package);
    let failed_before = tally.failed;
    let passed = follow(pytest.env("GPVE_BIN", suite.target.join("debug/gpve")), "python", |line| tally.read_proof_line(line))?;
    if !passed && tally.failed == failed_before {
        tally.fail("the tests of the Python package did not run to their end");
    }
    Ok(())
}

/// Builds the wheel and puts it in place of the one of before.
fn install(suite: &Suite, python: &Path, package: &Path) -> Result {
    let wheels = suite.target.join("wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels).context(wheels.display())?;
    }
    let build = Program::new(python).args(["-m", "maturin", "build", "--quiet", "--interpreter"]).arg(python).arg("--out").arg(&wheels);
    suite.prepare(build).directory(package).quiet()?;
    let wheel = fs::read_dir(&wheels).context(wheels.display())?.next().ok_or_else(|| Failure::new("maturin made no wheel"))??.path();
    let size = fs::metadata(&wheel)?.len();
    say(format!("{} of {:.1} MiB, unoptimized", wheel.display(), size as f64 / f64::from(1 << 20)));
    let install = Program::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-index", "--no-deps", "--force-reinstall"]).arg(wheel).quiet()
}

/// A Python of our own with some packages.
pub(super) struct Environment {
    pub(super) python: PathBuf,
    /// Whether it has the packages, or why not.
    pub(super) complete: Result,
}

impl Environment {
    /// The one called `name`, made in the cache once per content of the file `requirements`.
    pub(super) fn of(name: &str, requirements: &Path) -> Result<Self> {
        let wanted = fs::read_to_string(requirements).unwrap_or_default();
        let directory = place::cache()?.join(name);
        let (python, stamp) = (directory.join("bin/python"), directory.join("requirements.txt"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { python, complete: Ok(()) });
        }
        say(format!("making the Python environment {}", directory.display()));
        let complete = make(&directory, &python, &wanted);
        if complete.is_ok() {
            fs::write(&stamp, &wanted).context(stamp.display())?;
        }
        // Otherwise not remembered as done: the next run tries again.
        Ok(Self { python, complete })
    }
}

fn make(directory: &Path, python: &Path, wanted: &str) -> Result {
    let system = find("/usr/bin/python3").unwrap_or_else(|| "python3".into());
    Program::new(system).args(["-m", "venv", "--clear"]).arg(directory).quiet()?;
    let packages: Vec<&str> = wanted.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if packages.is_empty() {
        return Ok(());
    }
    Program::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages).quiet()
}
