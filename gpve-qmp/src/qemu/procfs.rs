//! What the kernel tells of processes: who a guest's QEMU is, and what it uses.

use std::io;
use std::path::Path;
use std::time::Duration;

use gpve_core::ports::ProcessId;
use gpve_exec::ProcessId as ExecId;
use rustix::param::{clock_ticks_per_second, page_size};

/// The pid files below `root` that running QEMUs were started with, and whose.
///
/// Found by their command lines, which holds from the moment of `exec`, before any file is written: a guest whose daemon
/// died between start and record is found too.
pub(super) fn guests_below(root: &Path) -> io::Result<Vec<(String, ExecId)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(guest) = guest_of(pid, root)
            && let Some(id) = ExecId::of(pid)?
        {
            found.push((guest, id));
        }
    }
    Ok(found)
}

/// The name of the guest's directory below `root`, if the process is a QEMU of ours.
pub(super) fn guest_of(pid: u32, root: &Path) -> Option<String> {
    // Processes come and go while we look.
    let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = cmdline.split(|&byte| byte == 0);
    let program = std::str::from_utf8(arguments.next()?).ok()?;
    // Before its exec the same arguments belong to a launcher: it becomes QEMU in a moment and is not one yet.
    if !Path::new(program).file_name()?.to_str()?.starts_with("qemu-system-") {
        return None;
    }
    arguments.find(|argument| *argument == b"-pidfile")?;
    let path = Path::new(std::str::from_utf8(arguments.next()?).ok()?);
    let guest = path.strip_prefix(root).ok()?.parent()?.to_str()?;
    (path.file_name()? == "pid" && !guest.is_empty() && !guest.contains('/')).then(|| guest.to_owned())
}

/// The same process in the words of the port.
pub(super) fn to_port(id: &ExecId) -> ProcessId {
    ProcessId { pid: id.pid, start_ticks: id.start_time_ticks, boot_id: id.boot_id.clone() }
}

/// The same process in the words of the launcher.
pub(super) fn from_port(id: &ProcessId) -> ExecId {
    ExecId { pid: id.pid, start_time_ticks: id.start_ticks, boot_id: id.boot_id.clone() }
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessUse {
    pub(super) cpu_time: Duration,
    pub(super) resident_bytes: u64,
}

impl ProcessUse {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a process's figures cannot be read");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let ticks = cpu_ticks(&stat).ok_or_else(malformed)?;
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).ok_or_else(malformed)?;
        let cpu_time = Duration::from_millis(ticks.saturating_mul(1000) / clock_ticks_per_second().max(1));
        Ok(Self { cpu_time, resident_bytes: pages.saturating_mul(u64::try_from(page_size()).unwrap_or(4096)) })
    }
}

/// User and system time of all threads: fields 14 and 15. The command may hold anything, so the fields count from its
/// closing parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Bytes that a tap interface carried to and from the guest: what the host sent is what the guest received.
pub(super) fn tap_traffic(interface: &str) -> (u64, u64) {
    let read = |counter: &str| {
        let path = format!("/sys/class/net/{interface}/statistics/{counter}");
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    (read("tx_bytes"), read("rx_bytes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_command_with_parentheses() {
        assert_eq!(cpu_ticks("7 (a) b) S 1 7 7 0 -1 4194560 2 0 0 0 30 12 0 0 20 0 1 0 4711 0"), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_test_uses_memory_and_is_no_guest() {
        assert!(ProcessUse::of(std::process::id()).unwrap().resident_bytes > 0);
        assert_eq!(guest_of(std::process::id(), Path::new("/run")), None);
        assert!(guests_below(Path::new("/nowhere")).unwrap().is_empty());
    }
}
