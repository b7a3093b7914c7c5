//! Virtual machines.

use gpve_auth::Privilege as P;

use super::vm_options::{ASYNC_OPTIONS, CHANGE_OPTIONS, CREATE_OPTIONS, VM_OPTIONS};
use super::{GUEST, NODE, Operation as Op, VMID, forms as f, properties as pr};
use crate::route::{Access, Answer, Dialect, Kind, Method, Param, Require, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, method, path, operation, summary).params(&[GUEST])
}

macro_rules! on_vm {
    ($($privilege:ident)|+) => {
        Access::All(&[Require { any: &[$(P::$privilege),+], on: "/vms/{vmid}" }])
    };
}

/// Config changes need some right to configure; each setting then asks for its own (see [`Param::privilege`]).
const ANY_CONFIG: Access = on_vm!(
    VmConfigCdrom | VmConfigCpu | VmConfigCloudinit | VmConfigDisk | VmConfigHwType | VmConfigMemory | VmConfigNetwork | VmConfigOptions
);

const fn opt(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param::optional(name, kind, text)
}

const SKIP_LOCK: Param = opt("skiplock", Kind::Boolean, "Ignore locks.").root_only();
const TIMEOUT: Param = opt("timeout", Kind::COUNT, "Longest wait in seconds.");
const SNAPSHOT: Param = Param::new("snapname", Kind::Format(&f::SNAPSHOT_NAME), "The snapshot.");

/// Every slot that holds a disk.
pub(super) const DISKS: &[&str] = &[
    "ide0", "ide1", "ide2", "ide3", "scsi0", "scsi1", "scsi2", "scsi3", "scsi4", "scsi5", "scsi6", "scsi7", "scsi8", "scsi9", "scsi10",
    "scsi11", "scsi12", "scsi13", "scsi14", "scsi15", "scsi16", "scsi17", "scsi18", "scsi19", "scsi20", "scsi21", "scsi22", "scsi23",
    "scsi24", "scsi25", "scsi26", "scsi27", "scsi28", "scsi29", "scsi30", "virtio0", "virtio1", "virtio2", "virtio3", "virtio4", "virtio5",
    "virtio6", "virtio7", "virtio8", "virtio9", "virtio10", "virtio11", "virtio12", "virtio13", "virtio14", "virtio15", "sata0", "sata1",
    "sata2", "sata3", "sata4", "sata5", "efidisk0", "tpmstate0", "nvme0", "nvme1", "nvme2", "nvme3", "nvme4", "nvme5", "nvme6", "nvme7",
];
static DISK_OR_UNUSED: crate::route::Format = crate::route::Format::new("pve-qm-disk", "a disk such as scsi0, or unused0", |s| {
    DISKS.contains(&s) || s.strip_prefix("unused").is_some_and(|n| n.parse::<u8>().is_ok_and(|v| v.to_string() == n))
});

const VNC_PROXY: &[Param] = &[
    opt("websocket", Kind::Boolean, "The client connects by WebSocket, which is the only way."),
    opt("generate-password", Kind::Boolean, "No password is needed: the ticket is one.").default("0"),
];
const TERM_PROXY: &[Param] =
    &[opt("serial", Kind::Word(&["serial0", "serial1", "serial2", "serial3"]), "The port; absent: the display's, or the first.")];
