//! `cargo xtask test`: every test of the project, in the order in which failures are cheapest to find.

mod book;
mod c;
mod fuzz;
mod minimum_rust;
mod out_of_tree;
mod packages;
mod proof;
mod python;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::failure::{Context as _, Failure, Result};
use crate::guest::Image;
use crate::needs::{self, Purpose};
use crate::program::{Program, find, say};
use crate::tally::Tally;
use crate::{guest, layers, parity, place};

/// Members that are not published.
const UNPUBLISHED: &[&str] = &["xtask", "gpve-examples"];

/// Runs everything, or the steps whose names hold one of `wanted`, and prints one line of totals last.
pub(crate) fn run(wanted: &[&str]) -> Result {
    needs::install(&[Purpose::Build, Purpose::Guests, Purpose::Tests])?;
    let image = guest::image()?;
    let suite = Suite { target: target()?, image };
    let mut total = Tally::default();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    for (name, step) in STEPS.iter().filter(|(name, _)| chosen(name)) {
        say(format!("── {name}"));
        let started = Instant::now();
        let mut tally = Tally::default();
        if let Err(failure) = step(&suite, &mut tally) {
            say(format!("{name}: {failure}"));
            tally.fail(name);
        }
        say(format!("── {name}: {} ({:.0} s)", tally.summary(), started.elapsed().as_secs_f32()));
        total.add(tally);
    }
    report(&total)
}

/// What the steps share.
struct Suite {
    target: PathBuf,
    image: Image,
}

type Step = fn(&Suite, &mut Tally) -> Result;

