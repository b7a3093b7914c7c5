//! What this host and its QEMU can do, found out once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpve_core::error::{Error, ErrorKind, Result};
use gpve_core::types::Arch;
use gpve_exec::{Invocation, Runner as _, System, Tool};

use super::argv::board::Level;
use super::argv::compose::{CpuVendor, Facts};
use super::config::QemuConfig;
use super::fault;

const OP: &str = "guest.launch";

/// QEMU says its version in 20 ms at rest.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// Where PVE mounts huge pages of each size.
const HUGEPAGES: &str = "/run/hugepages/kvm";

/// Asks QEMU for its version and the kernel for the rest.
pub(super) async fn of_host(config: &QemuConfig) -> Result<Facts> {
    let ask = Invocation::new(Tool::QEMU_SYSTEM_X86_64).arg("--version").deadline(VERSION_DEADLINE);
    let output = System::new(config.tools.clone()).run(ask).await.and_then(gpve_exec::Output::require_success);
    let output = output.map_err(|error| fault::exec(OP, &error))?;
    let text = output.text().map_err(|error| fault::exec(OP, &error))?;
    let qemu = version(text).ok_or_else(|| Error::new(ErrorKind::FailedPrecondition, OP, "QEMU does not say its version"))?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Ok(Facts {
        arch: if std::env::consts::ARCH == "aarch64" { Arch::Aarch64 } else { Arch::X86_64 },
        vendor: vendor(&cpuinfo),
        address_bits: address_bits(&cpuinfo).unwrap_or(Facts::default().address_bits),
        qemu,
        hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages"), Path::new(HUGEPAGES)),
        numa_nodes: numa_nodes(Path::new("/sys/devices/system/node")),
        has_render_node: has_render_node(Path::new("/dev/dri")),
        ..Facts::default()
    })
}

/// `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Option<Level> {
    text.split_once("version ")?.1.split_whitespace().next()?.parse().ok()
}

fn vendor(cpuinfo: &str) -> CpuVendor {
    match value(cpuinfo, "vendor_id") {
        Some("GenuineIntel") => CpuVendor::Intel,
        Some("AuthenticAMD") => CpuVendor::Amd,
        _ => CpuVendor::Other,
    }
}

/// `address sizes : 46 bits physical, 48 bits virtual`.
fn address_bits(cpuinfo: &str) -> Option<u8> {
    value(cpuinfo, "address sizes")?.split_once(' ')?.0.parse().ok()
}

fn value<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Sizes that the kernel has and that are mounted where a guest can take pages from.
fn hugepages(sizes: &Path, mounts: &Path) -> BTreeMap<u32, PathBuf> {
    let Ok(entries) = std::fs::read_dir(sizes) else { return BTreeMap::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u32>().ok();
    let found = names.filter_map(|name| size(&name)).map(|kib| (kib / 1024, mounts.join(format!("{kib}kB"))));
    found.filter(|(mib, path)| *mib > 0 && path.is_dir()).collect()
}

fn has_render_node(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
}

fn numa_nodes(folder: &Path) -> Option<BTreeSet<u16>> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let nodes: BTreeSet<u16> = names.filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
    Some(nodes).filter(|nodes| !nodes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_and_qemu_say_is_understood() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: GenuineIntel\naddress sizes\t: 46 bits physical, 48 bits virtual\n";
        assert_eq!((vendor(cpuinfo), address_bits(cpuinfo)), (CpuVendor::Intel, Some(46)));
        assert_eq!((vendor(""), address_bits("")), (CpuVendor::Other, None));
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\nCopyright"), "10.0".parse().ok());
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_gpu_that_renders_is_seen_by_its_node() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("card0"), "").unwrap();
        assert!(!has_render_node(dir.path()) && !has_render_node(&dir.path().join("none")));
        std::fs::write(dir.path().join("renderD128"), "").unwrap();
        assert!(has_render_node(dir.path()));
    }

    #[test]
    fn a_size_of_huge_pages_counts_where_it_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let (sizes, mounts) = (dir.path().join("sizes"), dir.path().join("mounts"));
        for made in [sizes.join("hugepages-2048kB"), sizes.join("hugepages-1048576kB"), mounts.join("2048kB")] {
            std::fs::create_dir_all(made).unwrap();
        }
        assert_eq!(hugepages(&sizes, &mounts), BTreeMap::from([(2, mounts.join("2048kB"))]));
        assert!(hugepages(&dir.path().join("none"), &mounts).is_empty());
    }
}
