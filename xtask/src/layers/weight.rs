//! How much comes along with `gpve-core`: whoever writes a plugin compiles all of it.

use std::collections::BTreeSet;

use crate::failure::{Failure, Result};
use crate::place;
use crate::program::Program;

/// Crates below `gpve-core`, its own dependencies' dependencies included. A larger number needs a reason in the commit that raises it.
const CRATES_MAX: usize = 46;
/// What it may use of tokio: no sockets, no files, no processes, no signals, and the choice of a runtime is its user's.
const TOKIO: &[&str] = &["macros", "rt", "sync", "time"];

/// The number of crates below `gpve-core`; a failure if there are more than stated, or if it switches more of tokio on.
pub(crate) fn check() -> Result<usize> {
    let tree = |format| {
        let arguments = ["tree", "--package", "gpve-core", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--format", format];
        Program::cargo().args(arguments).directory(place::root()).read()
    };
    let crates = below(&tree("{p}")?).len();
    if crates > CRATES_MAX {
        return Err(Failure::new(format!("{crates} crates are below gpve-core, {CRATES_MAX} may be (xtask/src/layers/weight.rs)")));
    }
    let features = tokio_features(&tree("{p}\t{f}")?);
    match features.iter().find(|feature| !TOKIO.contains(&feature.as_str())) {
        Some(feature) => Err(Failure::new(format!("gpve-core switches tokio's {feature} on; it may use {TOKIO:?}"))),
        None => Ok(crates),
    }
}

/// The crates that `cargo tree` names, once each; the first is the one that was asked about.
fn below(tree: &str) -> BTreeSet<&str> {
    // A line is `name version`, and for some more in parentheses.
    tree.lines().skip(1).map(|line| line.split(" (").next().unwrap_or(line)).filter(|line| !line.is_empty()).collect()
}

/// The features of tokio that are on; `tokio-macros` is how tokio spells its dependency.
fn tokio_features(tree: &str) -> BTreeSet<String> {
    let features = tree.lines().filter(|line| line.starts_with("tokio v")).filter_map(|line| line.split_once('\t'));
    features.flat_map(|(_, features)| features.split(',')).filter(|f| !matches!(*f, "" | "tokio-macros")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "gpve-core v0.1.0 (/src/gpve-core)\t\ntokio v1.54.1\tmacros,rt,tokio-macros\ntokio-macros v2.7.2 (proc-macro)\t\ntokio v1.54.1\tmacros,rt,net";

    #[test]
    fn crates_are_counted_once_and_without_the_first() {
        let tree = TREE.replace('\t', " (");
        assert_eq!(below(&tree).into_iter().collect::<Vec<_>>(), ["tokio v1.54.1", "tokio-macros v2.7.2"]);
    }

    #[test]
    fn every_feature_of_tokio_is_seen() {
        assert_eq!(tokio_features(TREE).into_iter().collect::<Vec<_>>(), ["macros", "net", "rt"]);
    }

    #[test]
    fn the_stated_count_is_todays() {
        assert_eq!(check().unwrap(), CRATES_MAX, "fewer than stated: lower the number");
    }
}
