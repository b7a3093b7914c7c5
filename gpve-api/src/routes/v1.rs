//! The native API.

use gpve_auth::Privilege as P;

use super::{Operation as Op, VMID, forms as f};
use crate::route::{Access, Answer, Body, Dialect, Format, Kind, Method, Param, Require, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::V1, method, path, operation, summary)
}

macro_rules! on {
    ($path:literal, $($privilege:ident)|+) => {
        Access::All(&[Require { any: &[$(P::$privilege),+], on: $path }])
    };
}

const READ_STORAGE: Access = on!("/storage/{storage}", DatastoreAudit | DatastoreAllocateSpace);
const VIEW: Access = on!("/vms", VmAudit);
const POWER: Access = on!("/vms", VmPowerMgmt);

static NAMESPACE_FORM: Format = Format::new("dns-label", "a DNS label", |s| s.parse::<gpve_core::types::Namespace>().is_ok()).max(63);
static OBJECT_FORM: Format = Format::new("dns-name", "a guest's name or number", |s| s.parse::<gpve_core::types::GuestName>().is_ok());
static MANAGER_FORM: Format =
    Format::new("field-manager", "a field manager's name", |s| s.parse::<gpve_core::types::FieldManager>().is_ok()).max(128);
static KEY_FORM: Format =
    Format::new("idempotency-key", "1 to 255 printable ASCII characters", |s| s.parse::<gpve_core::control::IdempotencyKey>().is_ok())
        .max(255);
static DISK_FORM: Format = Format::new("disk-slot", "a disk such as scsi0", |s| s.parse::<gpve_core::types::DiskSlot>().is_ok());
static LABELS_FORM: Format =
    Format::new("label-selector", "a list of KEY, !KEY, KEY=VALUE or KEY!=VALUE", |s| s.parse::<crate::v1::LabelSelector>().is_ok())
        .max(1024);

const NAMESPACE: &[Param] = &[Param::new("namespace", Kind::Format(&NAMESPACE_FORM), "The namespace.")];
const OBJECT: &[Param] = &[
    Param::new("namespace", Kind::Format(&NAMESPACE_FORM), "The namespace."),
    Param::new("name", Kind::Format(&OBJECT_FORM), "The object's name; a guest's number works too."),
];
const LIST: &[Param] = &[
    Param::optional("labelSelector", Kind::Format(&LABELS_FORM), "Only objects with such labels."),
    Param::optional("limit", Kind::between(1, crate::v1::MAX_PAGE as i64), "Most objects in one answer."),
    Param::optional("continue", Kind::text(512), "Where the previous page ended."),
    Param::optional("watch", Kind::Boolean, "Stream changes instead of listing.").default("false"),
    Param::optional("resourceVersion", Kind::text(32), "Stream what came after this version."),
];
const WRITE: &[Param] = &[
    Param::optional("dryRun", Kind::Boolean, "Say what would happen and do nothing.").default("false"),
    Param::optional("idempotencyKey", Kind::Format(&KEY_FORM), "Same as the header Idempotency-Key: the same key twice is one operation."),
];
const APPLY: &[Param] = &[
    Param::new("fieldManager", Kind::Format(&MANAGER_FORM), "Who owns the applied fields."),
    Param::optional("force", Kind::Boolean, "Take fields over from other managers.").default("false"),
];
const GRACE: &[Param] = &[
    Param::optional("timeoutSeconds", Kind::between(0, 86_400), "How long to wait for the guest's system."),
    Param::optional("force", Kind::Boolean, "Then stop it at once.").default("false"),
];
const DELETE: &[Param] = &[Param::optional("force", Kind::Boolean, "Stop it first if it runs.").default("false")];
const TASKS: &[Param] = &[
    Param::optional("limit", Kind::between(1, crate::v1::MAX_PAGE as i64), "Most tasks."),
    Param::optional("running", Kind::Boolean, "Only those that run."),
];
const TASK: &[Param] = &[Param::new("task", Kind::Format(&f::UPID), "The task.")];
const TASK_WAIT: &[Param] = &[Param::optional("waitSeconds", Kind::between(0, 60), "Answer when it ends, or after this time.")];
const LOG: &[Param] = &[
    Param::optional("start", Kind::COUNT, "First line, from 0.").default("0"),
    Param::optional("limit", Kind::between(1, 10_000), "Most lines.").default("500"),
];
const CONSOLE: &[Param] = &[
    Param::optional("port", Kind::between(0, 3), "Number of the serial port.").default("0"),
    Param::optional("display", Kind::Boolean, "The display instead, as VNC.").default("0"),
];
const SNAPSHOT: &[Param] = &[Param::new("snapshot", Kind::Format(&f::SNAPSHOT_NAME), "The snapshot.")];
const DISK: &[Param] = &[Param::optional("disk", Kind::Format(&DISK_FORM), "Only this disk, which becomes a base; the machine stays one.")];
const STORAGE: &[Param] = &[
    Param::new("storage", Kind::Format(&f::STORAGE_ID), "The storage."),
    Param::optional("node", Kind::Format(&f::NODE), "Its node; needed where several have a storage of that name of their own."),
];
const VOLUMES: &[Param] =
    &[Param::optional("vmid", VMID, "Only of this guest."), Param::optional("content", Kind::Format(&f::CONTENT), "Only of this type.")];
