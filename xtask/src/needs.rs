//! What the tasks need from the host, and how to get it from Debian.

use std::fs;
use std::path::Path;

use crate::failure::{Context as _, Failure, Result};
use crate::program::{Program, find, say};

/// The oldest QEMU that the project is tested with; Debian 12 itself has 7.2, its backports have 10.
const QEMU_MAJOR_MIN: u32 = 10;

const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/gpve-backports.sources";

/// How long apt waits for another apt to end.
const APT_LOCK_OPTION: &str = "DPkg::Lock::Timeout=300";

/// What something is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// To compile.
    Build,
    /// To boot guests.
    Guests,
    /// To run every test.
    Tests,
    /// To measure beside others.
    Benchmarks,
}

/// How to tell that something is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Program(&'static str),
    File(&'static str),
    Qemu,
}

#[derive(Debug)]
struct Need {
    purpose: Purpose,
    probe: Probe,
    packages: &'static [&'static str],
    from_backports: bool,
}

const fn need(purpose: Purpose, probe: Probe, packages: &'static [&'static str]) -> Need {
    Need { purpose, probe, packages, from_backports: false }
}

const NEEDS: &[Need] = &[
    need(Purpose::Build, Probe::Program("cc"), &["gcc", "libc6-dev"]),
    need(Purpose::Build, Probe::Program("g++"), &["g++"]),
    need(Purpose::Build, Probe::Program("cmake"), &["cmake"]),
    need(Purpose::Build, Probe::Program("make"), &["make"]),
    need(Purpose::Build, Probe::Program("pkg-config"), &["pkg-config"]),
    Need {
        purpose: Purpose::Guests,
        probe: Probe::Qemu,
        packages: &["qemu-system-x86", "qemu-block-extra", "qemu-utils"],
        from_backports: true,
    },
    need(Purpose::Guests, Probe::Program("qemu-img"), &["qemu-utils"]),
    need(Purpose::Guests, Probe::Program("swtpm"), &["swtpm"]),
    need(Purpose::Guests, Probe::Program("xorriso"), &["xorriso"]),
    need(Purpose::Guests, Probe::Program("ip"), &["iproute2"]),
    need(Purpose::Guests, Probe::Program("setpriv"), &["util-linux"]),
    need(Purpose::Tests, Probe::Program("nft"), &["nftables"]),
    need(Purpose::Tests, Probe::Program("valgrind"), &["valgrind"]),
    need(Purpose::Tests, Probe::Program("busybox"), &["busybox-static"]),
    need(Purpose::Tests, Probe::Program("ping"), &["iputils-ping"]),
    need(Purpose::Tests, Probe::Program("mkfs.ext4"), &["e2fsprogs"]),
    need(Purpose::Tests, Probe::Program("debootstrap"), &["debootstrap"]),
    need(Purpose::Tests, Probe::Program("buildah"), &["buildah"]),
    // The module, not the program: Debian splits it from Python.
    need(Purpose::Tests, Probe::File("/usr/lib/python3/dist-packages/pip"), &["python3", "python3-venv", "python3-pip"]),
    need(Purpose::Benchmarks, Probe::Program("etcd"), &["etcd-server"]),
    need(Purpose::Benchmarks, Probe::Program("wrk"), &["wrk"]),
];

/// Installs what is missing for `purposes`; silent when nothing is.
pub(crate) fn install(purposes: &[Purpose]) -> Result {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| purposes.contains(&need.purpose) && !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let backports = missing.iter().any(|need| need.from_backports) && is_debian_12();
    let commands = commands(&missing, backports);
    let Some(prefix) = privilege() else {
        return Err(Failure::new(format!(
            "some programs are missing and only root can install them; run this and try again:\n\n{}",
            commands.join("\n")
        )));
    };
    for command in commands {
        say(format!("installing: {command}"));
        let run = Program::new(prefix[0]).args(&prefix[1..]).arg(&command).env("DEBIAN_FRONTEND", "noninteractive");
        // Told that this is the halted run level, packages do not start services.
        run.env("RUNLEVEL", "1").quiet()?;
    }
    match missing.iter().find(|need| !need.is_met()) {
        None => Ok(()),
        Some(need) => Err(Failure::new(format!("{:?} is still missing after {:?} was installed", need.probe, need.packages))),
    }
}

