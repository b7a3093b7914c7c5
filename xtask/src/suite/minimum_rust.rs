//! The oldest Rust that the crates promise to build with (`rust-version`).

use super::{Suite, published};
use crate::failure::Result;
use crate::program::Program;
use crate::tally::Tally;

const MINIMUM: &str = env!("CARGO_PKG_RUST_VERSION");

/// Where the toolchain of this run is the oldest, the whole run is the test; otherwise the oldest one checks the published crates.
pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let name = format!("Rust {MINIMUM}");
    if is_minimum(&Program::new("rustc").arg("--version").read()?) {
        tally.check(&name, true);
        return Ok(());
    }
    let installed = Program::new("rustup").args(["toolchain", "list"]).read().unwrap_or_default();
    let Some(toolchain) = installed.lines().find(|line| is_minimum(line)) else {
        tally.skip(&name, &format!("it is not installed; get it with `rustup toolchain install {MINIMUM}`"));
        return Ok(());
    };
    let packages = published()?.into_iter().flat_map(|name| ["--package".to_owned(), name]);
    let check = Program::new("rustup").args(["run", toolchain, "cargo", "check", "--quiet", "--all-features"]).args(packages);
    // Of its own, so that two compilers do not throw away each other's work.
    let target = suite.target.join("minimum-rust");
    suite.check(
        tally,
        &name,
        suite.prepare(check.directory(crate::place::root())).env("CARGO_TARGET_DIR", target).without("RUSTUP_TOOLCHAIN"),
    )
}

/// True for `rustc 1.95.0 (…)` and `1.95.0-x86_64-unknown-linux-gnu`, if the minimum is 1.95.
fn is_minimum(version: &str) -> bool {
    let number = version.trim_start_matches("rustc ").split([' ', '-']).next().unwrap_or_default();
    number == MINIMUM || number.strip_prefix(MINIMUM).is_some_and(|patch| patch.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_release_is_the_same_minimum() {
        let of = |text: &str| text.replace("MINIMUM", MINIMUM);
        for same in
            ["rustc MINIMUM.1 (59807616e 2026-04-14)", "MINIMUM-x86_64-unknown-linux-gnu", "MINIMUM.0-x86_64-unknown-linux-gnu (default)"]
        {
            assert!(is_minimum(&of(same)), "{same}");
        }
        for other in ["rustc MINIMUM1.0 (59807616e)", "stable-x86_64-unknown-linux-gnu (active)", ""] {
            assert!(!is_minimum(&of(other)), "{other}");
        }
    }
}
