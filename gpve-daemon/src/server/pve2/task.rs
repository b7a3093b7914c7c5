//! Tasks.

use std::sync::Arc;

use gpve_api::pve2::answer::{ActiveTask, LogLine, TaskEntry, TaskStatusAnswer, index_of};
use gpve_api::pve2::{Failure, Reply, phrase};
use gpve_core::ports::{TaskFilter, TaskReport, TaskState};
use gpve_core::types::{Upid, Vmid};

use super::{Answered, Ctx, nothing};

/// Tasks that the cluster's list shows, as many as PVE keeps per node.
const CLUSTER_TASKS: usize = 25;

/// How an ended task ended, in PVE's words.
fn exit_status(report: &TaskReport) -> Option<String> {
    match &report.state {
        TaskState::Queued | TaskState::Running | TaskState::Undoing => None,
        TaskState::Ok => Some("OK".to_owned()),
        TaskState::Warnings(n) => Some(format!("WARNINGS: {n}")),
        TaskState::Failed(why) | TaskState::Stuck(why) => Some(why.clone()),
        TaskState::Cancelled => Some("interrupted by signal".to_owned()),
    }
}

fn entry(report: &TaskReport) -> TaskEntry {
    let ended = report.ended.zip(exit_status(report)).map(|(at, how)| (at.secs(), how));
    TaskEntry::new(&report.upid, ended)
}

/// The task in the path, with its own node in the path.
async fn find(cx: &Ctx<'_>) -> Result<Arc<TaskReport>, Failure> {
    let upid: Upid = cx.params.parse("upid").map_err(|e| Failure::from(&e))?;
    if upid.node != cx.node()? {
        return Err(phrase::no_task());
    }
    cx.app.plane.task(&upid).await.map_err(|_| phrase::no_task())
}

pub(super) fn cluster(cx: &Ctx<'_>) -> Answered {
    let filter = TaskFilter { limit: CLUSTER_TASKS, ..TaskFilter::default() };
    let tasks = cx.app.plane.tasks(None, &filter);
    Ok(Reply::data(&tasks.iter().map(|t| ActiveTask::from(entry(t))).collect::<Vec<_>>()))
}

pub(super) fn list(cx: &Ctx<'_>) -> Answered {
    let p = &cx.params;
    let vmid = p.parse_opt::<Vmid>("vmid").map_err(|e| Failure::from(&e))?;
    let running = match p.text("source") {
        Some("active") => Some(true),
        Some("all") => None,
        _ => Some(false),
    };
    let filter = TaskFilter { vmid, running, start: 0, limit: 0 };
    let tasks = cx.app.plane.tasks(Some(&cx.node()?), &filter);
    let passes = |t: &&Arc<TaskReport>| {
        let started = i64::try_from(t.upid.start.secs()).unwrap_or(i64::MAX);
        let failed = matches!(t.state, TaskState::Failed(_) | TaskState::Stuck(_) | TaskState::Cancelled);
        let kind = match &t.state {
            TaskState::Ok => "ok",
            TaskState::Warnings(_) => "warning",
            TaskState::Failed(_) | TaskState::Stuck(_) | TaskState::Cancelled => "error",
            TaskState::Queued | TaskState::Running | TaskState::Undoing => "unknown",
        };
        let kinds = p.list("statusfilter");
        (!p.flag("errors") || failed)
            && p.int("since").is_none_or(|s| started >= s)
            && p.int("until").is_none_or(|u| started <= u)
            && p.text("typefilter").is_none_or(|k| t.upid.kind.as_str() == k)
            && p.text("userfilter").is_none_or(|u| t.upid.user.as_str().contains(u))
            && (kinds.is_empty() || kinds.iter().any(|k| k == kind))
    };
    let all: Vec<TaskEntry> = tasks.iter().filter(passes).map(|t| entry(t)).collect();
    let (start, limit) = window(cx);
    let total = all.len() as u64;
    let page: Vec<TaskEntry> = all.into_iter().skip(start).take(limit).collect();
    // As Proxmox VE: nothing found has no total.
    Ok(if total == 0 { Reply::data(&page) } else { Reply::page(&page, total) })
}

fn window(cx: &Ctx<'_>) -> (usize, usize) {
    let number = |name: &str, default: u64| usize::try_from(cx.params.count(name).unwrap_or(default)).unwrap_or(usize::MAX);
    (number("start", 0), number("limit", 50))
}

pub(super) async fn index(cx: &Ctx<'_>) -> Answered {
    find(cx).await?;
    Ok(Reply::data(&index_of(cx.matched.route.operation)))
}

pub(super) async fn status(cx: &Ctx<'_>) -> Answered {
    let report = find(cx).await?;
    Ok(Reply::data(&TaskStatusAnswer::new(&report.upid, exit_status(&report))))
}

pub(super) async fn log(cx: &Ctx<'_>) -> Answered {
    let report = find(cx).await?;
    let (start, limit) = window(cx);
    let limit = if limit == 0 { u64::MAX } else { limit as u64 };
    let found = cx.app.plane.task_log(&report.upid, start as u64, limit).await.map_err(|e| Failure::from(&e))?;
    let (lines, total) = found;
    let mut shown: Vec<LogLine> = lines.into_iter().map(|l| LogLine { n: l.n, t: l.t }).collect();
    if shown.is_empty() && total == 0 {
        // Clients take an empty log for an error.
        shown.push(LogLine { n: 1, t: "no content".to_owned() });
    }
    Ok(Reply::page(&shown, total))
}

pub(super) async fn stop(cx: &Ctx<'_>) -> Answered {
    let report = find(cx).await?;
    cx.app.plane.cancel(&cx.call, &report.upid).await.map_err(|e| Failure::from(&e))?;
    nothing()
}
