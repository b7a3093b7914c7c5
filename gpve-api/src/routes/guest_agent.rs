//! The guest agent.

use gpve_auth::Privilege as P;

use super::{GUEST, Operation as Op};
use crate::route::{Access, Answer, Dialect, Kind, Method, Param, Require, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, method, path, operation, summary).params(&[GUEST]).answers(Answer::Object("AgentResult"))
}

macro_rules! on_vm {
    ($($privilege:ident)|+) => {
        Access::All(&[Require { any: &[$(P::$privilege),+], on: "/vms/{vmid}" }])
    };
}

macro_rules! command {
    ($method:ident, $name:literal, $($privilege:ident)|+, $summary:literal) => {
        route(Method::$method, concat!("/nodes/{node}/qemu/{vmid}/agent/", $name), Op::AgentCommand, $summary)
            .verb($name)
            .access(on_vm!($($privilege)|+))
    };
}

/// Commands that `POST .../agent` takes by name.
const COMMANDS: &[&str] = &[
    "fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name", "get-memory-block-info",
    "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces", "ping",
    "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram",
];

/// Most bytes that one `file-read` returns.
const LONGEST_READ: i64 = 16 << 20;

const COMMAND: &[Param] = &[Param::new("command", Kind::Word(COMMANDS), "The command.")];
const EXEC: &[Param] = &[
    Param::new("command", Kind::Array(&Kind::TEXT), "Program and arguments."),
    Param::optional("input-data", Kind::text(65536), "What it reads from its standard input."),
];
const EXEC_STATUS: &[Param] = &[Param::new("pid", Kind::INTEGER, "Number that exec returned.")];
const FILE_READ: &[Param] = &[
    Param::new("file", Kind::text(4096), "Path in the guest."),
    Param::optional("count", Kind::between(1, LONGEST_READ), "Most bytes.").default("16777216"),
    Param::optional("offset", Kind::COUNT, "First byte.").default("0"),
    Param::optional("decode", Kind::Boolean, "Decode the agent's base64.").default("1"),
];
const FILE_WRITE: &[Param] = &[
    Param::new("file", Kind::text(4096), "Path in the guest."),
    Param::new("content", Kind::text(61440), "What is written."),
    Param::optional("encode", Kind::Boolean, "Encode as base64; if not, it is encoded already.").default("1"),
];
const PASSWORD: &[Param] = &[
    Param::new("username", Kind::text(256), "User in the guest."),
    Param::new("password", Kind::Secret { max: 1024 }, "New password."),
    Param::optional("crypted", Kind::Boolean, "The password is hashed already.").default("0"),
];

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/agent", Op::AgentIndex, "Commands of the guest agent.").answers(Answer::List("Index")),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/agent", Op::AgentCommand, "Run a command of the guest agent.")
        .params(&[GUEST, COMMAND])
        .access(on_vm!(VmGuestAgentUnrestricted)),
    command!(Post, "ping", VmGuestAgentAudit | VmGuestAgentUnrestricted, "Whether the agent answers."),
    command!(Get, "info", VmGuestAgentAudit | VmGuestAgentUnrestricted, "Version and commands of the agent."),
    command!(Get, "get-osinfo", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's operating system."),
    command!(Get, "get-host-name", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's host name."),
    command!(Get, "get-fsinfo", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's file systems."),
    command!(Get, "get-time", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's time."),
    command!(Get, "get-timezone", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's time zone."),
    command!(Get, "get-users", VmGuestAgentAudit | VmGuestAgentUnrestricted, "Users logged in to the guest."),
    command!(Get, "get-vcpus", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's processors."),
    command!(Get, "get-memory-blocks", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's memory blocks."),
    command!(Get, "get-memory-block-info", VmGuestAgentAudit | VmGuestAgentUnrestricted, "Size of the guest's memory blocks."),
    command!(Get, "network-get-interfaces", VmGuestAgentAudit | VmGuestAgentUnrestricted, "The guest's network interfaces and addresses."),
    command!(Post, "fsfreeze-status", VmGuestAgentFileSystemMgmt | VmGuestAgentUnrestricted, "Whether file systems are frozen."),
    command!(Post, "fsfreeze-freeze", VmGuestAgentFileSystemMgmt | VmGuestAgentUnrestricted, "Freeze file systems."),
    command!(Post, "fsfreeze-thaw", VmGuestAgentFileSystemMgmt | VmGuestAgentUnrestricted, "Thaw file systems."),
    command!(Post, "fstrim", VmGuestAgentFileSystemMgmt | VmGuestAgentUnrestricted, "Discard unused blocks."),
    command!(Post, "shutdown", VmPowerMgmt | VmGuestAgentUnrestricted, "Shut the guest down."),
    command!(Post, "suspend-disk", VmPowerMgmt | VmGuestAgentUnrestricted, "Hibernate the guest."),
    command!(Post, "suspend-hybrid", VmPowerMgmt | VmGuestAgentUnrestricted, "Hibernate and sleep."),
    command!(Post, "suspend-ram", VmPowerMgmt | VmGuestAgentUnrestricted, "Put the guest to sleep."),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/agent/exec", Op::AgentExec, "Run a program in the guest.")
        .params(&[GUEST, EXEC])
        .access(on_vm!(VmGuestAgentUnrestricted))
        .answers(Answer::Object("AgentExec")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/agent/exec-status", Op::AgentExecStatus, "State and output of such a program.")
        .params(&[GUEST, EXEC_STATUS])
        .access(on_vm!(VmGuestAgentUnrestricted))
        .answers(Answer::Object("AgentExecStatus")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/agent/file-read", Op::AgentFileRead, "Read a file of the guest.")
        .params(&[GUEST, FILE_READ])
        .access(on_vm!(VmGuestAgentFileRead | VmGuestAgentUnrestricted))
        .answers(Answer::Object("AgentFile")),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/agent/file-write", Op::AgentFileWrite, "Write a file of the guest.")
        .params(&[GUEST, FILE_WRITE])
        .access(on_vm!(VmGuestAgentFileWrite | VmGuestAgentUnrestricted))
        .answers(Answer::Nothing),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/agent/set-user-password", Op::AgentSetUserPassword, "Set a password in the guest.")
        .params(&[GUEST, PASSWORD])
        .access(on_vm!(VmGuestAgentUnrestricted)),
];
