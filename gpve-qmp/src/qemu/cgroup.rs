//! Limits on a guest's process by control groups, v2 or v1, where the host has them.
//!
//! A group is made only for a guest that has a limit, at `gpve/VMID` of each hierarchy, and removed with the guest.

use std::io;
use std::path::{Path, PathBuf};

use gpve_core::ports::LimitSpec;
use gpve_core::types::Vmid;

/// Where the hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Our part of each hierarchy.
const PARENT: &str = "gpve";

/// Length of the period that a CPU limit is met in, in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// The kernel's smallest quota in microseconds.
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// Attempts to remove a group whose last process, dead already, is still leaving it: some milliseconds.
const REMOVE_ATTEMPTS: usize = 10_000;

/// A host's control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// One hierarchy with all controllers.
    V2 {
        /// Its root.
        root: PathBuf,
    },
    /// A hierarchy for each controller.
    V1 {
        /// Root of `cpu`.
        cpu: Option<PathBuf>,
        /// Root of `memory`.
        memory: Option<PathBuf>,
    },
}

/// What could not be limited.
#[derive(Debug, thiserror::Error)]
pub(super) enum CgroupError {
    /// The host has no controller for it.
    #[error("this host has no control group for {what}")]
    Absent {
        /// What was to be limited.
        what: &'static str,
    },
    /// The kernel refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Cgroups {
    pub(super) fn of_host() -> Self {
        Self::mounted_at(Path::new(MOUNT))
    }

    fn mounted_at(mount: &Path) -> Self {
        let controllers = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|controller| controller == "cpu") {
            return Self::V2 { root: mount.into() };
        }
        let hierarchy = |name: &str| Some(mount.join(name)).filter(|path| path.join("cgroup.procs").exists());
        Self::V1 { cpu: hierarchy("cpu"), memory: hierarchy("memory") }
    }

    /// Puts the process under `limits`; one without any limit stays where it is. Idempotent.
    pub(super) fn apply(&self, vmid: Vmid, pid: u32, limits: &LimitSpec) -> Result<(), CgroupError> {
        let limits_cpu = limits.cpu_milli.is_some() || limits.cpu_units.is_some();
        if !limits_cpu && limits.memory_max.is_none() && !self.groups(vmid).any(|group| group.exists()) {
            return Ok(());
        }
        match self {
            Self::V2 { root } => apply_v2(root, vmid, pid, limits),
            Self::V1 { cpu, memory } => {
                if limits_cpu || cpu.as_ref().is_some_and(|root| group(root, vmid).exists()) {
                    apply_v1_cpu(cpu.as_deref().ok_or(CgroupError::Absent { what: "cpu" })?, vmid, pid, limits)?;
                }
                if let Some(bytes) = limits.memory_max {
                    let group = join(memory.as_deref().ok_or(CgroupError::Absent { what: "memory" })?, vmid)?;
                    write(&group.join("memory.limit_in_bytes"), bytes)?;
                    write(&group.join("cgroup.procs"), pid)?;
                }
                Ok(())
            }
        }
    }

    /// Removes the guest's groups; none is fine.
    pub(super) fn remove(&self, vmid: Vmid) -> Result<(), CgroupError> {
        for group in self.groups(vmid) {
            remove_group(&group).map_err(|source| CgroupError::Io { path: group.clone(), source })?;
            // Ours while it holds a guest; another guest's group keeps it.
            if let Some(parent) = group.parent() {
                let _ = std::fs::remove_dir(parent);
            }
        }
        Ok(())
    }

    fn groups(&self, vmid: Vmid) -> impl Iterator<Item = PathBuf> {
        let roots = match self {
            Self::V2 { root } => [Some(root), None],
            Self::V1 { cpu, memory } => [cpu.as_ref(), memory.as_ref()],
        };
        roots.into_iter().flatten().map(move |root| group(root, vmid)).collect::<Vec<_>>().into_iter()
    }
}

fn group(root: &Path, vmid: Vmid) -> PathBuf {
    root.join(PARENT).join(vmid.to_string())
}

fn join(root: &Path, vmid: Vmid) -> Result<PathBuf, CgroupError> {
    let group = group(root, vmid);
    std::fs::create_dir_all(&group).map_err(|source| CgroupError::Io { path: group.clone(), source })?;
    Ok(group)
}

