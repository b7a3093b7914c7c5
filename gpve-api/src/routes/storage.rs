//! Storages and volumes.

use gpve_auth::Privilege as P;

use super::{NODE, Operation as Op, VMID, forms as f};
use crate::route::{Access, Answer, Body, Dialect, Kind, Method, Param, Require, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, method, path, operation, summary)
}

macro_rules! on_storage {
    ($($privilege:ident)|+) => {
        Access::All(&[Require { any: &[$(P::$privilege),+], on: "/storage/{storage}" }])
    };
}

const fn opt(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param::optional(name, kind, text)
}

const ALLOCATE: Access = Access::All(&[Require { any: &[P::DatastoreAllocate], on: "/storage" }]);
const STORAGE: Param = Param::new("storage", Kind::Format(&f::STORAGE_ID), "The storage.");
const VOLUME: Param = Param::new("volume", Kind::text(512), "Volume id, or its name within the storage.");
const TYPES: &[&str] =
    &["btrfs", "cephfs", "cifs", "dir", "esxi", "iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs", "rbd", "zfs", "zfspool"];
static PRUNE_BACKUPS: crate::route::Format = crate::route::Format::new("prune-backups", "a list of keep-KIND=NUMBER", |s| {
    s.split(',').all(|part| {
        part.split_once('=').is_some_and(|(k, n)| k.starts_with("keep-") && n.bytes().all(|b| b.is_ascii_digit()) && !n.is_empty())
    })
});

const STORAGE_ID: &[Param] = &[STORAGE];
const OF_TYPE: &[Param] = &[opt("type", Kind::Word(TYPES), "Only of this type.")];
const NEW: &[Param] =
    &[STORAGE, Param::new("type", Kind::Word(TYPES), "Type."), opt("path", Kind::Format(&f::ABSOLUTE_PATH), "Folder, for type dir.")];
const SETTINGS: &[Param] = &[
    opt("content", Kind::Format(&f::CONTENT_LIST), "What it may hold."),
    opt("nodes", Kind::List(&f::NODE), "Nodes that have it; all if left out."),
    opt("disable", Kind::Boolean, "Do not use it."),
    opt("shared", Kind::Boolean, "All nodes see the same."),
    opt("format", Kind::Word(&["raw", "qcow2", "subvol", "vmdk"]), "Default disk format."),
    opt("preallocation", Kind::Word(&["off", "metadata", "falloc", "full"]), "What is allocated ahead.").default("metadata"),
    opt("prune-backups", Kind::Format(&PRUNE_BACKUPS), "Which backups are kept."),
    opt("max-protected-backups", Kind::at_least(-1), "Most protected backups of a guest; -1 is no limit."),
    opt("mkdir", Kind::Boolean, "Make folders that are missing.").default("yes"),
    opt("create-base-path", Kind::Boolean, "Make its folder if it is missing.").default("yes"),
    opt("create-subdirs", Kind::Boolean, "Make the folders of its content types.").default("yes"),
    opt("is_mountpoint", Kind::text(4096), "Only use it when this is mounted.").default("no"),
    opt("snapshot-as-volume-chain", Kind::Boolean, "Snapshots as a chain of files.").default("0"),
];
const CHANGE: &[Param] = &[
    opt("delete", Kind::List(&f::CONFIG_ID), "Settings to remove."),
    opt("digest", Kind::text(64), "Refuse if the configuration has another digest."),
];
const LIST: &[Param] = &[
    opt("content", Kind::Format(&f::CONTENT_LIST), "Only those that may hold one of these."),
    opt("enabled", Kind::Boolean, "Only those in use.").default("0"),
    opt("format", Kind::Boolean, "Tell formats too.").default("0"),
    opt("storage", Kind::Format(&f::STORAGE_ID), "Only this one."),
    opt("target", Kind::Format(&f::NODE), "Only those that this node has too."),
];
const CONTENTS: &[Param] = &[opt("content", Kind::Format(&f::CONTENT), "Only of this type."), opt("vmid", VMID, "Only of this guest.")];
const ALLOC: &[Param] = &[
    Param::new("filename", Kind::text(255), "Name of the volume."),
    Param::new("size", Kind::Format(&f::ALLOC_SIZE), "Size in KiB, or with unit M or G."),
    Param::new("vmid", VMID, "Guest that it belongs to."),
    opt("format", Kind::Word(&["raw", "qcow2", "subvol", "vmdk"]), "Format.").requires("size"),
];
const VOLUME_ONLY: &[Param] = &[VOLUME];
const DELETE: &[Param] =
    &[VOLUME, opt("delay", Kind::between(1, 30), "Answer nothing instead of a task id if it ends within this many seconds.")];
