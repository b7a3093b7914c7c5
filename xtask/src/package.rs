//! `cargo xtask package`: what is handed to people who do not build: a Debian package or a tarball, with a bill of materials.
//!
//! The tree is staged here and packed by `dpkg-deb` and `tar`, which every Debian has, and not by cargo-deb: that would be one more
//! program to build or to install, and it would still need the maintainer scripts, the manual pages and the links from here.
//! Whoever packs for another system takes the tarball, which has the same files.

mod sbom;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure, Result};
use crate::place;
use crate::program::{Program, find, say};
use stage::Stage;

/// The workspace's version, which is the package's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `gpve_VERSION_amd64.deb`
    Debian,
    /// `gpve-VERSION-x86_64-linux.tar.gz`
    Tarball,
    /// `gpve-VERSION.cdx.json`, CycloneDX
    Materials,
}

/// Makes it below cargo's target directory and prints its path.
///
/// `GPVE_BIN` names a program that is built already; otherwise a release is built.
pub(crate) fn run(form: Form) -> Result {
    let directory = place::target().join("package");
    fs::create_dir_all(&directory).context(directory.display())?;
    let made = match form {
        Form::Materials => materials(&directory.join(format!("gpve-{VERSION}.cdx.json")))?,
        Form::Debian => debian(&directory)?,
        Form::Tarball => tarball(&directory)?,
    };
    println!("{}", made.display());
    Ok(())
}

fn debian(directory: &Path) -> Result<PathBuf> {
    let stage = Stage::new(&directory.join("deb"), &program()?)?;
    stage.control()?;
    let package = directory.join(format!("gpve_{VERSION}_amd64.deb"));
    let build = Program::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(stage.root()).arg(&package);
    build.env("SOURCE_DATE_EPOCH", commit_time()?).quiet()?;
    Ok(package)
}

fn tarball(directory: &Path) -> Result<PathBuf> {
    let name = format!("gpve-{VERSION}-x86_64-linux");
    Stage::new(&directory.join("tar").join(&name), &program()?)?;
    let tarball = directory.join(format!("{name}.tar.gz"));
    // The same bytes of the same commit, whoever packs them.
    let owner = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"];
    let pack = Program::new("tar").args(owner).arg(format!("--mtime=@{}", commit_time()?)).arg("-C").arg(directory.join("tar"));
    pack.arg("--use-compress-program=gzip -9n").arg("-cf").arg(&tarball).arg(name).quiet()?;
    Ok(tarball)
}

fn materials(path: &Path) -> Result<PathBuf> {
    let metadata = Program::cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .directory(place::root())
        .read()?;
    let lock = fs::read_to_string(place::root().join("Cargo.lock"))?;
    let document = sbom::document(&serde_json::from_str(&metadata)?, &lock)?;
    fs::write(path, serde_json::to_string_pretty(&document)? + "\n").context(path.display())?;
    Ok(path.to_owned())
}

/// The server's program, without what only debuggers want.
fn program() -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure::new("packages are made on x86_64 only"));
    }
    let built = match std::env::var_os("GPVE_BIN") {
        Some(program) => program.into(),
        None => {
            say("building a release (the first time takes some minutes)");
            Program::cargo().args(["build", "--release", "--locked", "--package", "gpve-daemon"]).directory(place::root()).run()?;
            place::target().join("release/gpve")
        }
    };
    let stripped = place::target().join("package/gpve");
    match find("strip") {
        Some(strip) => Program::new(strip).args(["--strip-unneeded", "-o"]).arg(&stripped).arg(&built).quiet()?,
        None => return Err(Failure::new("there is no `strip`; install binutils")),
    }
    Ok(stripped)
}

/// Seconds since 1970 of the commit that is packed, for times that do not depend on when it is.
fn commit_time() -> Result<String> {
    let time = Program::new("git").args(["log", "-1", "--format=%ct"]).directory(place::root()).read()?;
    Ok(time.trim().to_owned())
}