const CONSOLE_SOCKET: &[Param] = &[
    Param::new("port", Kind::Integer { min: 5900, max: 5999 }, "The port that came with the ticket."),
    Param::new("vncticket", Kind::Text { min: 1, max: 512 }, "The ticket of vncproxy or termproxy."),
];
const LIST: &[Param] = &[opt("full", Kind::Boolean, "Ask running guests for more.")];
const DELETE: &[Param] = &[
    opt("purge", Kind::Boolean, "Remove it from jobs and rules too."),
    opt("destroy-unreferenced-disks", Kind::Boolean, "Remove volumes of its number that it does not refer to, too.").default("0"),
    SKIP_LOCK,
];
const CONFIG: &[Param] = &[
    opt("current", Kind::Boolean, "What runs, not what is pending.").default("0"),
    opt("snapshot", Kind::Format(&f::SNAPSHOT_NAME), "That of a snapshot."),
];
const FEATURE: &[Param] = &[
    Param::new("feature", Kind::Word(&["snapshot", "clone", "copy"]), "The feature."),
    opt("snapname", Kind::Format(&f::SNAPSHOT_NAME), "For this snapshot."),
];
const START: &[Param] = &[
    SKIP_LOCK,
    opt("timeout", Kind::COUNT, "Longest wait in seconds.").default("max(30, memory in GiB)"),
    opt("machine", Kind::Property(&pr::MACHINE), "Board for this run."),
    opt("force-cpu", Kind::text(4096), "CPU argument for this run.").root_only(),
    opt("migratedfrom", Kind::Format(&f::NODE), "The node it comes from.").root_only(),
    opt("migration_network", Kind::Format(&f::CIDR), "Network of the migration.").root_only(),
    opt("migration_type", Kind::Word(&["secure", "insecure"]), "Encryption of the migration.").root_only(),
    opt("nets-host-mtu", Kind::Format(&f::NETS_MTU), "MTU of cards at the source.").root_only(),
    opt("stateuri", Kind::text(128), "Where the state comes from.").root_only(),
    opt("targetstorage", Kind::Format(&f::STORAGE_PAIRS), "Storages at the target.").root_only(),
    opt("with-conntrack-state", Kind::Boolean, "Take connection tracking along.").default("0").root_only(),
];
const STOP: &[Param] = &[
    SKIP_LOCK,
    TIMEOUT,
    opt("keepActive", Kind::Boolean, "Leave volumes active.").default("0").root_only(),
    opt("migratedfrom", Kind::Format(&f::NODE), "The node it went to.").root_only(),
    opt("overrule-shutdown", Kind::Boolean, "Cancel shutdown tasks of the guest first.").default("0"),
];
const SHUTDOWN: &[Param] = &[
    SKIP_LOCK,
    TIMEOUT,
    opt("forceStop", Kind::Boolean, "Stop it if it does not shut down in time.").default("0"),
    opt("keepActive", Kind::Boolean, "Leave volumes active.").default("0").root_only(),
];
const SUSPEND: &[Param] = &[
    SKIP_LOCK,
    opt("todisk", Kind::Boolean, "Save the state to a volume and end QEMU.").default("0"),
    opt("statestorage", Kind::Format(&f::STORAGE_ID), "Storage for the state.").requires("todisk"),
];
const RESUME: &[Param] = &[SKIP_LOCK, opt("nocheck", Kind::Boolean, "Do not look for the guest first.").root_only()];
const RESET: &[Param] = &[SKIP_LOCK];
const REBOOT: &[Param] = &[TIMEOUT];
const CLONE: &[Param] = &[
    Param::new("newid", VMID, "Number of the copy."),
    opt("name", Kind::Format(&f::DNS_NAME), "Name of the copy."),
    opt("description", Kind::text(8192), "Description of the copy."),
    opt("full", Kind::Boolean, "Copy all disks; the default unless it is a template."),
    opt("snapname", Kind::Format(&f::SNAPSHOT_NAME), "Copy this snapshot."),
    opt("storage", Kind::Format(&f::STORAGE_ID), "Storage of a full copy."),
    opt("format", Kind::Word(&["raw", "qcow2", "vmdk"]), "Disk format of a full copy."),
    opt("pool", Kind::Format(&f::POOL_ID), "Pool of the copy."),
    opt("target", Kind::Format(&f::NODE), "Node of the copy."),
    opt("bwlimit", Kind::COUNT, "Fastest disk I/O, in KiB/s."),
];
const TEMPLATE: &[Param] = &[opt("disk", Kind::Word(DISKS), "Only this disk.")];
const RESIZE: &[Param] = &[
    Param::new("disk", Kind::Word(DISKS), "The disk."),
    Param::new("size", Kind::Format(&f::RESIZE), "New size, or + and what is added."),
    opt("digest", Kind::text(40), "Refuse if the configuration has another digest."),
    SKIP_LOCK,
];
const UNLINK: &[Param] = &[
    Param::new("idlist", Kind::List(&f::CONFIG_ID), "The drives."),
    opt("force", Kind::Boolean, "Destroy the volumes instead of keeping them as unused."),
];
const MOVE: &[Param] = &[
    Param::new("disk", Kind::Format(&DISK_OR_UNUSED), "The disk."),
    opt("storage", Kind::Format(&f::STORAGE_ID), "Where to."),
    opt("format", Kind::Word(&["raw", "qcow2", "vmdk"]), "New format."),
    opt("delete", Kind::Boolean, "Remove the original.").default("0"),
    opt("digest", Kind::text(40), "Refuse if the configuration has another digest."),
    opt("target-vmid", VMID, "Guest to move it to."),
    opt("target-disk", Kind::Format(&DISK_OR_UNUSED), "Slot in that guest."),
    opt("target-digest", Kind::text(40), "Refuse if that guest's configuration has another digest."),
    opt("bwlimit", Kind::COUNT, "Fastest disk I/O, in KiB/s."),
];
const SNAPSHOT_NEW: &[Param] =
    &[SNAPSHOT, opt("description", Kind::text(8192), "Free text."), opt("vmstate", Kind::Boolean, "Save memory too.")];