const UPLOAD: &[Param] = &[
    Param::new("content", Kind::Word(&["iso", "vztmpl", "import"]), "What it is."),
    Param::new("filename", Kind::text(255), "Name of the file; folders in it do not count."),
    opt("checksum", Kind::text(256), "Expected checksum.").requires("checksum-algorithm"),
    opt("checksum-algorithm", Kind::Word(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]), "How the checksum is made.")
        .requires("checksum"),
    opt("tmpfilename", Kind::text(255), "Has no effect."),
];

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/storage", Op::StorageConfigList, "Storages that are defined.")
        .params(&[OF_TYPE])
        .answers(Answer::List("StorageConfig")),
    route(Method::Post, "/storage", Op::StorageConfigCreate, "Define a storage.")
        .params(&[NEW, SETTINGS])
        .access(ALLOCATE)
        .answers(Answer::Object("StorageRef")),
    route(Method::Get, "/storage/{storage}", Op::StorageConfigRead, "Definition of a storage.")
        .params(&[STORAGE_ID])
        .access(on_storage!(DatastoreAllocate))
        .answers(Answer::Object("StorageConfig")),
    route(Method::Put, "/storage/{storage}", Op::StorageConfigUpdate, "Change the definition of a storage.")
        .params(&[STORAGE_ID, SETTINGS, CHANGE])
        .access(ALLOCATE)
        .answers(Answer::Object("StorageRef")),
    route(Method::Delete, "/storage/{storage}", Op::StorageConfigDelete, "Forget a storage; its volumes stay.")
        .params(&[STORAGE_ID])
        .access(ALLOCATE),
    route(Method::Get, "/nodes/{node}/storage", Op::NodeStorageList, "Storages of a node with their use.")
        .params(&[NODE, LIST])
        .answers(Answer::List("Storage")),
    route(Method::Get, "/nodes/{node}/storage/{storage}", Op::StorageIndex, "The parts of a storage.")
        .params(&[NODE, STORAGE_ID])
        .access(on_storage!(DatastoreAudit | DatastoreAllocateSpace))
        .answers(Answer::List("Index")),
    route(Method::Get, "/nodes/{node}/storage/{storage}/status", Op::StorageStatus, "Use of a storage.")
        .params(&[NODE, STORAGE_ID])
        .access(on_storage!(DatastoreAudit | DatastoreAllocateSpace))
        .answers(Answer::Object("Storage")),
    route(Method::Get, "/nodes/{node}/storage/{storage}/content", Op::VolumeList, "Volumes on a storage.")
        .params(&[NODE, STORAGE_ID, CONTENTS])
        .access(on_storage!(DatastoreAudit | DatastoreAllocateSpace))
        .answers(Answer::List("Volume")),
    route(Method::Post, "/nodes/{node}/storage/{storage}/content", Op::VolumeAllocate, "Make an empty disk volume.")
        .params(&[NODE, STORAGE_ID, ALLOC])
        .access(on_storage!(DatastoreAllocateSpace))
        .answers(Answer::Text),
    route(Method::Get, "/nodes/{node}/storage/{storage}/content/{volume...}", Op::VolumeRead, "A volume.")
        .params(&[NODE, STORAGE_ID, VOLUME_ONLY])
        .access(on_storage!(DatastoreAudit | DatastoreAllocateSpace))
        .answers(Answer::Object("VolumeInfo")),
    route(Method::Delete, "/nodes/{node}/storage/{storage}/content/{volume...}", Op::VolumeDelete, "Remove a volume.")
        .params(&[NODE, STORAGE_ID, DELETE])
        .access(on_storage!(DatastoreAllocate | DatastoreAllocateSpace))
        .answers(Answer::Task),
    route(
        Method::Post,
        "/nodes/{node}/storage/{storage}/upload",
        Op::VolumeUpload,
        "Upload an ISO image, a template or an image to import.",
    )
    .params(&[NODE, STORAGE_ID, UPLOAD])
    .body(Body::Upload)
    .access(on_storage!(DatastoreAllocateTemplate))
    .answers(Answer::Task),
];
