use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure, Result};
use crate::program::Program;

/// Debian packages taken apart in a directory: nothing is installed, so that root is not needed.
pub(crate) struct Packages {
    downloads: PathBuf,
    pub(crate) tree: PathBuf,
}

impl Packages {
    /// Works under `directory`, which must exist.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let packages = Self { downloads: directory.join("packages"), tree: directory.join("tree") };
        fs::create_dir_all(&packages.downloads)?;
        fs::create_dir_all(&packages.tree)?;
        Ok(packages)
    }

    /// Downloads the packages and unpacks them into the tree.
    pub(crate) fn unpack(&self, names: &[&str]) -> Result {
        // As root apt drops to its own user, who may not write here; it says so and goes on, hence `quiet`.
        let download = Program::new("apt-get").arg("download").args(names).directory(&self.downloads);
        download.quiet().context("if its lists are missing, run `apt-get update` as root first")?;
        for entry in fs::read_dir(&self.downloads)? {
            let package = entry?.path();
            Program::new("dpkg-deb").arg("-x").arg(&package).arg(&self.tree).quiet()?;
            fs::remove_file(package)?;
        }
        Ok(())
    }
}

/// The package that a name such as `linux-image-cloud-amd64` stands for.
pub(crate) fn first_dependency(name: &str) -> Result<String> {
    let listed = Program::new("apt-cache").args(["depends", name]).read()?;
    let dependency = listed.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    dependency.map(str::to_owned).ok_or_else(|| Failure::new(format!("apt knows no package {name}; run `apt-get update` as root first")))
}

/// The shared libraries under `tree` that `program` needs, itself or through others, found by their names in its bytes: no tool for ELF
/// files is needed, and one library too many would do no harm.
pub(crate) fn libraries(program: &Path, tree: &Path) -> Result<Vec<PathBuf>> {
    let mut known = Vec::new();
    for directory in ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"] {
        let Ok(entries) = fs::read_dir(tree.join(directory)) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_file() && name.contains(".so.") {
                known.push((name, path));
            }
        }
    }
    let mut needed = Vec::new();
    let mut unread = vec![program.to_path_buf()];
    while let Some(file) = unread.pop() {
        let bytes = fs::read(&file).context(file.display())?;
        let (found, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|(name, _)| holds(&bytes, format!("\0{name}\0").as_bytes()));
        known = rest;
        for (_, path) in found {
            unread.push(path.clone());
            needed.push(path);
        }
    }
    Ok(needed)
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
