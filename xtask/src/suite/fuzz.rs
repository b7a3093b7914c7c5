use std::fs;
use std::path::{Path, PathBuf};

use super::Suite;
use crate::failure::{Context as _, Result};
use crate::place;
use crate::program::{Program, find, say};
use crate::tally::Tally;

/// What each target tries in the common run: ten seconds of always the same inputs, grown from the seeds of this tree, so that a change
/// is judged by itself and not by luck. `GPVE_FUZZ_SECONDS=60` searches on instead, from where the last search ended.
const COMMON: [&str; 2] = ["-seed=1", "-max_total_time=10"];

/// What cargo-fuzz passes: the address sanitizer, and the coverage that libFuzzer steers by.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address \
    -Cdebug-assertions";

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Runs every fuzz target.
pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let manifest = place::root().join("fuzz/Cargo.toml");
    if !manifest.is_file() {
        tally.skip("fuzz", "fuzz/Cargo.toml is not in this tree");
        return Ok(());
    }
    let has_nightly = find("rustup").is_some() && Program::new("rustup").args(["run", "nightly", "rustc", "--version"]).quiet().is_ok();
    if !has_nightly {
        tally.skip("fuzz", "no nightly toolchain; get it with `rustup toolchain install nightly`");
        return Ok(());
    }
    let target = suite.target.join("fuzz");
    let build =
        Program::new("rustup").args(["run", "nightly", "cargo", "build", "--quiet", "--release", "--target", TRIPLE, "--manifest-path"]);
    let build = build.arg(&manifest).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", RUSTFLAGS);
    // What xtask's own cargo set would override the nightly one.
    build.without("RUSTC").without("RUSTDOC").without("RUSTUP_TOOLCHAIN").run()?;
    let seconds = std::env::var("GPVE_FUZZ_SECONDS").ok();
    for name in targets(&fs::read_to_string(&manifest)?) {
        let (corpus, limits) = match &seconds {
            Some(seconds) => (place::cache()?.join("corpus").join(&name), vec![format!("-max_total_time={seconds}")]),
            None => (fresh(&target.join("corpus").join(&name))?, COMMON.map(str::to_owned).to_vec()),
        };
        fs::create_dir_all(&corpus).context(corpus.display())?;
        say(format!("fuzzing {name} ({})", limits.join(" ")));
        let seeds = place::root().join("fuzz/seeds").join(&name);
        let fuzz = Program::new(target.join(TRIPLE).join("release").join(&name)).args(&limits);
        let fuzz = fuzz.args(["-print_final_stats=0", "-verbosity=0", "-timeout=5", "-rss_limit_mb=2048"]).arg(&corpus);
        let fuzz = if seeds.is_dir() { fuzz.arg(seeds) } else { fuzz };
        // It tells its progress on stderr; of interest only when it found something.
        let outcome = fuzz.directory(&corpus).quiet();
        if let Err(failure) = &outcome {
            say(failure);
        }
        tally.check(&format!("fuzz {name}"), outcome.is_ok());
    }
    Ok(())
}

/// A folder in which no earlier run left an input.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).context(folder.display())?;
    }
    Ok(folder.to_path_buf())
}

/// The names of the `[[bin]]` tables of the manifest.
fn targets(manifest: &str) -> Vec<String> {
    let tables = manifest.split("[[bin]]").skip(1);
    let name = |table: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix("name")).and_then(|line| line.split('"').nth(1));
        line.map(str::to_owned)
    };
    tables.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_targets_are_the_manifests_binaries() {
        let manifest =
            "[package]\nname = \"gpve-fuzz\"\n\n[[bin]]\nname = \"qmp_codec\"\npath = \"a.rs\"\n[[bin]]\npath = \"b.rs\"\nname=\"size\"\n";
        assert_eq!(super::targets(manifest), ["qmp_codec", "size"]);
    }
}