const VOLUME: &[Param] = &[Param::new("volume", Kind::text(512), "The volume's id, or its name within the storage.")];

const VM: &str = "VirtualMachine";
const TASK_ANSWER: Answer = Answer::Object("Task");

macro_rules! action {
    ($verb:literal, $summary:literal, $($group:expr),+) => {
        route(Method::Post, concat!("/namespaces/{namespace}/virtualmachines/{name}/", $verb), Op::V1VmAction, $summary)
            .verb($verb)
            .params(&[$($group),+])
            .access(POWER)
            .answers(TASK_ANSWER)
    };
}

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/", Op::V1Index, "What the API has.").answers(Answer::Object("ApiIndex")),
    route(Method::Get, "/openapi.json", Op::V1OpenApi, "This API as an OpenAPI document.")
        .access(Access::Public)
        .answers(Answer::Object("OpenApi")),
    route(Method::Get, "/guests", Op::V1GuestList, "Guests of every kind.")
        .params(&[LIST])
        .access(VIEW)
        .answers(Answer::List("GuestSummary")),
    route(Method::Get, "/virtualmachines", Op::V1VmList, "Virtual machines of all namespaces, or a stream of their changes.")
        .params(&[LIST])
        .access(VIEW)
        .answers(Answer::Watch(VM)),
    route(
        Method::Get,
        "/namespaces/{namespace}/virtualmachines",
        Op::V1VmList,
        "Virtual machines of a namespace, or a stream of their changes.",
    )
    .params(&[NAMESPACE, LIST])
    .access(VIEW)
    .answers(Answer::Watch(VM)),
    route(Method::Post, "/namespaces/{namespace}/virtualmachines", Op::V1VmCreate, "Make a virtual machine.")
        .params(&[NAMESPACE, WRITE])
        .body(Body::Document(VM))
        .access(on!("/vms", VmAllocate))
        .answers(Answer::Object(VM)),
    route(Method::Get, "/namespaces/{namespace}/virtualmachines/{name}", Op::V1VmRead, "A virtual machine.")
        .params(&[OBJECT])
        .access(VIEW)
        .answers(Answer::Object(VM)),
    route(Method::Put, "/namespaces/{namespace}/virtualmachines/{name}", Op::V1VmReplace, "Replace what is asked of a virtual machine.")
        .params(&[OBJECT, WRITE])
        .body(Body::Document(VM))
        .access(on!("/vms", VmConfigOptions))
        .answers(Answer::Object(VM)),
    route(
        Method::Patch,
        "/namespaces/{namespace}/virtualmachines/{name}",
        Op::V1VmApply,
        "Apply fields to a virtual machine; makes it if it is missing.",
    )
    .params(&[OBJECT, WRITE, APPLY])
    .body(Body::Document(VM))
    .access(on!("/vms", VmAllocate))
    .answers(Answer::Object(VM)),
    route(Method::Delete, "/namespaces/{namespace}/virtualmachines/{name}", Op::V1VmDelete, "Remove a virtual machine with its volumes.")
        .params(&[OBJECT, WRITE, DELETE])
        .access(on!("/vms", VmAllocate))
        .answers(TASK_ANSWER),
    action!("start", "Start it.", OBJECT, WRITE),
    action!("stop", "Stop it at once, as if by pulling the plug.", OBJECT, WRITE),
    action!("shutdown", "Ask its system to shut down.", OBJECT, WRITE, GRACE),
    action!("reboot", "Shut it down and start it; pending changes take effect.", OBJECT, WRITE, GRACE),
    action!("reset", "Press its reset button.", OBJECT, WRITE),
    action!("pause", "Halt its processors.", OBJECT, WRITE),
    action!("resume", "Let its processors run again.", OBJECT, WRITE),
    route(Method::Post, "/namespaces/{namespace}/virtualmachines/{name}/clone", Op::V1VmClone, "Copy it.")
        .params(&[OBJECT, WRITE])
        .body(Body::Document("CloneRequest"))
        .access(on!("/vms", VmClone))
        .answers(TASK_ANSWER),
    route(Method::Post, "/namespaces/{namespace}/virtualmachines/{name}/resize", Op::V1VmResizeDisk, "Grow a disk.")
        .params(&[OBJECT, WRITE])
        .body(Body::Document("ResizeRequest"))
        .access(on!("/vms", VmConfigDisk))
        .answers(TASK_ANSWER),
    route(
        Method::Post,
        "/namespaces/{namespace}/virtualmachines/{name}/template",
        Op::V1VmTemplate,
        "Make it a template, which starts no more and of which linked copies are made.",
    )
    .params(&[OBJECT, WRITE, DISK])
    .access(on!("/vms", VmAllocate))
    .answers(TASK_ANSWER),
    route(
        Method::Get,
        "/namespaces/{namespace}/virtualmachines/{name}/console",
        Op::V1VmConsole,
        "A serial port or the display of a running guest, as a WebSocket of bytes.",
    )
    .params(&[OBJECT, CONSOLE])
    .access(on!("/vms", VmConsole))
    .answers(Answer::Text),
    route(Method::Get, "/namespaces/{namespace}/virtualmachines/{name}/snapshots", Op::V1SnapshotList, "Its snapshots.")
        .params(&[OBJECT])
        .access(VIEW)
        .answers(Answer::List("Snapshot")),
    route(Method::Post, "/namespaces/{namespace}/virtualmachines/{name}/snapshots", Op::V1SnapshotCreate, "Take a snapshot.")
        .params(&[OBJECT, WRITE])
        .body(Body::Document("SnapshotRequest"))
        .access(on!("/vms", VmSnapshot))
        .answers(TASK_ANSWER),
    route(
        Method::Patch,
        "/namespaces/{namespace}/virtualmachines/{name}/snapshots/{snapshot}",
        Op::V1SnapshotDescribe,
        "Change a snapshot's description.",
    )
    .params(&[OBJECT, WRITE, SNAPSHOT])
    .body(Body::Document("SnapshotPatch"))
    .access(on!("/vms", VmSnapshot))
    .answers(TASK_ANSWER),
    route(
        Method::Delete,
        "/namespaces/{namespace}/virtualmachines/{name}/snapshots/{snapshot}",
        Op::V1SnapshotDelete,
        "Remove a snapshot.",
    )
    .params(&[OBJECT, WRITE, SNAPSHOT])
    .access(on!("/vms", VmSnapshot))
    .answers(TASK_ANSWER),
    route(
        Method::Post,
        "/namespaces/{namespace}/virtualmachines/{name}/snapshots/{snapshot}/rollback",
        Op::V1SnapshotRollback,
        "Go back to a snapshot.",
    )
    .params(&[OBJECT, WRITE, SNAPSHOT])
    .access(on!("/vms", VmSnapshot | VmSnapshotRollback))
    .answers(TASK_ANSWER),
    route(Method::Get, "/storages/{storage}/volumes", Op::V1VolumeList, "Volumes of a storage, read now.")
        .params(&[STORAGE, VOLUMES])
        .access(READ_STORAGE)
        .answers(Answer::List("Volume")),
    route(Method::Post, "/storages/{storage}/volumes", Op::V1VolumeCreate, "Make an empty volume that no guest uses yet.")
        .params(&[STORAGE, WRITE])
        .body(Body::Document("VolumeRequest"))
        .access(on!("/storage/{storage}", DatastoreAllocateSpace))
        .answers(TASK_ANSWER),
    route(Method::Delete, "/storages/{storage}/volumes/{volume...}", Op::V1VolumeDelete, "Remove a volume that no guest uses.")
        .params(&[STORAGE, WRITE, VOLUME])
        .access(on!("/storage/{storage}", DatastoreAllocate | DatastoreAllocateSpace))
        .answers(TASK_ANSWER),
    route(Method::Get, "/tasks", Op::V1TaskList, "Tasks, newest first.").params(&[TASKS]).answers(Answer::List("Task")),
    route(Method::Get, "/tasks/{task}", Op::V1TaskRead, "A task.").params(&[TASK, TASK_WAIT]).answers(TASK_ANSWER),
    route(Method::Get, "/tasks/{task}/log", Op::V1TaskLog, "Log of a task.").params(&[TASK, LOG]).answers(Answer::List("LogLine")),
    route(Method::Delete, "/tasks/{task}", Op::V1TaskCancel, "Cancel a task.").params(&[TASK]).answers(TASK_ANSWER),
];