impl Need {
    fn is_met(&self) -> bool {
        match self.probe {
            Probe::Program(name) => find(name).is_some(),
            Probe::File(path) => Path::new(path).exists(),
            Probe::Qemu => qemu_major().is_some_and(|major| major >= QEMU_MAJOR_MIN),
        }
    }
}

/// The shell commands that bring the missing packages.
fn commands(missing: &[&Need], backports: bool) -> Vec<String> {
    let packages = |from_backports| {
        let chosen = missing.iter().filter(|need| (need.from_backports && backports) == from_backports);
        let mut packages: Vec<&str> = chosen.flat_map(|need| need.packages).copied().collect();
        packages.sort_unstable();
        packages.dedup();
        packages.join(" ")
    };
    let install = format!("apt-get install -y -q --no-install-recommends -o {APT_LOCK_OPTION}");
    let mut commands = Vec::new();
    if backports && !backports_are_known() {
        let source = "Types: deb\\nURIs: http://deb.debian.org/debian\\nSuites: bookworm-backports\\nComponents: main contrib\\n\
                      Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n";
        commands.push(format!("printf '{source}' >{BACKPORTS_FILE}"));
    }
    commands.push(format!("apt-get update -q -o {APT_LOCK_OPTION}"));
    for (names, release) in [(packages(true), " -t bookworm-backports"), (packages(false), "")] {
        if !names.is_empty() {
            commands.push(format!("{install}{release} {names}"));
        }
    }
    commands
}

fn is_debian_12() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "VERSION_CODENAME=bookworm"))
}

fn backports_are_known() -> bool {
    let lists = ["/etc/apt/sources.list.d", "/etc/apt"].map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let is_source = |path: &Path| path.extension().is_some_and(|extension| extension == "list" || extension == "sources");
    lists
        .map(|entry| entry.path())
        .filter(|path| is_source(path))
        .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("bookworm-backports")))
}

fn qemu_major() -> Option<u32> {
    let printed = Program::new(find("qemu-system-x86_64")?).arg("--version").read().ok()?;
    major(&printed)
}

/// The 10 of `QEMU emulator version 10.0.2 (Debian …)`.
fn major(printed: &str) -> Option<u32> {
    printed.split_once("version ")?.1.split('.').next()?.parse().ok()
}

/// What runs a shell command as root, if anything does.
fn privilege() -> Option<Vec<&'static str>> {
    if is_root() {
        return Some(vec!["sh", "-c"]);
    }
    let sudo = find("sudo").is_some() && Program::new("sudo").args(["-n", "true"]).quiet().is_ok();
    sudo.then(|| vec!["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND,RUNLEVEL", "sh", "-c"])
}

/// Whether this task runs as root.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status");
    status.is_ok_and(|text| text.lines().any(|line| line.strip_prefix("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_tells_its_version_in_several_ways() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright"), Some(10));
        assert_eq!(major("QEMU emulator version 7.2.17"), Some(7));
        assert_eq!(major("no version"), None);
    }

    #[test]
    fn backports_are_used_for_qemu_alone() {
        let missing: Vec<&Need> = NEEDS.iter().filter(|need| matches!(need.probe, Probe::Qemu | Probe::Program("nft" | "cc"))).collect();
        let commands = commands(&missing, true);
        let installs: Vec<_> = commands.iter().filter(|command| command.contains("install")).collect();
        assert!(installs[0].ends_with(" -t bookworm-backports qemu-block-extra qemu-system-x86 qemu-utils"), "{}", installs[0]);
        assert!(installs[1].ends_with("Timeout=300 gcc libc6-dev nftables"), "{}", installs[1]);
    }

    #[test]
    fn every_need_says_which_package_brings_it() {
        assert!(NEEDS.iter().all(|need| !need.packages.is_empty()));
    }
}
