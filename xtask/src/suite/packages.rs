//! What would be published: every crate packaged, and built from its package alone, with its default features, against the packages of
//! the others. A crate that only builds because another switched a feature on fails here.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Suite, UNPUBLISHED, published};
use crate::failure::{Context as _, Failure, Result};
use crate::tally::Tally;

pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    for registry in registries()? {
        ours_in(&registry)?.iter().try_for_each(|path| remove(path))?;
    }
    let built = suite.target.join("debug/.fingerprint");
    let list = suite.target.join("packages.txt");
    let of_packages = fs::read_to_string(&list);
    for path in ours_in(&built)? {
        // Without the list nobody knows which of them were built from packages.
        if of_packages.as_ref().map_or(true, |list| list.lines().any(|line| path.ends_with(line))) {
            remove(&path)?;
        }
    }
    let before = ours_in(&built)?;
    let exclude = UNPUBLISHED.iter().flat_map(|name| ["--exclude", name]);
    suite.check(tally, "packages", suite.cargo(&["package", "--quiet", "--workspace", "--allow-dirty"]).args(exclude))?;
    let made = ours_in(&built)?.into_iter().filter(|path| !before.contains(path));
    let names: Vec<String> = made.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    fs::write(&list, names.join("\n")).context(list.display())
}

fn remove(path: &Path) -> Result {
    fs::remove_dir_all(path).context(path.display())
}

/// Where cargo unpacks packages that no registry has yet: a registry's directory is named by its host, and theirs has none.
fn registries() -> Result<Vec<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or_else(|| Failure::new("neither CARGO_HOME nor HOME says where cargo keeps its registries"))?;
    let all = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    Ok(all.filter(|entry| entry.file_name().to_string_lossy().starts_with('-')).map(|entry| entry.path()).collect())
}

/// What is kept of our packages in a directory. Cargo takes the same name and version of a registry for the same content: unless it is
/// removed, a crate is verified against the others as they were when they were first packaged.
fn ours_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let ours = published()?;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_ours = |entry: &fs::DirEntry| ours.iter().any(|name| is_of(&entry.file_name().to_string_lossy(), name));
    Ok(entries.filter(is_ours).map(|entry| entry.path()).collect())
}

/// Whether `gpve-core-0.1.0` or `gpve-core-5e9a…` is of `gpve-core`.
fn is_of(entry: &str, crate_name: &str) -> bool {
    let rest = entry.strip_prefix(crate_name).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| !rest.contains('-') && rest.starts_with(|letter: char| letter.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_of_a_crate_is_told_by_its_name() {
        for (entry, crate_name) in [("gpve-core-0.1.0", "gpve-core"), ("gpve-5e9a0c77d6b1f3a2", "gpve"), ("gpve-0.1.0", "gpve")] {
            assert!(super::is_of(entry, crate_name), "{entry}");
        }
        for (entry, crate_name) in [("gpve-core-0.1.0", "gpve"), ("serde-1.0.0", "gpve"), ("gpve-corex-0.1.0", "gpve-core")] {
            assert!(!super::is_of(entry, crate_name), "{entry}");
        }
    }
}