const STEPS: &[(&str, Step)] = &[
    ("format", |suite, tally| suite.check(tally, "format", suite.cargo(&["fmt", "--all", "--check", "--", "-l"]))),
    ("layers", |_, tally| {
        layers::check()?;
        tally.check("layers", true);
        Ok(())
    }),
    ("parity", |_, tally| {
        parity::check()?;
        tally.check("parity", true);
        Ok(())
    }),
    ("clippy", |suite, tally| {
        suite.check(tally, "clippy", suite.cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
    }),
    ("unit and integration tests", |suite, tally| suite.cargo_test(tally, place::root(), &["--workspace", "--all-features"])),
    ("minimum Rust", |suite, tally| minimum_rust::run(suite, tally)),
    ("out-of-tree crates", |suite, tally| out_of_tree::run(suite, tally)),
    ("documentation", |suite, tally| {
        let doc = suite.cargo(&["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
        suite.check(tally, "documentation", doc)
    }),
    ("book", |suite, tally| book::run(suite, tally)),
    ("packages", |suite, tally| packages::run(suite, tally)),
    ("dependencies", |suite, tally| suite.dependencies(tally)),
    ("fuzz", |suite, tally| fuzz::run(suite, tally)),
    ("proofs", |suite, tally| proof::run(suite, tally)),
    ("C library", |suite, tally| c::run(suite, tally)),
    ("python", |suite, tally| python::run(suite, tally)),
];

impl Suite {
    fn cargo(&self, arguments: &[&str]) -> Program {
        self.prepare(Program::cargo().args(arguments).directory(place::root()))
    }

    /// What tests and proofs find in their environment.
    fn prepare(&self, program: Program) -> Program {
        let program =
            program.env("CARGO_TARGET_DIR", &self.target).env("GPVE_GUEST", &self.image.directory).env("CARGO_TERM_COLOR", "never");
        // Recorded answers of Proxmox VE lie beside the clone, where there are some; whoever has them elsewhere says so.
        let data = place::root().join("../shared/pve");
        if std::env::var_os("GPVE_PVE_DATA").is_none() && data.is_dir() { program.env("GPVE_PVE_DATA", data) } else { program }
    }

    fn check(&self, tally: &mut Tally, name: &str, program: Program) -> Result {
        let outcome = program.run();
        if let Err(failure) = &outcome {
            say(failure);
        }
        tally.check(name, outcome.is_ok());
        Ok(())
    }

    fn cargo_test(&self, tally: &mut Tally, directory: &Path, arguments: &[&str]) -> Result {
        let test = self.cargo(&["test", "--no-fail-fast"]).args(arguments);
        // Passing tests say why they were skipped; libtest hides that unless asked.
        let test = test.args(["--", "--show-output"]).directory(directory);
        let failed_before = tally.failed;
        let passed = follow(test, "tests", |line| tally.read_test_line(line))?;
        if !passed && tally.failed == failed_before {
            tally.fail("a test program did not run to its end, or did not build");
        }
        Ok(())
    }

    /// The licences, bans and sources of `deny.toml`; not the advisories, which change without us and need the network.
    fn dependencies(&self, tally: &mut Tally) -> Result {
        if find("cargo-deny").is_none() {
            tally.skip("dependencies", "cargo-deny is not installed; get it with `cargo install cargo-deny --locked`");
            return Ok(());
        }
        let deny =
            Program::new("cargo-deny").args(["--log-level", "error", "check", "licenses", "bans", "sources"]).directory(place::root());
        self.check(tally, "dependencies", deny)
    }
}

/// The members that are published.
fn published() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(place::root())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if (name == "gpve" || name.starts_with("gpve-")) && !UNPUBLISHED.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// In a continuous integration run the clone is new each time, so what was built is kept in the cache.
pub(crate) fn target() -> Result<PathBuf> {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    if in_ci && std::env::var_os("CARGO_TARGET_DIR").is_none() {
        return Ok(place::cache()?.join("target"));
    }
    Ok(place::target())
}

/// Runs a program, shows its lines that matter, keeps all of them in a log, hands each to `read`; whether it succeeded.
fn follow(program: Program, log: &str, mut read: impl FnMut(&str)) -> Result<bool> {
    let path = place::cache()?.join(format!("{log}.log"));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).context(path.display())?;
    writeln!(file, "\n$ {}", program.shown())?;
    let shown = program.shown().to_owned();
    let mut child = program.into_command().stdout(Stdio::piped()).spawn().context(format!("cannot start `{shown}`"))?;
    let mut news = News::default();
    let stdout = child.stdout.take().ok_or_else(|| Failure::new("a piped stdout is missing"))?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        read(&line);
        if news.has(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        say(format!("`{shown}` ended with {status}; all it said is in {}", path.display()));
    }
    Ok(status.success())
}

/// Tells what to show of a test program's output: thousands of passing tests, and what they printed, are no news.
#[derive(Debug, Default)]
struct News {
    /// Within libtest's list of tests that passed, with what they printed.
    of_passed: bool,
}

impl News {
    fn has(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.of_passed = true,
            "failures:" => self.of_passed = false,
            _ if line.starts_with("test result: ") => self.of_passed = false,
            _ => {}
        }
        // What could not run, and how far a suite of recorded cases is.
        let told = ["SKIP ", "SUITE "].iter().any(|word| line.trim_start().starts_with(word));
        let quiet = self.of_passed
            || line.trim().is_empty()
            || line.ends_with("... ok")
            || line.starts_with("running ")
            || line.starts_with("test result: ok. 0 passed");
        told || !quiet
    }
}

fn report(total: &Tally) -> Result {
    for skip in &total.skipped {
        println!("SKIP {skip}");
    }
    for failure in &total.failures {
        println!("FAILED {failure}");
    }
    println!("{}", total.summary());
    if total.failed == 0 { Ok(()) } else { Err(Failure::new("not everything passed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_skips_and_suites_are_shown() {
        let printed = [
            "running 3 tests",
            "test a ... ok",
            "test b ... FAILED",
            "successes:",
            "---- a stdout ----",
            "SKIP a: no root",
            "SUITE cases 3/3",
            "successes:",
            "    a",
            "failures:",
            "---- b stdout ----",
            "it is broken",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s",
        ];
        let mut news = News::default();
        let shown: Vec<&str> = printed.into_iter().filter(|line| news.has(line)).collect();
        assert_eq!(
            shown,
            ["test b ... FAILED", "SKIP a: no root", "SUITE cases 3/3", "failures:", "---- b stdout ----", "it is broken", printed[12]]
        );
    }
}