fn apply_v2(root: &Path, vmid: Vmid, pid: u32, limits: &LimitSpec) -> Result<(), CgroupError> {
    let group = join(root, vmid)?;
    for level in [root.to_path_buf(), root.join(PARENT)] {
        write(&level.join("cgroup.subtree_control"), "+cpu +memory")?;
    }
    let max = limits.cpu_milli.map_or_else(|| format!("max {CPU_PERIOD_US}"), |milli| format!("{} {CPU_PERIOD_US}", quota(milli)));
    write(&group.join("cpu.max"), max)?;
    write(&group.join("cpu.weight"), weight(limits.cpu_units))?;
    write(&group.join("memory.max"), limits.memory_max.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string()))?;
    write(&group.join("cgroup.procs"), pid)
}

fn apply_v1_cpu(root: &Path, vmid: Vmid, pid: u32, limits: &LimitSpec) -> Result<(), CgroupError> {
    let group = join(root, vmid)?;
    write(&group.join("cpu.cfs_period_us"), CPU_PERIOD_US)?;
    let quota = limits.cpu_milli.map_or_else(|| "-1".to_owned(), |milli| quota(milli).to_string());
    write(&group.join("cpu.cfs_quota_us"), quota)?;
    write(&group.join("cpu.shares"), limits.cpu_units.unwrap_or(1024).max(2))?;
    write(&group.join("cgroup.procs"), pid)
}

fn quota(milli: u32) -> u64 {
    (u64::from(milli) * CPU_PERIOD_US / 1000).max(CPU_QUOTA_MIN_US)
}

/// v1's shares (2 to 262144, 1024 is normal) as v2's weight (1 to 10000, 100 is normal).
fn weight(units: Option<u32>) -> u64 {
    let Some(units) = units else { return 100 };
    (u64::from(units) * 100 / 1024).clamp(1, 10_000)
}

fn write(path: &Path, value: impl ToString) -> Result<(), CgroupError> {
    std::fs::write(path, value.to_string()).map_err(|source| CgroupError::Io { path: path.into(), source })
}

/// A dead process may take a moment to leave.
fn remove_group(path: &Path) -> io::Result<()> {
    let mut attempt = 0;
    loop {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && attempt < REMOVE_ATTEMPTS => {
                attempt += 1;
                std::thread::yield_now();
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn limits(cpu_milli: u32) -> LimitSpec {
        LimitSpec { cpu_milli: Some(cpu_milli), cpu_units: Some(2048), memory_max: None }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_v1_guest_gets_quota_and_shares() {
        let dir = tempfile::tempdir().unwrap();
        let cpu = dir.path().join("cpu");
        std::fs::create_dir(&cpu).unwrap();
        std::fs::write(cpu.join("cgroup.procs"), "").unwrap();
        let groups = Cgroups::mounted_at(dir.path());
        assert_eq!(groups, Cgroups::V1 { cpu: Some(cpu.clone()), memory: None });
        groups.apply(Vmid::MIN, 1, &limits(1500)).unwrap();
        let group = cpu.join("gpve/100");
        assert_eq!(read(&group.join("cpu.cfs_quota_us")), "150000");
        assert_eq!(read(&group.join("cpu.shares")), "2048");
        groups.apply(Vmid::MIN, 1, &LimitSpec::default()).unwrap();
        assert_eq!(read(&group.join("cpu.cfs_quota_us")), "-1", "a limit that was lifted is gone");
        let memory = LimitSpec { memory_max: Some(1), ..LimitSpec::default() };
        assert!(matches!(groups.apply(Vmid::MIN, 1, &memory), Err(CgroupError::Absent { what: "memory" })));
    }

    #[test]
    fn a_v2_guest_gets_max_and_weight() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory").unwrap();
        let groups = Cgroups::mounted_at(dir.path());
        groups.apply(Vmid::MIN, 7, &limits(500)).unwrap();
        let group = dir.path().join("gpve/100");
        assert_eq!(read(&group.join("cpu.max")), "50000 100000");
        assert_eq!(read(&group.join("cpu.weight")), "200");
        assert_eq!(read(&group.join("cgroup.procs")), "7");
    }

    #[test]
    fn a_guest_without_limits_gets_no_group() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), "cpu memory").unwrap();
        let groups = Cgroups::mounted_at(dir.path());
        groups.apply(Vmid::MIN, 1, &LimitSpec::default()).unwrap();
        assert!(!dir.path().join("gpve").exists());
        groups.remove(Vmid::MIN).unwrap();
    }

    #[test]
    fn weights_and_quotas_stay_in_the_kernels_range() {
        assert_eq!((weight(None), weight(Some(1024)), weight(Some(1)), weight(Some(262_144))), (100, 100, 1, 10_000));
        assert_eq!((quota(1), quota(2000)), (1000, 200_000));
    }
}
