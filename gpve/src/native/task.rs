//! Tasks.

use std::time::Duration;

use gpve_api::v1::{List, MAX_PAGE, Task, TaskLine};
use gpve_core::error::Result;
use gpve_core::ports::TaskFilter;
use gpve_core::types::Upid;

use super::{Answered, Asked, document};

pub(super) fn list(cx: &Asked) -> Result<Answered> {
    let limit = cx.params.count("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::from(MAX_PAGE));
    let filter = TaskFilter { running: cx.params.bool("running").filter(|r| *r), limit, ..TaskFilter::default() };
    let items: Vec<Task> = cx.plane.tasks(None, &filter).iter().map(|t| Task::from(t.as_ref())).collect();
    Ok(document(200, &List::new("Task", cx.plane.guests().revision(), items)))
}

pub(super) async fn read(cx: &Asked) -> Result<Answered> {
    let upid: Upid = cx.params.parse("task")?;
    let patience = Duration::from_secs(cx.params.count("waitSeconds").unwrap_or(0));
    if !patience.is_zero() {
        // Late is no error: the answer then shows a task that runs.
        let _late = tokio::time::timeout(patience, cx.plane.wait(&upid)).await;
    }
    Ok(document(200, &Task::from(cx.plane.task(&upid).await?.as_ref())))
}

pub(super) async fn log(cx: &Asked) -> Result<Answered> {
    let upid: Upid = cx.params.parse("task")?;
    let (start, limit) = (cx.params.count("start").unwrap_or(0), cx.params.count("limit").unwrap_or(500));
    let (lines, _total) = cx.plane.task_log(&upid, start, limit).await?;
    let items: Vec<TaskLine> = lines.into_iter().map(|l| TaskLine { n: l.n, t: l.t }).collect();
    Ok(document(200, &List::new("LogLine", cx.plane.guests().revision(), items)))
}

pub(super) async fn cancel(cx: &Asked) -> Result<Answered> {
    let upid: Upid = cx.params.parse("task")?;
    cx.plane.task(&upid).await?;
    cx.plane.cancel(&cx.call, &upid).await?;
    Ok(document(202, &Task::from(cx.plane.task(&upid).await?.as_ref())))
}
