//! A process of this host that cannot be mistaken for another.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use gpve_core::ports::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process held by a descriptor: signals go to it or to nobody, also when its number is given to another.
pub(crate) struct Process {
    id: ProcessId,
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// The process with this number; `None` if there is none.
    #[allow(deprecated, reason = "tokio's warning is about descriptors that somebody else may close; an OwnedFd is nobody else's")]
    pub(crate) fn with_number(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        // Held first and looked at then: what is seen is the process that is held.
        let held = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(held) => AsyncFd::with_interest(held, Interest::READABLE)?,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let Some(stat) = Stat::of(pid) else { return Ok(None) };
        let id = ProcessId { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? };
        Ok(Some(Self { id, fd: held }))
    }

    /// This process; `None` if it is gone.
    pub(crate) fn open(id: &ProcessId) -> io::Result<Option<Self>> {
        Ok(Self::with_number(id.pid)?.filter(|p| p.id == *id))
    }

    pub(crate) fn id(&self) -> &ProcessId {
        &self.id
    }

    /// What the kernel tells of it; `None` once it is gone.
    pub(crate) fn stat(&self) -> Option<Stat> {
        Stat::of(self.id.pid).filter(|s| s.start_ticks == self.id.start_ticks)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.fd.get_ref(), signal)?)
    }

    /// Returns once it is gone. Cancel safe.
    pub(crate) async fn ended(&self) {
        // The descriptor is readable from the end of the process on, for ever and for everybody.
        if self.fd.readable().await.is_err() {
            // The runtime is shutting down: whoever waits here is about to be dropped.
            std::future::pending().await
        }
    }
}

/// Fields of `/proc/PID/stat` of a process that has not ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Stopped by a signal.
    pub(crate) stopped: bool,
    /// Number of its group's first process.
    pub(crate) group: u32,
    pub(crate) cpu_ticks: u64,
    pub(crate) start_ticks: u64,
    pub(crate) memory_pages: u64,
}

impl Stat {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A process that nobody has reaped has ended all the same.
    fn parse(line: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, also parentheses.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let state = *fields.first()?;
        let number = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        (!matches!(state, "Z" | "X")).then_some(())?;
        Some(Self {
            stopped: state == "T",
            group: number(5)?.try_into().ok()?,
            cpu_ticks: number(14)? + number(15)?,
            start_ticks: number(22)?,
            memory_pages: number(24)?,
        })
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = |state| format!("7 (a) R (b) {state} 1 7 7 0 -1 4194560 12 0 0 0 30 4 0 0 20 0 1 0 55 2650112 190 18446744073709551615");
        let stat = Stat { stopped: true, group: 7, cpu_ticks: 34, start_ticks: 55, memory_pages: 190 };
        assert_eq!(Stat::parse(&line("T")), Some(stat));
        assert_eq!(Stat::parse(&line("Z")), None);
        assert_eq!(Stat::parse("7 (short) R 1"), None);
    }
}
