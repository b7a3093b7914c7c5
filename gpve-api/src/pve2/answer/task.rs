//! Tasks.

use gpve_core::types::Upid;
use serde::Serialize;

/// A task in the list of its node.
#[derive(Debug, Clone, Serialize)]
pub struct TaskEntry {
    /// Id.
    pub upid: String,
    /// Node.
    pub node: String,
    /// First half of its serial number.
    pub pid: u64,
    /// Second half of its serial number.
    pub pstart: u64,
    /// When it was accepted, in Unix time.
    pub starttime: u64,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it works on.
    pub id: String,
    /// Who asked.
    pub user: String,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endtime: Option<u64>,
    /// `RUNNING`, `OK`, `WARNINGS: 1`, or the error.
    pub status: String,
}

impl TaskEntry {
    /// The entry of a task that has `ended` (when, and how), or still runs.
    pub fn new(upid: &Upid, ended: Option<(u64, String)>) -> Self {
        let (endtime, status) = ended.map_or((None, "RUNNING".to_owned()), |(at, how)| (Some(at), how));
        Self {
            upid: upid.to_string(),
            node: upid.node.to_string(),
            pid: upid.serial >> 32,
            pstart: upid.serial & 0xFFFF_FFFF,
            starttime: upid.start.secs(),
            kind: upid.kind.to_string(),
            id: upid.id.clone(),
            user: upid.user.to_string(),
            endtime,
            status,
        }
    }
}

/// A task in the cluster's list: `saved` is a text.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveTask {
    /// Id.
    pub upid: String,
    /// Node.
    pub node: String,
    /// When it was accepted, in Unix time.
    pub starttime: u64,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it works on.
    pub id: String,
    /// Who asked.
    pub user: String,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endtime: Option<u64>,
    /// `RUNNING`, `OK`, or the error.
    pub status: String,
    /// `1` when it has ended and is on record.
    pub saved: &'static str,
}

impl From<TaskEntry> for ActiveTask {
    fn from(t: TaskEntry) -> Self {
        let saved = if t.endtime.is_some() { "1" } else { "0" };
        Self {
            upid: t.upid,
            node: t.node,
            starttime: t.starttime,
            kind: t.kind,
            id: t.id,
            user: t.user,
            endtime: t.endtime,
            status: t.status,
            saved,
        }
    }
}

/// State of one task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskStatusAnswer {
    /// Id.
    pub upid: String,
    /// Node.
    pub node: String,
    /// First half of its serial number.
    pub pid: u64,
    /// Second half of its serial number.
    pub pstart: u64,
    /// When it was accepted, in Unix time.
    pub starttime: u64,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it works on.
    pub id: String,
    /// Who asked.
    pub user: String,
    /// `running` or `stopped`.
    pub status: &'static str,
    /// `OK`, `WARNINGS: 1`, or the error; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exitstatus: Option<String>,
}

impl TaskStatusAnswer {
    /// The state of a task that ended with `exitstatus`, or still runs.
    pub fn new(upid: &Upid, exitstatus: Option<String>) -> Self {
        let t = TaskEntry::new(upid, None);
        let status = if exitstatus.is_some() { "stopped" } else { "running" };
        Self {
            upid: t.upid,
            node: t.node,
            pid: t.pid,
            pstart: t.pstart,
            starttime: t.starttime,
            kind: t.kind,
            id: t.id,
            user: t.user,
            status,
            exitstatus,
        }
    }
}

/// A line of a log, numbered from 1. A log is never empty: the last line of an ended task is `TASK OK`,
/// `TASK WARNINGS: n` or `TASK ERROR: why`.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// Number.
    pub n: u64,
    /// Text.
    pub t: String,
}
