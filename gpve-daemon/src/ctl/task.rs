//! `gpvectl task`.

use gpve_api::client::Request;
use gpve_api::routes::Operation;
use gpve_api::v1::{List, Task};
use gpve_core::error::Result;

use super::Ctx;
use super::args::TaskCommand;

pub(super) async fn run(cx: &Ctx, command: TaskCommand) -> Result<()> {
    match command {
        TaskCommand::List { running } => list(cx, running).await,
        TaskCommand::Log { id } => {
            cx.client.wait_task(&id, |p| cx.output.progress(&p)).await.map(|t| cx.output.note(&format!("{:?}", t.phase)))
        }
        TaskCommand::Cancel { id } => {
            let task: Task = cx.client.get(Request::to(Operation::V1TaskCancel).path("task", &id)).await?;
            cx.output.note(&format!("{id} was asked to stop; it is {:?}", task.phase));
            Ok(())
        }
    }
}

async fn list(cx: &Ctx, running: bool) -> Result<()> {
    let request = Request::to(Operation::V1TaskList).param_opt("running", running.then_some("true"));
    let tasks: List<Task> = cx.client.get(request).await?;
    let row = |t: &Task| {
        let (phase, why) = (format!("{:?}", t.phase), t.message.clone().or_else(|| t.step.clone()).unwrap_or_default());
        vec![t.id.to_string(), t.kind.clone(), t.vmid.to_string(), t.user.to_string(), phase, why]
    };
    let rows = tasks.items.iter().map(row).collect();
    cx.output.rows(&tasks, &["id", "type", "vmid", "user", "phase", "message"], rows)
}
