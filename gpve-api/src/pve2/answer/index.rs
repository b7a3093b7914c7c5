//! Lists of what is below a path.

use serde_json::{Value as Json, json};

use crate::routes::Operation;

/// The parts below a path, as `[{key: part}, ...]`.
pub fn index(key: &str, parts: &[&str]) -> Json {
    parts.iter().map(|part| json!({ key: part })).collect()
}

/// The answer of an index route; none for every other operation.
pub fn index_of(operation: Operation) -> Option<Json> {
    let (key, parts): (&str, &[&str]) = match operation {
        Operation::ApiIndex => ("subdir", &["version", "cluster", "nodes", "storage", "access", "pools"]),
        Operation::AccessIndex => ("subdir", &["users", "domains", "ticket", "permissions"]),
        Operation::ClusterIndex => ("name", &["nextid", "resources", "status", "tasks"]),
        Operation::NodeIndex => ("name", &["lxc", "qemu", "status", "storage", "tasks", "version"]),
        Operation::VmIndex => (
            "subdir",
            &[
                "config", "pending", "cloudinit", "status", "unlink", "resize", "agent", "snapshot", "clone", "template", "feature",
                "vncproxy", "termproxy", "vncwebsocket",
            ],
        ),
        Operation::VmStatusIndex => ("subdir", &["current", "start", "stop", "reset", "shutdown", "suspend", "resume", "reboot"]),
        Operation::SnapshotIndex => ("cmd", &["rollback", "config"]),
        Operation::StorageIndex => ("subdir", &["content", "status", "upload"]),
        Operation::TaskIndex => ("name", &["log", "status"]),
        Operation::AgentIndex => return Some(agent_commands()),
        _ => return None,
    };
    Some(index(key, parts))
}

fn agent_commands() -> Json {
    let paths = crate::routes::routes().filter_map(|r| r.path.strip_prefix("/nodes/{node}/qemu/{vmid}/agent/"));
    let mut names: Vec<&str> = paths.collect();
    names.sort_unstable();
    index("name", &names)
}
