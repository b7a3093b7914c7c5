//! Crates as third parties write them, built against `gpve-core` as it would be published: the unpacked `.crate` file, not the sources.

use std::path::PathBuf;

use super::Suite;
use crate::failure::{Context as _, Result};
use crate::place;
use crate::program::Program;
use crate::tally::Tally;

/// A workspace of its own, because a third party's is one.
const WORKSPACE: &str = "examples/out-of-tree";

pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let directory = place::root().join(WORKSPACE);
    let format = suite.cargo(&["fmt", "--all", "--check", "--", "-l"]).directory(&directory);
    suite.check(tally, "format of the out-of-tree crates", format)?;
    // The workspace's own patch names the sources; one from the command line comes before it.
    let published = format!("patch.crates-io.gpve-core.path={:?}", packaged_core(suite)?);
    let clippy = suite.cargo(&["clippy", "--config", &published, "--all-targets", "--", "-D", "warnings"]).directory(&directory);
    suite.check(tally, "clippy of the out-of-tree crates", clippy)?;
    suite.cargo_test(tally, &directory, &["--config", &published])
}

/// Packages `gpve-core` and unpacks it; the directory.
fn packaged_core(suite: &Suite) -> Result<PathBuf> {
    suite.cargo(&["package", "--quiet", "--package", "gpve-core", "--allow-dirty", "--no-verify"]).run()?;
    let name = format!("gpve-core-{}", env!("CARGO_PKG_VERSION"));
    let crate_file = suite.target.join(format!("package/{name}.crate"));
    let unpacked = suite.target.join("out-of-tree");
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked).context(unpacked.display())?;
    }
    std::fs::create_dir_all(&unpacked).context(unpacked.display())?;
    // -m: files in packages all have one old date, by which cargo would take changed ones for built already.
    Program::new("tar").args(["-x", "-z", "-m", "-f"]).arg(&crate_file).arg("-C").arg(&unpacked).run()?;
    Ok(unpacked.join(name))
}
