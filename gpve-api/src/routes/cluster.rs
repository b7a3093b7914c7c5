//! What a cluster has.

use gpve_auth::Privilege as P;

use super::{Operation as Op, VMID};
use crate::route::{Access, Answer, Dialect, Kind, Method, Param, Require, Route};

const fn get(path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, Method::Get, path, operation, summary)
}

const WANTED_ID: &[Param] = &[Param::optional("vmid", VMID, "Check whether this one is free.")];
const KIND: &[Param] = &[Param::optional("type", Kind::Word(&["vm", "storage", "node", "sdn"]), "Only these.")];

pub(super) const ROUTES: &[Route] = &[
    get("/cluster", Op::ClusterIndex, "The parts of the cluster.").answers(Answer::List("Index")),
    get("/cluster/nextid", Op::NextId, "A free guest number, leased to the caller for a short time.")
        .params(&[WANTED_ID])
        .answers(Answer::Text),
    get("/cluster/resources", Op::ClusterResources, "Guests, storages and nodes with their use.")
        .params(&[KIND])
        .answers(Answer::List("Resource")),
    get("/cluster/status", Op::ClusterStatus, "Nodes and quorum.")
        .access(Access::All(&[Require { any: &[P::SysAudit], on: "/" }]))
        .answers(Answer::List("ClusterMember")),
    get("/cluster/tasks", Op::ClusterTasks, "Recent tasks of all nodes.").answers(Answer::List("Task")),
];
