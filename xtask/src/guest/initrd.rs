use std::collections::BTreeMap;
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::Image;
use super::cpio::Archive;
use super::package::{Packages, first_dependency, libraries};
use crate::failure::{Context as _, Failure, Result};
use crate::program::Program;

/// Drivers loaded at boot, where the kernel has them as modules: what QEMU's machines offer, and the power button.
const MODULES_LOADED: &[&str] = &[
    "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net", "virtio_console", "virtio-rng", "virtio_balloon",
    "ata_piix", "ata_generic", "ahci", "nvme", "e1000", "e1000e", "button", "evdev",
];

/// Drivers that the kernel loads when something is mounted or plugged in.
const MODULES_ON_DEMAND: &[&str] = &["vfat", "nls_ascii", "nls_cp437", "nls_iso8859-1", "isofs", "sr_mod", "vmxnet3"];

/// What the guest agent's program consists of.
const AGENT_PACKAGES: &[&str] = &["qemu-guest-agent", "libc6", "libglib2.0-0", "libnuma1", "libpcre2-8-0", "libudev1", "liburing2"];

const SCRIPTS: &[(&str, &str)] = &[
    ("bin/gpve-info", include_str!("info.sh")),
    ("bin/gpve-put", include_str!("disk.sh")),
    ("bin/gpve-get", include_str!("disk.sh")),
    ("sbin/gpve-dhcp", include_str!("dhcp.sh")),
    ("sbin/shutdown", include_str!("shutdown.sh")),
    ("sbin/poweroff", include_str!("shutdown.sh")),
    ("sbin/reboot", include_str!("shutdown.sh")),
    ("sbin/halt", include_str!("shutdown.sh")),
];

const DIRECTORIES: &[&str] = &[
    "bin", "sbin", "dev", "etc", "lib", "lib/modules", "lib/x86_64-linux-gnu", "lib64", "proc", "root", "run", "sys", "tmp", "usr", "var",
];

/// Everything here that decides what the initrd is.
pub(super) fn recipe() -> String {
    let scripts = SCRIPTS.iter().map(|(name, text)| format!("{name}\0{text}"));
    let names = [MODULES_LOADED, MODULES_ON_DEMAND, AGENT_PACKAGES, DIRECTORIES].concat().join(" ");
    scripts.chain([init(), names]).collect::<Vec<_>>().join("\0")
}

/// Writes the kernel and the initrd.
pub(super) fn write(work: &Path, image: &Image) -> Result {
    let packages = Packages::new(work)?;
    let kernel_package = first_dependency("linux-image-cloud-amd64")?;
    packages.unpack(&[[kernel_package.as_str(), "busybox-static"].as_slice(), AGENT_PACKAGES].concat())?;
    let release = kernel_package.strip_prefix("linux-image-").unwrap_or(&kernel_package);
    fs::copy(packages.tree.join(format!("boot/vmlinuz-{release}")), image.kernel()).context(format!("the kernel of {kernel_package}"))?;

    let mut archive = Archive::new(BufWriter::new(fs::File::create(image.initrd())?));
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    archive.character_device("dev/console", 5, 1)?;
    add_busybox(&mut archive, &packages.tree)?;
    for (name, text) in SCRIPTS {
        archive.file(name, 0o755, text.as_bytes())?;
    }
    archive.file("init", 0o755, init().as_bytes())?;
    archive.file("etc/gpve-guest", 0o644, format!("{release}\n").as_bytes())?;
    archive.file(
        "etc/os-release",
        0o644,
        b"ID=gpve-guest\nNAME=\"gpve guest\"\nPRETTY_NAME=\"gpve demo and test guest\"\nVERSION_ID=1\n",
    )?;
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n")?;
    archive.file("etc/profile", 0o644, b"export PS1='gpve-guest# '\n")?;
    add_modules(&mut archive, &packages.tree, release)?;
    add_agent(&mut archive, &packages.tree)?;
    archive.finish()?;
    Ok(())
}

fn init() -> String {
    include_str!("init.sh").replace("@MODULES@", &MODULES_LOADED.join(" "))
}

