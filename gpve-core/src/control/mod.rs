//! The control plane: decides for many nodes. What `gpve-server` wraps.
//!
//! It talks through ports only: [`Store`](crate::ports::Store) holds the objects, [`Node`](crate::ports::Node)s do the
//! work and tell what they see, a [`Scheduler`](crate::ports::Scheduler) places. Reads are served from a watched cache
//! ([`ControlPlane::guests`], [`ControlPlane::tasks`], [`ControlPlane::nodes`]), never from a node or a disk.
//!
//! | module | holds |
//! |---|---|
//! | `plane`, `builder` | the handle, reads and waits; putting it together |
//! | `objects`, `owners` | what is kept of a guest; who owns which field |
//! | `create`, `operate` | changing calls |
//! | `apply`, `manifest` | server-side apply (I/O; pure) |
//! | `job` | one changing call: idempotency key, operation id, audit |
//! | `cache`, `feed`, `watch` | the store in memory; how it follows; watching with resume |
//! | `mirror`, `observe` | what a node tells becomes records (I/O; pure) |
//! | `records`, `keys` | compare-and-swap on guests' records; where they are |
//! | `ids` | guest ids by lease, addresses |
//! | `nodes`, `tasks`, `first_fit` | what is known of nodes and tasks; placement |
//! | `audit`, `digest` | the hash-chained audit log; digests |
//!
//! Invariants:
//! - Read your writes: when a call returns, reads show what it did, the task included.
//! - Every write of a record is a compare-and-swap; the guest's number and its object name are taken in the transaction
//!   that writes it, so that neither is ever given twice.
//! - A record is written before its node is asked, and carries the operation that makes the guest until the node has
//!   shown it: a crash in between ends in the guest or in nothing.
//! - A changing call runs to its end even if its caller goes away, and leaves an audit entry either way.
//! - Observation beats record: after a node has told everything, what it did not tell is not there.
//!
//! Every changing call takes a [`Call`] (who, idempotency key, dry run) and gives an [`Answer`]: accepted as a task,
//! unchanged, or a plan.

mod apply;
mod audit;
mod builder;
mod cache;
mod call;
mod checks;
mod create;
mod digest;
mod feed;
mod first_fit;
mod ids;
mod job;
mod keys;
mod manifest;
mod mirror;
mod nodes;
mod objects;
mod observe;
mod operate;
mod owners;
mod plane;
mod records;
mod request;
mod tasks;
mod watch;

use std::time::Duration;

pub use apply::{Applied, Apply, ApplyOutcome};
pub use audit::{AUDIT_MAX, StoreAudit};
pub use builder::{Builder, NODES_MAX};
pub use cache::{GuestEntry, Snapshot};
pub use call::{Accepted, Answer, Call, IdempotencyKey, Plan, PlannedVolume};
pub use digest::config_digest;
pub use first_fit::FirstFit;
pub use ids::{VMID_LEASE, VMID_LEASES_MAX};
pub use job::{CALLS_MAX, IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_TTL};
pub use nodes::{NodeSettings, NodeStatus};
pub use objects::{ApiVersion, GuestObject, ObjectKind, PowerState, VirtualMachine, VirtualMachineSpec};
pub use operate::{AllocateVolume, outcome};
pub use owners::{FieldOwners, OwnerConflict};
pub use plane::ControlPlane;
pub use request::{CloneGuest, CreateGuest, DeleteGuest, UpdateGuest};
pub use watch::{GuestEvent, GuestWatch};

/// How long a call waits until reads show what a node has accepted. A node tells within milliseconds; past this the
/// call returns all the same, because the node has the task.
const SEEN_PATIENCE: Duration = Duration::from_secs(5);
