//! Nodes.

use gpve_auth::Privilege as P;

use super::{NODE, Operation as Op};
use crate::route::{Access, Answer, Dialect, Method, Require, Route};

const fn get(path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, Method::Get, path, operation, summary)
}

pub(super) const ROUTES: &[Route] = &[
    get("/nodes", Op::NodeList, "Nodes with their use.").answers(Answer::List("Node")),
    get("/nodes/{node}", Op::NodeIndex, "The parts of a node.").params(&[NODE]).answers(Answer::List("Index")),
    get("/nodes/{node}/status", Op::NodeStatus, "Use and hardware of a node.")
        .params(&[NODE])
        .access(Access::All(&[Require { any: &[P::SysAudit], on: "/nodes/{node}" }]))
        .answers(Answer::Object("NodeStatus")),
    get("/nodes/{node}/version", Op::NodeVersion, "Version of a node.").params(&[NODE]).answers(Answer::Object("Version")),
    get("/nodes/{node}/lxc", Op::ContainerList, "Containers of a node.").params(&[NODE]).answers(Answer::List("Guest")),
];
