use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

pub use rustix::process::Signal;

use crate::Status;

/// Which process, for good: a process id alone is given away again after its owner's end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessId {
    /// The kernel's number, as `ps` shows it.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_time_ticks: u64,
    /// Since which boot; ticks begin anew with each.
    pub boot_id: String,
}

impl ProcessId {
    /// Who has this number now; `None` when nobody lives under it.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        match Self::of_unreaped(pid) {
            Ok((id, is_dead)) => Ok((!is_dead).then_some(id)),
            // `/proc/PID/stat` vanishes as `ENOENT` when opened, as `ESRCH` when read.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Who has this number, and whether it is a zombie.
    fn of_unreaped(pid: u32) -> io::Result<(Self, bool)> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: {text:?}"));
        let stat = Stat::parse(&text).ok_or_else(unreadable)?;
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok((Self { pid, start_time_ticks: stat.start_time_ticks, boot_id }, stat.is_dead))
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pid, self.start_time_ticks)
    }
}

/// How a process ended; `None` when it was not this process's child, for then the kernel tells nobody but the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The status, where known.
    pub status: Option<Status>,
}

/// A process held by a pidfd: signals reach it or nobody. Clones are the same process. Dropping it leaves the process alone.
#[derive(Debug, Clone)]
pub struct Process {
    id: ProcessId,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    /// For a child: filled by its reaper.
    reaped: Option<watch::Receiver<Option<Exit>>>,
}

impl Process {
    /// Takes hold of the process that `id` names, such as one started before this daemon; `None` when it has ended, even if its
    /// number belongs to another process by now. Call within a tokio runtime.
    ///
    /// # Errors
    /// When `/proc` cannot be read or no descriptor is left.
    pub fn open(id: &ProcessId) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Read after opening: if the named process still has its number now, it had it when the pidfd was opened.
        if ProcessId::of(id.pid)?.as_ref() != Some(id) {
            return Ok(None);
        }
        Ok(Some(Self { id: id.clone(), pidfd: watched(pidfd)?, reaped: None }))
    }

    /// Holds a child that nobody has reaped yet, and starts the task that will.
    pub(crate) fn of_child(pid: u32) -> io::Result<Self> {
        let (id, _) = ProcessId::of_unreaped(pid)?;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let pidfd = watched(pidfd_open(raw, PidfdFlags::NONBLOCK)?)?;
        let (sender, reaped) = watch::channel(None);
        tokio::spawn(reap(Arc::clone(&pidfd), sender));
        Ok(Self { id, pidfd, reaped: Some(reaped) })
    }

    /// Its name for good, to be stored and given to [`open`](Self::open) later.
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Sends a signal. `false`: it has ended already.
    ///
    /// # Errors
    /// When this process may not signal it.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has not ended yet; a zombie has ended.
    pub fn is_running(&self) -> bool {
        !has_ended(self.pidfd.get_ref())
    }

    /// Waits for its end. Cancel safe; may be called by many and again.
    ///
    /// # Errors
    /// When the runtime's reactor is gone.
    pub async fn exited(&self) -> io::Result<Exit> {
        if let Some(mut reaped) = self.reaped.clone() {
            // An error means that the reaper went down with its runtime: the pidfd still tells of the end.
            if let Ok(exit) = reaped.wait_for(Option::is_some).await {
                return Ok((*exit).unwrap_or(Exit { status: None }));
            }
        }
        ended(&self.pidfd).await?;
        Ok(Exit { status: None })
    }
}

#[expect(deprecated, reason = "its successor is unsafe for types whose descriptor changes; an `OwnedFd` keeps its own")]
fn watched(pidfd: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    AsyncFd::new(pidfd).map(Arc::new)
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(pidfd, PollFlags::IN)];
    !matches!(poll(&mut descriptors, Some(&Timespec::default())), Ok(0))
}

/// Waits until the pidfd is readable, which it is from the process's end on for good. Readiness may be reported falsely, hence the loop.
async fn ended(pidfd: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = pidfd.readable().await?;
        if has_ended(pidfd.get_ref()) {
            return Ok(());
        }
        ready.clear_ready();
    }
}

/// Takes the exit status of a child, so that it does not stay a zombie.
async fn reap(pidfd: Arc<AsyncFd<OwnedFd>>, sender: watch::Sender<Option<Exit>>) {
    let status = match ended(&pidfd).await {
        Ok(()) => waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).ok().flatten(),
        Err(_reactor_gone) => None,
    };
    let status = status.and_then(|status| match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Status::Exited(code)),
        (None, Some(signal)) => Some(Status::Signalled(signal)),
        (None, None) => None,
    });
    sender.send_replace(Some(Exit { status }));
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    is_dead: bool,
    start_time_ticks: u64,
}

impl Stat {
    /// Reads `PID (COMM) STATE … STARTTIME …`; the command may hold spaces and parentheses, so the fields count from its last one.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let start_time_ticks = fields.nth(18)?.parse().ok()?;
        Some(Self { is_dead: matches!(state, "Z" | "X" | "x"), start_time_ticks })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) Z) S 1 7 7 0 -1 4194560 2 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(Stat::parse(stat), Some(Stat { is_dead: false, start_time_ticks: 4711 }));
        assert_eq!(
            Stat::parse("7 (sleep) Z 1 7 7 0 -1 4194560 2 0 0 0 0 0 0 0 20 0 1 0 4711 0"),
            Some(Stat { is_dead: true, start_time_ticks: 4711 })
        );
        assert_eq!(Stat::parse("7 (sleep) S 1"), None);
    }

    #[tokio::test]
    async fn a_recycled_pid_is_refused() {
        let own = ProcessId::of(std::process::id()).unwrap().unwrap();
        assert!(Process::open(&own).unwrap().is_some());
        let earlier = ProcessId { start_time_ticks: own.start_time_ticks - 1, ..own.clone() };
        assert!(Process::open(&earlier).unwrap().is_none());
        let other_boot = ProcessId { boot_id: "0".to_owned(), ..own.clone() };
        assert!(Process::open(&other_boot).unwrap().is_none());
        for pid in [0, u32::MAX, i32::MAX.unsigned_abs()] {
            assert!(Process::open(&ProcessId { pid, ..own.clone() }).unwrap().is_none());
        }
    }

    #[test]
    fn a_process_id_keeps_its_stored_form() {
        let id = ProcessId { pid: 7, start_time_ticks: 4711, boot_id: "b".to_owned() };
        let stored = r#"{"pid":7,"start_time_ticks":4711,"boot_id":"b"}"#;
        assert_eq!(serde_json::to_string(&id).unwrap(), stored);
        assert_eq!(serde_json::from_str::<ProcessId>(stored).unwrap(), id);
    }
}
