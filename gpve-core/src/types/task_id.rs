//! Ids of tasks, as Proxmox VE writes them.

use std::fmt;
use std::str::FromStr;

use super::id::{NodeName, UserId};
use super::text::{TextError, only, serde_as_text, text_type};
use super::time::Timestamp;

text_type!(
    /// What a task does, in PVE's words (`qmcreate`, `qmstart`, `imgcopy`).
    TaskKind, "task type", "lower-case letters, digits, '-' and '_', at most 32 characters",
    |s| !s.is_empty() && s.len() <= 32 && s.starts_with(|c: char| c.is_ascii_lowercase()) && only(s, "-_")
);

/// A task's id: `UPID:node:PID8:PSTART8:TIME8:type:id:user:`, nine colon-separated fields, numbers in upper-case hex.
///
/// Clients split it and read node, start time, type, id and user. A gpve task is no process: `pid` and `pstart` are
/// the two halves of a serial number that is unique on its node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upid {
    /// The node that runs it.
    pub node: NodeName,
    /// Serial number, unique on the node.
    pub serial: u64,
    /// When it was accepted; whole seconds survive the text form.
    pub start: Timestamp,
    /// What it does.
    pub kind: TaskKind,
    /// What it works on (a guest's number, a storage), may be empty.
    pub id: String,
    /// Who asked.
    pub user: UserId,
}

const ALLOWED: &str = "UPID:node:PID8:PSTART8:TIME8:type:id:user:";

impl FromStr for Upid {
    type Err = TextError;
    fn from_str(s: &str) -> Result<Self, TextError> {
        let refused = || TextError::new(s, "task id", ALLOWED);
        let parts: Vec<&str> = s.split(':').collect();
        let [tag, node, pid, pstart, time, kind, id, user, end] = parts.as_slice() else { return Err(refused()) };
        if *tag != "UPID" || !end.is_empty() || id.len() > 128 || !only(id, "-_.@!/+") || id.contains("..") {
            return Err(refused());
        }
        let hex = |t: &str| -> Result<u64, TextError> {
            let ok = t.len() == 8 && t.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
            if ok { u64::from_str_radix(t, 16).map_err(|_| refused()) } else { Err(refused()) }
        };
        Ok(Self {
            node: node.parse().map_err(|_| refused())?,
            serial: hex(pid)? << 32 | hex(pstart)?,
            start: Timestamp::from_secs(hex(time)?),
            kind: kind.parse().map_err(|_| refused())?,
            id: (*id).to_owned(),
            user: user.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, pstart, secs) = (self.serial >> 32, self.serial & 0xffff_ffff, self.start.secs());
        write!(f, "UPID:{}:{pid:08X}:{pstart:08X}:{secs:08X}:{}:{}:{}:", self.node, self.kind, self.id, self.user)
    }
}

serde_as_text!(Upid);