const CLOUD_INIT_DUMP: &[Param] = &[Param::new("type", Kind::Word(&["user", "network", "meta"]), "Which file.")];
const SNAPSHOT_ONLY: &[Param] = &[SNAPSHOT];
const SNAPSHOT_DELETE: &[Param] = &[SNAPSHOT, opt("force", Kind::Boolean, "Forget it even if its volumes' snapshots cannot be removed.")];
const SNAPSHOT_CONFIG: &[Param] = &[SNAPSHOT, opt("description", Kind::text(8192), "Free text.")];
const ROLLBACK: &[Param] = &[SNAPSHOT, opt("start", Kind::Boolean, "Start the guest afterwards.").default("0")];

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/nodes/{node}/qemu", Op::VmList, "Virtual machines of a node.")
        .params(&[NODE, LIST])
        .answers(Answer::List("Guest")),
    route(Method::Post, "/nodes/{node}/qemu", Op::VmCreate, "Make a virtual machine.")
        .params(&[GUEST, CREATE_OPTIONS, VM_OPTIONS])
        .access(on_vm!(VmAllocate))
        .answers(Answer::Task),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}", Op::VmIndex, "The parts of a virtual machine.").answers(Answer::List("Index")),
    route(Method::Delete, "/nodes/{node}/qemu/{vmid}", Op::VmDelete, "Remove a virtual machine with its volumes.")
        .params(&[GUEST, DELETE])
        .access(on_vm!(VmAllocate))
        .answers(Answer::Task),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/config", Op::VmConfigRead, "Configuration, pending changes applied.")
        .params(&[GUEST, CONFIG])
        .access(on_vm!(VmAudit))
        .answers(Answer::Object("Config")),
    route(Method::Put, "/nodes/{node}/qemu/{vmid}/config", Op::VmConfigUpdate, "Change the configuration; returns when it is done.")
        .params(&[GUEST, CHANGE_OPTIONS, VM_OPTIONS])
        .access(ANY_CONFIG),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/config", Op::VmConfigUpdateAsync, "Change the configuration in a task.")
        .params(&[GUEST, CHANGE_OPTIONS, ASYNC_OPTIONS, VM_OPTIONS])
        .access(ANY_CONFIG)
        .answers(Answer::Task),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/pending", Op::VmPending, "Configuration with pending changes beside it.")
        .access(on_vm!(VmAudit))
        .answers(Answer::List("Pending")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/cloudinit", Op::VmCloudInitPending, "Settings for cloud-init, what waits beside them.")
        .access(on_vm!(VmAudit))
        .answers(Answer::List("Pending")),
    route(
        Method::Put,
        "/nodes/{node}/qemu/{vmid}/cloudinit",
        Op::VmCloudInitUpdate,
        "Write the cloud-init drive anew, also while it runs.",
    )
    .access(on_vm!(VmConfigCloudinit)),
    route(
        Method::Get,
        "/nodes/{node}/qemu/{vmid}/cloudinit/dump",
        Op::VmCloudInitDump,
        "A file generated for cloud-init, without secrets.",
    )
    .params(&[GUEST, CLOUD_INIT_DUMP])
    .access(on_vm!(VmAudit))
    .answers(Answer::Text),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/feature", Op::VmFeature, "Whether its volumes allow something.")
        .params(&[GUEST, FEATURE])
        .access(on_vm!(VmAudit))
        .answers(Answer::Object("Feature")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/status", Op::VmStatusIndex, "What can be done about its state.")
        .answers(Answer::List("Index")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/status/current", Op::VmStatusRead, "State and use.")
        .access(on_vm!(VmAudit))
        .answers(Answer::Object("GuestStatus")),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/start", Op::VmStart, "Start it.")
        .params(&[GUEST, START])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/stop", Op::VmStop, "Stop it at once, as if by pulling the plug.")
        .params(&[GUEST, STOP])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/reset", Op::VmReset, "Press its reset button.")
        .params(&[GUEST, RESET])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/shutdown", Op::VmShutdown, "Ask its system to shut down.")
        .params(&[GUEST, SHUTDOWN])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/reboot", Op::VmReboot, "Shut it down and start it; pending changes take effect.")
        .params(&[GUEST, REBOOT])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/suspend", Op::VmSuspend, "Halt its processors.")
        .params(&[GUEST, SUSPEND])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/status/resume", Op::VmResume, "Let its processors run again.")
        .params(&[GUEST, RESUME])
        .access(on_vm!(VmPowerMgmt))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/clone", Op::VmClone, "Copy it.")
        .params(&[GUEST, CLONE])
        .access(on_vm!(VmClone))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/template", Op::VmTemplate, "Make it a template.")
        .params(&[GUEST, TEMPLATE])
        .access(on_vm!(VmAllocate))
        .answers(Answer::Task),
    route(Method::Put, "/nodes/{node}/qemu/{vmid}/resize", Op::VmResize, "Grow a disk.")
        .params(&[GUEST, RESIZE])
        .access(on_vm!(VmConfigDisk))
        .answers(Answer::Task),
    route(Method::Put, "/nodes/{node}/qemu/{vmid}/unlink", Op::VmUnlink, "Take drives out.")
        .params(&[GUEST, UNLINK])
        .access(on_vm!(VmConfigDisk)),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/move_disk", Op::VmMoveDisk, "Move a disk to another storage or guest.")
        .params(&[GUEST, MOVE])
        .access(on_vm!(VmConfigDisk))
        .answers(Answer::Task),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/vncproxy", Op::VmVncProxy, "A ticket for its display.")
        .params(&[GUEST, VNC_PROXY])
        .access(on_vm!(VmConsole))
        .answers(Answer::Object("ConsoleTicket")),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/termproxy", Op::VmTermProxy, "A ticket for a serial port.")
        .params(&[GUEST, TERM_PROXY])
        .access(on_vm!(VmConsole))
        .answers(Answer::Object("ConsoleTicket")),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/vncwebsocket", Op::VmConsoleSocket, "The console of a ticket, as a WebSocket.")
        .params(&[GUEST, CONSOLE_SOCKET])
        .access(on_vm!(VmConsole))
        .answers(Answer::Text),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/snapshot", Op::SnapshotList, "Snapshots; the last entry is the present.")
        .access(on_vm!(VmAudit))
        .answers(Answer::List("Snapshot")),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/snapshot", Op::SnapshotCreate, "Take a snapshot.")
        .params(&[GUEST, SNAPSHOT_NEW])
        .access(on_vm!(VmSnapshot))
        .answers(Answer::Task),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}", Op::SnapshotIndex, "The parts of a snapshot.")
        .params(&[GUEST, SNAPSHOT_ONLY])
        .answers(Answer::List("Index")),
    route(Method::Delete, "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}", Op::SnapshotDelete, "Remove a snapshot.")
        .params(&[GUEST, SNAPSHOT_DELETE])
        .access(on_vm!(VmSnapshot))
        .answers(Answer::Task),
    route(Method::Get, "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config", Op::SnapshotConfigRead, "Configuration at a snapshot.")
        .params(&[GUEST, SNAPSHOT_ONLY])
        .access(on_vm!(VmSnapshot | VmSnapshotRollback | VmAudit))
        .answers(Answer::Object("Config")),
    route(Method::Put, "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config", Op::SnapshotConfigUpdate, "Describe a snapshot.")
        .params(&[GUEST, SNAPSHOT_CONFIG])
        .access(on_vm!(VmSnapshot)),
    route(Method::Post, "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback", Op::SnapshotRollback, "Go back to a snapshot.")
        .params(&[GUEST, ROLLBACK])
        .access(on_vm!(VmSnapshot | VmSnapshotRollback))
        .answers(Answer::Task),
];
