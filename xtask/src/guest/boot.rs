use std::fs;
use std::path::{Path, PathBuf};

use super::package::Packages;
use super::{ARGUMENTS, Image};
use crate::failure::{Context as _, Failure, Result};
use crate::program::Program;

/// Room for kernel and initrd, and as much again for what a test writes.
const DISK_MIB: u64 = 64;

/// Small programs that read a file system and load a kernel, and those that make the file systems.
const LOADER_PACKAGES: &[&str] = &["isolinux", "syslinux", "syslinux-common", "mtools"];

/// Everything here that decides what the CD and the disk are.
pub(super) fn recipe() -> String {
    format!("{}\0{DISK_MIB}\0{LOADER_PACKAGES:?}", configuration())
}

fn configuration() -> String {
    include_str!("syslinux.cfg").replace("@ARGUMENTS@", ARGUMENTS)
}

/// Writes the CD.
pub(super) fn write_cd(work: &Path, image: &Image) -> Result {
    let packages = Packages::new(work)?;
    packages.unpack(LOADER_PACKAGES)?;
    let content = work.join("cd");
    fs::create_dir_all(&content)?;
    let loader = |name: &str| packages.tree.join("usr/lib").join(name);
    let files = [
        ("isolinux.bin", loader("ISOLINUX/isolinux.bin")),
        ("ldlinux.c32", loader("syslinux/modules/bios/ldlinux.c32")),
        ("vmlinuz", image.kernel()),
        ("initrd", image.initrd()),
    ];
    for (name, from) in files {
        fs::copy(&from, content.join(name)).context(from.display())?;
    }
    fs::write(content.join("isolinux.cfg"), configuration())?;
    let options = ["-as", "mkisofs", "-quiet", "-volid", "GPVE_GUEST", "-joliet", "-rational-rock", "-eltorito-boot", "isolinux.bin"];
    let boot = ["-eltorito-catalog", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "-output"];
    Program::new("xorriso").args(options).args(boot).arg(image.cd()).arg(&content).quiet()
}

/// Writes the disk; expects what [`write_cd`] unpacked.
pub(super) fn write_disk(work: &Path, image: &Image) -> Result {
    let tree = Packages::new(work)?.tree;
    let disk = image.disk();
    fs::File::create(&disk)?.set_len(DISK_MIB << 20)?;
    let tool = |name: &str| -> Result<PathBuf> {
        let places = [tree.join("usr/bin").join(name)];
        places.into_iter().find(|path| path.is_file()).ok_or_else(|| Failure::new(format!("no {name} in {LOADER_PACKAGES:?}")))
    };
    // 64 heads of 32 sectors make a cylinder of 1 MiB, as a BIOS sees a small disk.
    let geometry = ["-t", &DISK_MIB.to_string(), "-h", "64", "-s", "32", "-v", "GPVE_GUEST", "::"].map(str::to_owned);
    Program::new(tool("mformat")?).arg("-i").arg(&disk).args(geometry).quiet()?;
    let configuration_file = work.join("syslinux.cfg");
    fs::write(&configuration_file, configuration())?;
    for file in [image.kernel(), image.initrd(), configuration_file] {
        Program::new(tool("mcopy")?).arg("-i").arg(&disk).arg(&file).arg("::").quiet()?;
    }
    // It calls the programs of mtools by name.
    let path = std::env::join_paths([tree.join("usr/bin"), "/usr/bin".into(), "/bin".into()])?;
    Program::new(tool("syslinux")?).arg("--install").arg(&disk).env("PATH", path).quiet()
}