fn add_busybox(archive: &mut Archive<impl std::io::Write>, tree: &Path) -> Result {
    let busybox = [tree.join("bin/busybox"), tree.join("usr/bin/busybox")].into_iter().find(|path| path.is_file());
    let busybox = busybox.ok_or_else(|| Failure::new("the package busybox-static holds no busybox"))?;
    archive.copy("bin/busybox", &busybox)?;
    let scripts: Vec<_> = SCRIPTS.iter().filter_map(|(name, _)| name.rsplit('/').next()).collect();
    for applet in Program::new(&busybox).arg("--list").read()?.lines() {
        if applet != "busybox" && !scripts.contains(&applet) {
            archive.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    // Where the kernel looks when it wants a module.
    archive.link("sbin/modprobe", "../bin/busybox")?;
    Ok(())
}

fn add_modules(archive: &mut Archive<impl std::io::Write>, tree: &Path, release: &str) -> Result {
    // Debian merges /lib into /usr/lib in later releases.
    let base = [tree.to_path_buf(), tree.join("usr")].into_iter().find(|base| base.join("lib/modules").is_dir());
    let modules = base.ok_or_else(|| Failure::new("the kernel's package holds no modules"))?.join("lib/modules").join(release);
    let busybox = [tree.join("bin/busybox"), tree.join("usr/bin/busybox")].into_iter().find(|path| path.is_file()).unwrap_or_default();
    let base = modules.ancestors().nth(3).unwrap_or(tree);
    Program::new(busybox).arg("depmod").arg("-b").arg(base).arg(release).quiet()?;
    let inside = format!("lib/modules/{release}");
    let mut made = vec![PathBuf::from(&inside)];
    archive.directory(&inside)?;
    for file in needed_modules(&fs::read_to_string(modules.join("modules.dep"))?) {
        let path = Path::new(&inside).join(&file);
        let mut parents: Vec<_> =
            path.ancestors().skip(1).take_while(|parent| parent.starts_with(&inside)).map(Path::to_path_buf).collect();
        parents.reverse();
        for parent in parents {
            if !made.contains(&parent) {
                archive.directory(&parent.to_string_lossy())?;
                made.push(parent);
            }
        }
        archive.copy(&path.to_string_lossy(), &modules.join(&file))?;
    }
    for index in ["modules.dep", "modules.alias", "modules.symbols", "modules.builtin"] {
        if modules.join(index).is_file() {
            archive.copy(&format!("{inside}/{index}"), &modules.join(index))?;
        }
    }
    Ok(())
}

/// The files of the wanted modules and of those they depend on, from the lines `file: dependency dependency` of `modules.dep`.
fn needed_modules(dependencies: &str) -> Vec<String> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let by_file: BTreeMap<&str, Vec<&str>> = lines.map(|(file, needs)| (file, needs.split_whitespace().collect())).collect();
    let module = |file: &str| Path::new(file).file_name().map(|name| name.to_string_lossy().replace('-', "_").replace(".ko", ""));
    let wanted: Vec<_> = MODULES_LOADED.iter().chain(MODULES_ON_DEMAND).map(|name| name.replace('-', "_")).collect();
    let mut needed = Vec::new();
    let mut unseen: Vec<&str> = by_file.keys().copied().filter(|file| module(file).is_some_and(|name| wanted.contains(&name))).collect();
    while let Some(file) = unseen.pop() {
        if !needed.iter().any(|known| known == file) {
            needed.push(file.to_owned());
            unseen.extend(by_file.get(file).into_iter().flatten());
        }
    }
    needed.sort_unstable();
    needed
}

fn add_agent(archive: &mut Archive<impl std::io::Write>, tree: &Path) -> Result {
    let agent = tree.join("usr/sbin/qemu-ga");
    archive.copy("sbin/qemu-ga", &agent)?;
    for library in libraries(&agent, tree)? {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.copy(&format!("lib/x86_64-linux-gnu/{name}"), &library)?;
    }
    archive.copy("lib64/ld-linux-x86-64.so.2", &tree.join("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_brings_what_it_depends_on_and_nothing_else() {
        let listed = "kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n\
                      kernel/drivers/virtio/virtio.ko:\nkernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko\n\
                      kernel/drivers/char/hw_random/virtio-rng.ko:\nkernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n";
        assert_eq!(
            needed_modules(listed),
            [
                "kernel/drivers/block/virtio_blk.ko",
                "kernel/drivers/char/hw_random/virtio-rng.ko",
                "kernel/drivers/virtio/virtio.ko",
                "kernel/drivers/virtio/virtio_ring.ko"
            ]
        );
    }
}
