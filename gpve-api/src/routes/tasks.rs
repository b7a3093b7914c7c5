//! Tasks.

use super::{NODE, Operation as Op, VMID, forms as f};
use crate::route::{Answer, Dialect, Kind, Method, Param, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, method, path, operation, summary).params(&[NODE, TASK])
}

const fn opt(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param::optional(name, kind, text)
}

const UPID: Param = Param::new("upid", Kind::Format(&f::UPID), "The task.");
const START: Param = opt("start", Kind::COUNT, "How many to leave out.").default("0");
const LIMIT: Param = opt("limit", Kind::COUNT, "Most entries.").default("50");

const TASK: &[Param] = &[UPID];
const LIST: &[Param] = &[
    START,
    LIMIT,
    opt("errors", Kind::Boolean, "Only those that failed.").default("0"),
    opt("since", Kind::INTEGER, "Started at this Unix time or later."),
    opt("until", Kind::INTEGER, "Started at this Unix time or earlier."),
    opt("source", Kind::Word(&["archive", "active", "all"]), "Ended, running, or both.").default("archive"),
    opt("statusfilter", Kind::List(&f::TASK_STATUS), "Only with such an end."),
    opt("typefilter", Kind::text(128), "Only of this type."),
    opt("userfilter", Kind::text(128), "Only of users with this in their id."),
    opt("vmid", VMID, "Only of this guest."),
];
const LOG: &[Param] = &[START, LIMIT, opt("download", Kind::Boolean, "As a text file.")];

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/nodes/{node}/tasks", Op::TaskList, "Tasks of a node, newest first.")
        .params(&[NODE, LIST])
        .answers(Answer::List("Task")),
    route(Method::Get, "/nodes/{node}/tasks/{upid}", Op::TaskIndex, "The parts of a task.").answers(Answer::List("Index")),
    route(Method::Get, "/nodes/{node}/tasks/{upid}/status", Op::TaskStatus, "State of a task.").answers(Answer::Object("TaskStatus")),
    route(Method::Get, "/nodes/{node}/tasks/{upid}/log", Op::TaskLog, "Log of a task.")
        .params(&[NODE, TASK, LOG])
        .answers(Answer::List("LogLine")),
    route(Method::Delete, "/nodes/{node}/tasks/{upid}", Op::TaskStop, "Cancel a task."),
];
